#!/usr/bin/env python3
"""What an output costs the pipeline: two servers at the same time, one with an MQTT output.

    .venv/bin/python tests/bench/bench_output_cost.py [--engine openvino] [--cameras 4] [--fps 25] [--seconds 15] [--turns 4]

Each server has one core, and cameras that are faster than it; they change cores from turn to turn, so that what else
the machine does affects both. Prints each turn and, as a JSON object, the geometric means of with / without: of the inferred
frames/s, and of the frames per second of CPU time, which a busy machine disturbs less. The fake engine costs nearly nothing:
with it, the rest of the pipeline is measured."""

import argparse
import json
import math
import os
import re
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "integration"))
from brokers import Mosquitto  # noqa: E402
from serving import Serving  # noqa: E402


def inferred(server):
    text = server.request("GET", "/metrics")[2].decode()
    return sum(float(n) for n in re.findall(r'^spoton_frames_total\{[^}]*outcome="inferred"[^}]*\} (\S+)', text, re.M))


def cpu_seconds(server):
    fields = Path(f"/proc/{server.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def start(folder, name, core, arguments, outputs):
    home = folder / name
    home.mkdir(exist_ok=True)
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        cameras = {f"c{i}": f"sim://walk?fps={arguments.fps}&seed={i}&people=5&width=320&height=192" for i in range(arguments.cameras)}
        return Serving(ROOT / "build" / "spoton", home, cameras,
                       {"ENGINE": arguments.engine, "OUTPUTS": outputs, "SITE": "bench",
                        **({"YOLO_MODEL_PATH": str(ROOT / "models" / "person.onnx")} if arguments.engine != "fake" else {})})
    finally:
        os.sched_setaffinity(0, cores)


def turn(folder, number, arguments, outputs):
    """With / without: frames/s, frames per CPU second."""
    first, second = sorted(os.sched_getaffinity(0))[:2]
    swap = number % 2
    with start(folder, f"without{number}", second if swap else first, arguments, "") as without, \
            start(folder, f"with{number}", first if swap else second, arguments, outputs) as with_output:
        both = (without, with_output)
        for server in both:
            server.until(lambda server=server: inferred(server) > 10)
        before, begin = [(inferred(server), cpu_seconds(server)) for server in both], time.monotonic()
        time.sleep(arguments.seconds)
        took = time.monotonic() - begin
        after = [(inferred(server), cpu_seconds(server)) for server in both]
        rates = [(new[0] - old[0]) / took for old, new in zip(before, after)]
        costs = [(new[1] - old[1]) / (new[0] - old[0]) * 1000 for old, new in zip(before, after)]
        report = with_output.get("/api/v2/outputs")["outputs"][0]
        assert report["connected"] and report["lost"] == 0, report
        print(json.dumps({"without": round(rates[0], 2), "with": round(rates[1], 2), "cpu_ms_without": round(costs[0], 3),
                          "cpu_ms_with": round(costs[1], 3), "sent": report["sent"]}), flush=True)
        return rates[1] / rates[0], costs[0] / costs[1]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engine", default="openvino")
    parser.add_argument("--cameras", type=int, default=4)
    parser.add_argument("--fps", type=float, default=25)
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--turns", type=int, default=4, help="an even number: each server is as often on each core")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with Mosquitto(folder) as broker:
            outputs = f"mqtt?url=mqtt://127.0.0.1:{broker.port}"
            ratios = [turn(folder, number, arguments, outputs) for number in range(arguments.turns)]
    by_time, by_cpu = (math.exp(sum(map(math.log, column)) / len(ratios)) for column in zip(*ratios))
    print(json.dumps({"engine": arguments.engine, "turns": len(ratios), "frames_per_second": round(by_time, 4),
                      "frames_per_cpu_second": round(by_cpu, 4)}))


if __name__ == "__main__":
    main()
