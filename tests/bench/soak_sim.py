#!/usr/bin/env python3
"""A long life in fast motion: made cameras at high rates, with every fault, coming and going, and
viewers who do the same.

    .venv/bin/python tests/bench/soak_sim.py [--minutes 5]

A camera of 15 images a second makes 1.3 million a day; eight of them here make 100 to 1000 a second
each. Meanwhile a camera is added, watched, paused, resumed and removed again and again. Prints
images, ledger, memory, open files and threads; the exit status is 1 when a ledger did not balance
or when something grew from the second fifth of the time to the last one. The last line is a JSON
object."""

import argparse
import itertools
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "integration"))
from serving import Serving, read_parts, upgrade_request  # noqa: E402

SMALL = "sim://walk?width=160&height=96&people=4"
CAMERAS = {
    "fast": f"{SMALL}&fps=1000",
    "stall": f"{SMALL}&fps=200&stall=3:1:5",
    "burst": f"{SMALL}&fps=200&burst=2:1:4",
    "jump": f"{SMALL}&fps=200&jump=2:1:3",
    "resize": f"{SMALL}&fps=200&resize=1:1:2",
    "garbage": f"{SMALL}&fps=200&garbage=1:1:3",
    "flap": f"{SMALL}&fps=200&flap=0.7",
    "file": f"{SMALL}&fps=100&frames=300&paced=0",
}
GUESTS = [f"{SMALL}&fps=100", "sim://offline", f"{SMALL}&fps=100&flap=0.1",
          "sim://walk?width=96&height=160&fps=100", "rtsp://127.0.0.1:1/x"]
MEMORY_GROWTH_MAX = 0.03


def guest(serving, number):
    """A camera comes, is watched in every way, and goes."""
    url = GUESTS[number % len(GUESTS)]
    serving.json("POST", "/api/v2/cameras", {"name": "guest", "url": url}, 201)
    width = 40 + number % 5 * 10
    viewers = [
        serving.raw(b"GET /api/v2/cameras/guest/stream.mjpg HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"),
        serving.raw(upgrade_request("/api/v2/ws?cameras=guest,fast")),
        serving.raw(upgrade_request(f"/api/v2/ws?format=binary&jpeg=1&width={width}"))]
    watched = serving.raw(f"GET /api/v2/cameras/fast/stream.mjpg?width={width} HTTP/1.1\r\n"
                          "Host: 127.0.0.1\r\n\r\n".encode())
    read_parts(watched, 3)
    serving.json("POST", "/api/v2/cameras/guest/pause")
    serving.json("POST", "/api/v2/cameras/guest/resume")
    for path in ("/metrics", "/api/v2/stats", "/api/v2/cameras", "/readyz"):
        serving.request("GET", path)
    for viewer in (*viewers, watched):
        viewer.close()
    assert serving.request("DELETE", "/api/v2/cameras/guest")[0] == 204


def look(serving, began):
    ledger = serving.get("/api/v2/ledger")
    process = Path(f"/proc/{serving.process.pid}")
    return {"at": time.monotonic() - began, "balanced": ledger["balanced"],
            "received": ledger["total"]["received"], "total": ledger["total"],
            "memory": serving.memory_bytes(), "files": len(os.listdir(process / "fd")),
            "threads": len(os.listdir(process / "task"))}


def level(samples, key, low, high):
    end = samples[-1]["at"]
    return statistics.median(s[key] for s in samples if low * end <= s["at"] <= high * end)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--program", default=ROOT / "build" / "spoton", type=Path)
    arguments = parser.parse_args()
    samples = []
    with tempfile.TemporaryDirectory() as folder, \
            Serving(arguments.program.resolve(), Path(folder), CAMERAS,
                    {"YOLO_INPUT_SIZE": "160", "STALL_TIMEOUT_MS": "500"}) as serving:
        serving.until_live("fast")
        began = time.monotonic()
        for number in itertools.count():
            if time.monotonic() - began > arguments.minutes * 60:
                break
            guest(serving, number)
            samples.append(look(serving, began))
        rounds = number
        reconnects = sum(c["reconnects"] for c in serving.get("/api/v2/cameras")["cameras"])
        stopped_s = serving.stop()
    unbalanced = sum(not s["balanced"] for s in samples)
    change = {key: [level(samples, key, 0.2, 0.4), level(samples, key, 0.8, 1)]
              for key in ("memory", "files", "threads")}
    growth = change["memory"][1] / change["memory"][0] - 1
    ok = (unbalanced == 0 and growth < MEMORY_GROWTH_MAX and
          change["files"][1] <= change["files"][0] + 4 and
          change["threads"][1] <= change["threads"][0] + 2)
    print(json.dumps({
        "ok": ok, "minutes": arguments.minutes, "images": samples[-1]["received"],
        "camera_days_at_15": round(samples[-1]["received"] / (15 * 86400), 2),
        "guests": rounds, "reconnects": reconnects, "unbalanced": unbalanced,
        "memory_mb": [round(s["memory"] / 1e6, 1) for s in samples[::max(1, len(samples) // 10)]],
        "memory_growth": round(growth, 4), "files": change["files"], "threads": change["threads"],
        "stopped_s": round(stopped_s, 2), "ledger": samples[-1]["total"]}))
    sys.exit(0 if ok else 1)


if __name__ == "__main__":
    main()
