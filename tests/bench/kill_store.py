#!/usr/bin/env python3
"""Kills `spoton serve` with SIGKILL while it records, and reads what it has stored.

    tests/bench/kill_store.py [kills=50] [program=build/spoton]

Prints how old the first frame is that a kill lost, over all cameras and kills: the time of the kill less that of
the last stored frame, which includes the frame's way through the pipeline. Ends with an error if a frame that was
stored at an earlier kill is gone, or if a file cannot be read.
"""

import csv
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

CAMERAS = {"gate": "sim://walk?fps=10", "yard": "sim://walk?fps=5"}


def read(program, store, folder):
    """{(camera, run): [(sequence, time_us)]}, in order"""
    subprocess.run([program, "store", "export", store, "--out", folder], check=True, stdout=subprocess.DEVNULL)
    frames = {}
    for path in Path(folder).glob("*.csv"):
        with open(path, newline="") as file:
            for row in csv.DictReader(file):
                frames.setdefault((path.stem, row["run_us"]), {})[int(row["sequence"])] = int(row["time_us"])
    return frames


def main():
    settings = dict(word.split("=", 1) for word in sys.argv[1:])
    kills, program = int(settings.get("kills", 50)), str(Path(settings.get("program", "build/spoton")).resolve())
    chance, known, ages = random.Random(1), {}, []
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "store"
        command = [program, "serve"] + [word for name, url in CAMERAS.items() for word in ("--camera", f"{name}={url}")]
        environment = {**os.environ, "ENGINE": "fake", "HTTP_PORT": "0", "STORE": str(store)}
        for kill in range(kills):
            server = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE,
                                      stderr=subprocess.DEVNULL)
            url = server.stdout.readline().decode().removeprefix("dashboard: ").strip()
            while not json.load(urllib.request.urlopen(url + "api/v2/history"))["frames"]:
                time.sleep(0.1)
            time.sleep(1 + chance.uniform(0, 1.5))
            server.send_signal(signal.SIGKILL)
            killed_us = time.time_ns() // 1000
            server.wait()
            server.stdout.close()
            frames = read(program, store, Path(folder) / "csv")
            for key, of in known.items():
                assert of.items() <= frames.get(key, {}).items(), f"kill {kill + 1}: {key}: stored frames are gone"
            new = [of for key, of in frames.items() if key not in known]
            assert new, f"kill {kill + 1}: nothing is stored"
            ages += [(killed_us - max(of.values())) / 1e6 for of in new]
            known = frames
        report = subprocess.run([program, "store", "verify", store], check=True, text=True, capture_output=True).stdout
    damaged = re.search(r"damaged bytes (\d+)", report)
    ages.sort()
    print(f"{kills} kills, {sum(map(len, known.values()))} frames: lost at most the last {ages[-1]:.2f} s, half of the "
          f"times {ages[len(ages) // 2]:.2f} s; all files are readable; damaged bytes {damaged[1] if damaged else 0}")


if __name__ == "__main__":
    main()
