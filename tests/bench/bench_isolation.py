#!/usr/bin/env python3
"""Measures the effect of faulty cameras on a healthy one.

    .venv/bin/python tests/bench/bench_isolation.py [--engine openvino] [--turns 3]

Starts one `spoton serve`. In turns the healthy camera is alone, beside three like it, and beside one that
stalls, one that sends garbage and one that flaps. Reports p50 and p95 from decoded frame to message
(latency_us), the frames inferred of the healthy camera, and the share of the faulty ones. The second row is
the cost of other cameras; in the third, faulty cameras must cost no more. tests/unit/test_isolation.c tests
the same by counts instead of times."""

import argparse
import json
import statistics
import tempfile
import time
import sys
from pathlib import Path

from websockets.sync.client import connect

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "integration"))
from serving import Serving  # noqa: E402

GOOD = "sim://walk?fps=25"
COMPANY = {
    "alone": [],
    "beside three good ones": [f"{GOOD}&seed={seed}" for seed in (1, 2, 3)],
    "beside three bad ones": [f"{GOOD}&stall=0.5:2:3&seed=1", f"{GOOD}&garbage=0:1000000&seed=2",
                              f"{GOOD}&flap=0.6&seed=3"],
}
WARM_UP_S = 5  # longer than a new camera takes to become healthy


def measure(serving, urls, seconds):
    names = [f"n{number}" for number in range(len(urls))]
    for name, url in zip(names, urls):
        serving.json("POST", "/api/v2/cameras", {"name": name, "url": url}, 201)
        time.sleep(0.013)  # not all in the same phase
    time.sleep(WARM_UP_S)
    before, latencies = serving.get("/api/v2/ledger")["cameras"], []
    with connect(serving.ws_url("/api/v2/ws?cameras=good"), compression=None) as socket:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            latencies.append(json.loads(socket.recv())["latency_us"] / 1e3)
    after = serving.get("/api/v2/ledger")["cameras"]
    for name in names:
        serving.request("DELETE", f"/api/v2/cameras/{name}")
    latencies.sort()

    def inferred(name):
        return after[name]["inferred"] - before[name]["inferred"]
    return {"p50_ms": latencies[len(latencies) // 2], "p95_ms": latencies[len(latencies) * 95 // 100],
            "inferred_part": inferred("good") / (after["good"]["received"] - before["good"]["received"]),
            "others_per_s": sum(inferred(name) for name in names) / seconds}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--engine", default="openvino")
    parser.add_argument("--program", default=ROOT / "build" / "spoton", type=Path)
    arguments = parser.parse_args()
    rows = {name: [] for name in COMPANY}
    with tempfile.TemporaryDirectory() as folder, \
            Serving(arguments.program.resolve(), Path(folder), {"good": GOOD},
                    {"ENGINE": arguments.engine}) as serving:
        serving.until_live("good")
        for turn in range(arguments.turns):
            for name, urls in COMPANY.items():
                rows[name].append(measure(serving, urls, arguments.seconds))
                print(f"turn {turn + 1}, {name}: " + ", ".join(
                    f"{key} {value:.4g}" for key, value in rows[name][-1].items()), flush=True)
    first = rows["alone"]
    for name, same in rows.items():
        print(json.dumps({"company": name, **{key: round(statistics.median(row[key] for row in same), 3)
                                              for key in same[0]},
                          "p95_to_alone": round(statistics.median(
                              row["p95_ms"] / alone["p95_ms"] for row, alone in zip(same, first)), 3)}))


if __name__ == "__main__":
    main()
