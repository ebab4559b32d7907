#!/usr/bin/env python3
"""Measures the latency from a decoded frame to the receipt of its WebSocket message.

    .venv/bin/python tests/bench/bench_latency.py [--cameras 1,4] [--seconds 20] [--turns 3]

Starts `spoton serve` on the demo clip as so many looping cameras, reads /api/v2/ws, and subtracts the
message's wall_us from the client's clock. Turns alternate between the numbers of cameras; a row is the median
over the turns. "kept up" is the share of frames that were inferred: well below 1, the system is too slow for
the cameras and drops late frames."""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from websockets.sync.client import connect

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "integration"))
from serving import Serving  # noqa: E402

WARM_UP_S = 5


def percentile(values, part):
    return sorted(values)[min(len(values) - 1, int(len(values) * part))]


def measure(arguments, url, cameras):
    names = {f"c{i + 1}": url for i in range(cameras)}
    with tempfile.TemporaryDirectory() as folder, \
            Serving(arguments.program.resolve(), Path(folder), names,
                    {"ENGINE": arguments.engine}) as serving:
        serving.until_live(*names)
        time.sleep(WARM_UP_S)
        before, latencies = serving.get("/api/v2/ledger")["total"], []
        with connect(serving.ws_url("/api/v2/ws"), compression=None) as socket:
            for _ in range(10):
                socket.recv()
            until = time.monotonic() + arguments.seconds
            while time.monotonic() < until:
                text = socket.recv()
                latencies.append(time.time() - json.loads(text)["wall_us"] / 1e6)
        after = serving.get("/api/v2/ledger")["total"]
        fps = [camera["camera_fps"] for camera in serving.get("/api/v2/cameras")["cameras"]]
    came = after["received"] - before["received"]
    return {"cameras": cameras, "p50_ms": percentile(latencies, 0.5) * 1e3,
            "p95_ms": percentile(latencies, 0.95) * 1e3, "messages": len(latencies),
            "kept_up": (after["inferred"] - before["inferred"]) / came,
            "period_ms": 1e3 / statistics.mean(fps)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cameras", default="1,4")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--url", help="instead of the demo clip")
    parser.add_argument("--engine", default="openvino")
    parser.add_argument("--program", default=ROOT / "build" / "spoton", type=Path)
    arguments = parser.parse_args()
    url = arguments.url or str(ROOT / subprocess.run(
        [ROOT / "tools" / "fetch-demo-clip"], check=True, stdout=subprocess.PIPE,
        text=True).stdout.strip())
    rows = []
    for turn in range(arguments.turns):
        for cameras in arguments.cameras.split(","):
            rows.append(measure(arguments, url, int(cameras)))
            print(f"turn {turn + 1}: " + ", ".join(f"{key} {value:.4g}"
                                                   for key, value in rows[-1].items()), flush=True)
    for cameras in sorted({row["cameras"] for row in rows}):
        same = [row for row in rows if row["cameras"] == cameras]
        middle = {key: round(statistics.median(row[key] for row in same), 3) for key in same[0]}
        middle["p95_periods"] = round(middle["p95_ms"] / middle["period_ms"], 2)
        print(json.dumps(middle))


if __name__ == "__main__":
    main()
