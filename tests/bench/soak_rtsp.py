#!/usr/bin/env python3
"""Runs `spoton serve` for minutes on cameras of a real RTSP server that dies again and again.

    .venv/bin/python tests/bench/soak_rtsp.py [--minutes 10] [--restarts 5] [--cameras 4]

GStreamer's server (tests/tools/rtsp_server.py) is killed at even distances and started again after
--down seconds. Looked at four times a second: the ledger (has to balance every time), the cameras'
states, memory, open files and threads. Prints a table and, as its last line, a JSON object; the exit
status is 1 when a ledger did not balance, a camera did not come back, or memory or files grew. Exits
with 77 where there is no such server."""

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "integration"))
from serving import Serving  # noqa: E402

NOT_THERE = 77
RETURN_LIMIT_S = 60
MEMORY_GROWTH_MAX = 0.05


class Cameras:
    """The RTSP server as a process that can be killed."""

    def __init__(self, count, stream):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.command = [str(ROOT / "tests/tools/rtsp_server.py"), str(self.port), str(count), stream]
        self.process = None

    def start(self):
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        if line != "ready\n":
            self.kill()
            print(line.strip())
            sys.exit(NOT_THERE)

    def kill(self):
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()
            self.process = None


class Watch:
    """What was seen of the server in the course of time."""

    def __init__(self, serving):
        self.serving, self.began = serving, time.monotonic()
        self.samples, self.unbalanced, self.polls, self.cameras = [], 0, 0, {}
        self.last_sample = 0

    def look(self):
        ledger = self.serving.get("/api/v2/ledger")
        rows = [ledger["total"], *ledger["cameras"].values()]
        balanced = all(row["received"] == sum(n for key, n in row.items() if key != "received")
                       for row in rows)
        self.unbalanced += not (balanced and ledger["balanced"])
        self.polls += 1
        self.cameras = {c["name"]: c for c in self.serving.get("/api/v2/cameras")["cameras"]}
        now = time.monotonic() - self.began
        if now - self.last_sample >= 1:
            self.last_sample = now
            process = Path(f"/proc/{self.serving.process.pid}")
            self.samples.append((now, self.serving.memory_bytes(),
                                 len(os.listdir(process / "fd")),
                                 len(os.listdir(process / "task"))))

    def received(self, name):
        return self.cameras[name]["ledger"]["received"]

    def until(self, check, limit_s):
        """Seconds until check() holds; None: it did not."""
        begin = time.monotonic()
        while time.monotonic() - begin < limit_s:
            self.look()
            if check():
                return time.monotonic() - begin
            time.sleep(0.25)
        return None

    def level(self, column, low, high):
        """Median of a column over a part of the time, 0 to 1."""
        end = self.samples[-1][0]
        part = [row[column] for row in self.samples if low * end <= row[0] <= high * end]
        return statistics.median(part)


def break_off(watch, cameras, down_s):
    """Kills the cameras' server for a while; seconds from its return until each camera's frames
    come again, and until each was seen to be gone."""
    gone, back = {}, {}
    cameras.kill()
    killed = time.monotonic()

    def note_gone():
        for name, camera in watch.cameras.items():
            if camera["state"] in ("offline", "stalled"):
                gone.setdefault(name, time.monotonic() - killed)
        return time.monotonic() - killed >= down_s
    watch.until(note_gone, down_s + 10)
    watch.look()
    before = {name: watch.received(name) for name in watch.cameras}
    cameras.start()
    began = time.monotonic()

    def note_back():
        for name in before:
            if watch.received(name) > before[name]:
                back.setdefault(name, time.monotonic() - began)
        return len(back) == len(before)
    watch.until(note_back, RETURN_LIMIT_S)
    return gone, back


def soak(arguments, serving, cameras):
    watch = Watch(serving)
    names = [f"c{i + 1}" for i in range(arguments.cameras)]
    if watch.until(lambda: all(watch.cameras.get(n, {}).get("state") == "live" and
                               watch.received(n) > 0 for n in names), RETURN_LIMIT_S) is None:
        sys.exit("the cameras do not come up\n" + serving.log())
    watch.began, watch.samples, watch.last_sample = time.monotonic(), [], 0
    total_s, rows = arguments.minutes * 60, []
    for number in range(1, arguments.restarts + 1):
        until = total_s * number / (arguments.restarts + 1)
        watch.until(lambda: time.monotonic() - watch.began >= until, total_s)
        gone, back = break_off(watch, cameras, arguments.down)
        rows.append((number, gone, back))
        print(f"restart {number}: gone after " +
              " ".join(f"{gone.get(n, float('nan')):.2f}" for n in names) + " s, back after " +
              " ".join(f"{back.get(n, float('nan')):.2f}" for n in names) + " s", flush=True)
    watch.until(lambda: time.monotonic() - watch.began >= total_s, total_s)
    return watch, rows, names


def report(arguments, watch, rows, names):
    growth = watch.level(1, 0.8, 1) / watch.level(1, 0.1, 0.3) - 1
    files = [watch.level(2, 0.1, 0.3), watch.level(2, 0.8, 1)]
    threads = [watch.level(3, 0.1, 0.3), watch.level(3, 0.8, 1)]
    back = [seconds for _, _, times in rows for seconds in times.values()]
    lost = len(rows) * len(names) - len(back)
    total = {key: sum(c["ledger"][key] for c in watch.cameras.values())
             for key in ("received", "inferred", "skipped", "dropped", "failed", "in_flight")}
    result = {
        "minutes": arguments.minutes, "cameras": len(names), "restarts": len(rows),
        "back_s": {"median": round(statistics.median(back), 2), "longest": round(max(back), 2)}
        if back else None,
        "not_back": lost, "polls": watch.polls, "unbalanced": watch.unbalanced, "ledger": total,
        "memory_mb": [round(row[1] / 1e6, 1) for row in watch.samples[::max(1, len(watch.samples) // 12)]],
        "memory_growth": round(growth, 4), "files": files, "threads": threads,
        "states": {n: watch.cameras[n]["state"] for n in names},
    }
    ok = (watch.unbalanced == 0 and lost == 0 and growth < MEMORY_GROWTH_MAX and
          files[1] <= files[0] + 2 and threads[1] <= threads[0] and
          all(state == "live" for state in result["states"].values()))
    for key, value in result.items():
        print(f"{key:14} {value}")
    print(json.dumps({"ok": ok, **result}))
    return ok


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--restarts", type=int, default=5)
    parser.add_argument("--cameras", type=int, default=4)
    parser.add_argument("--down", type=float, default=3, help="seconds until the server is back")
    parser.add_argument("--stream", default="h264:640x360")
    parser.add_argument("--engine", default="openvino")
    parser.add_argument("--program", default=ROOT / "build" / "spoton", type=Path)
    arguments = parser.parse_args()
    cameras = Cameras(arguments.cameras, arguments.stream)
    cameras.start()
    try:
        with tempfile.TemporaryDirectory() as folder:
            urls = {f"c{i + 1}": f"rtsp://127.0.0.1:{cameras.port}/{i}"
                    for i in range(arguments.cameras)}
            with Serving(arguments.program.resolve(), Path(folder), urls,
                         {"ENGINE": arguments.engine}) as serving:
                ok = report(arguments, *soak(arguments, serving, cameras))
    finally:
        cameras.kill()
    sys.exit(0 if ok else 1)


if __name__ == "__main__":
    main()
