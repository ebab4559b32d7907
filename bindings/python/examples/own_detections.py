"""Tracks from detections of one's own: rows "frame,-1,left,top,width,height,confidence" of the MOT Challenge, in order.

Usage: own_detections.py FILE [FRAME_RATE] [KEY=VALUE]...      e.g. own_detections.py det.txt 30 tracker=spoton
"""

import sys

import numpy as np

import spoton


def main(path, rate="30", *words):
    rows = np.loadtxt(path, delimiter=",", ndmin=2)
    with spoton.Tracker(float(rate), **dict(word.split("=", 1) for word in words)) as tracker:
        for number in range(1, int(rows[:, 0].max()) + 1):
            here = rows[rows[:, 0] == number]
            boxes = np.column_stack([here[:, 2:4], here[:, 2:4] + here[:, 4:6], here[:, 6]])
            for t in tracker.update(boxes, time=number / float(rate)):
                print(f"{number},{t['id']},{t['x1']:.2f},{t['y1']:.2f},{t['x2'] - t['x1']:.2f},"
                      f"{t['y2'] - t['y1']:.2f},{t['confidence']:.4f},-1,-1,-1")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(*sys.argv[1:])
