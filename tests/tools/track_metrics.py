#!/usr/bin/env python3
"""IDF1, MOTA and related metrics of tracks, by py-motmetrics.

    track_metrics.py GT.txt TRACKS.txt [--every N] [--json]
        one sequence; with --every N only the frames 1, 1+N, 1+2N, ... of both files count
    track_metrics.py --table DATA [--spoton build/spoton]
        the tables of docs/TRACKING.md: parity with ref.txt and IDF1 for every sequence of DATA
        (a folder of <sequence>/{det,ref,gt}.txt and compare.py), tracked by `spoton track`

A box is a true positive at an IoU of 0.5 or more with the ground truth. Needs motmetrics.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile

import motmetrics
import numpy as np


def read_rows(path, every=1):
    """frame -> [[id, left, top, width, height], ...] of the frames 1, 1+every, ..."""
    frames = {}
    with open(path) as file:
        for line in file:
            if not line.strip():
                continue
            value = [float(text) for text in line.split(",")[:7]]
            frame = int(value[0])
            # A seventh value of 0 marks ground truth that does not count.
            if (frame - 1) % every == 0 and (len(value) < 7 or value[6] != 0):
                frames.setdefault(frame, []).append(value[1:6])
    return {frame: np.array(rows) for frame, rows in frames.items()}


def iou(a, b):
    """[n][4] and [m][4] left, top, width, height -> [n][m]"""
    a, b = a[:, None], b[None]
    size = np.minimum(a[..., :2] + a[..., 2:], b[..., :2] + b[..., 2:]) - np.maximum(
        a[..., :2], b[..., :2])
    both = np.prod(np.clip(size, 0, None), axis=-1)
    return both / np.maximum(np.prod(a[..., 2:], axis=-1) + np.prod(b[..., 2:], axis=-1) - both, 1e-9)


def measure(ground_truth_path, tracks_path, every=1):
    ground_truth, tracks = read_rows(ground_truth_path, every), read_rows(tracks_path, every)
    accumulator = motmetrics.MOTAccumulator()
    nothing = np.zeros((0, 5))
    for frame in sorted(set(ground_truth) | set(tracks)):
        g, t = ground_truth.get(frame, nothing), tracks.get(frame, nothing)
        overlap = iou(g[:, 1:], t[:, 1:])
        accumulator.update(g[:, 0].astype(int), t[:, 0].astype(int),
                           np.where(overlap >= 0.5, 1 - overlap, np.nan), frameid=frame)
    names = ["idf1", "idp", "idr", "mota", "num_switches", "num_fragmentations"]
    summary = motmetrics.metrics.create().compute(accumulator, metrics=names, name="it")
    return {name: float(summary[name].iloc[0]) for name in names}


def track(spoton, detections, out, **settings):
    subprocess.run([spoton, "track", detections, "-o", out], check=True,
                   env={**os.environ, "LOG_LEVEL": "error",
                        **{key: str(value) for key, value in settings.items()}})


def spread(source, target, every):
    """Restores the original numbers 1, 1+every, ... of frames that were renumbered 1, 2, 3, ..."""
    with open(source) as read, open(target, "w") as write:
        for line in read:
            frame, rest = line.split(",", 1)
            write.write("%d,%s" % ((int(frame) - 1) * every + 1, rest))


def idf1_at(spoton, detections, ground_truth, every, steps, out):
    track(spoton, detections, out, TRACK_DT=steps, FRAME_SKIP=every, OUTPUT_FRAMES="inferred")
    return 100 * measure(ground_truth, out, every)["idf1"]


def print_parity(data, names, spoton, out):
    print("| sequence | rows equal | of | share |\n|---|---|---|---|")
    for name in names:
        track(spoton, os.path.join(data, name, "det.txt"), out, TRACK_DT="frames", FRAME_SKIP=1)
        said = subprocess.run([sys.executable, os.path.join(data, "compare.py"),
                               os.path.join(data, name, "ref.txt"), out],
                              capture_output=True, text=True, check=False).stdout.split()
        print("| %s | %s | %s | %s %% |" % (name, said[3], said[5], said[6].strip("(")))


def print_idf1(data, names, spoton, out, folder):
    print("\n| sequence | every frame | every 2nd: frames | timestamps | every 3rd: frames | "
          "timestamps |\n|---|---|---|---|---|---|")
    for name in names:
        detections = os.path.join(data, name, "det.txt")
        ground_truth = os.path.join(data, name, "gt.txt")
        if not os.path.exists(ground_truth):
            continue
        if name.endswith("-skip3"):
            spread(detections, os.path.join(folder, "det.txt"), 3)
            spread(ground_truth, os.path.join(folder, "gt.txt"), 3)
            cells = ["", "", ""]
            detections, ground_truth = os.path.join(folder, "det.txt"), os.path.join(folder, "gt.txt")
            wanted = [(3, "frames"), (3, "timestamps")]
        else:
            cells = []
            wanted = [(1, "frames"), (2, "frames"), (2, "timestamps"), (3, "frames"),
                      (3, "timestamps")]
        cells += ["%.1f" % idf1_at(spoton, detections, ground_truth, every, steps, out)
                  for every, steps in wanted]
        print("| %s | %s |" % (name, " | ".join(cells)), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ground_truth", nargs="?")
    parser.add_argument("tracks", nargs="?")
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--table", metavar="DATA")
    parser.add_argument("--spoton", default="build/spoton")
    options = parser.parse_args()
    if options.table:
        names = sorted(name for name in os.listdir(options.table)
                       if os.path.isfile(os.path.join(options.table, name, "det.txt")))
        with tempfile.TemporaryDirectory() as folder:
            out = os.path.join(folder, "out.txt")
            print_parity(options.table, names, options.spoton, out)
            print_idf1(options.table, names, options.spoton, out, folder)
        return
    if not options.tracks:
        parser.error("GT.txt and TRACKS.txt, or --table DATA")
    result = measure(options.ground_truth, options.tracks, options.every)
    if options.json:
        print(json.dumps(result))
        return
    for name, value in result.items():
        print("%-20s %s" % (name, "%d" % value if name.startswith("num") else "%.2f %%" % (100 * value)))


if __name__ == "__main__":
    main()
