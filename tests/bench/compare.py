#!/usr/bin/env python3
"""Compares the rates of two or more commands in turn: A B C A B C ...

Each command prints a JSON object with "frames_per_s" on its last line of output (`spoton bench --json`
does). A machine whose speed drifts slows a whole turn down, so the ratio to the first command is taken
turn by turn, and the median over the turns is what counts.

    tests/bench/compare.py --turns 5 'python peer.py ...' 'build/spoton bench --json ...'
"""
import argparse
import json
import shlex
import statistics
import subprocess
import sys


def rate(command):
    done = subprocess.run(shlex.split(command), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True)
    try:
        return float(json.loads(done.stdout.strip().splitlines()[-1])["frames_per_s"])
    except (IndexError, KeyError, ValueError):
        sys.exit(f"{command}\nexit {done.returncode}, no frames_per_s in its last line\n"
                 f"{done.stdout[-500:]}{done.stderr[-1000:]}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("commands", nargs="+")
    arguments = parser.parse_args()
    if len(arguments.commands) < 2:
        parser.error("two commands at least")
    turns = []
    for number in range(arguments.turns):
        turns.append([rate(command) for command in arguments.commands])
        print(f"turn {number + 1}: " + "  ".join(f"{value:8.1f}" for value in turns[-1]), flush=True)
    for index, command in enumerate(arguments.commands):
        rates = [turn[index] for turn in turns]
        ratios = [turn[index] / turn[0] for turn in turns]
        print(f"{statistics.median(rates):8.1f} frames/s, {statistics.median(ratios):5.2f} times "
              f"the first ({min(ratios):.2f} to {max(ratios):.2f}): {command}")


if __name__ == "__main__":
    main()
