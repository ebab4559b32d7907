#!/usr/bin/env python3
"""Writes the calibration file of the cameras of sim://world, computed independently of src/capture/sim/world.c.

    world_calibration.py NAME=CAMERA... > map.json     CAMERA: 0 to 5
"""
import json
import math
import sys

CAMERAS = [(0.2, 0.2, 4.2, 10, 8), (19.8, 0.2, 4.2, 10, 8), (19.8, 15.8, 4.2, 10, 8),
           (0.2, 15.8, 4.2, 10, 8), (26.2, 0.2, 4.0, 32.5, 9), (55.8, 0.2, 4.0, 49.5, 9)]
HALF_VIEW, UNITS = 0.77, 100


def seen(camera, x, y, width, height):
    """Pixel of a position on the floor, in metres: a pinhole camera aimed at a point of the floor."""
    cx, cy, cz, ax, ay = CAMERAS[camera]
    flat = math.hypot(ax - cx, ay - cy)
    length = math.hypot(flat, cz)
    forward = ((ax - cx) / length, (ay - cy) / length, -cz / length)
    right = (-(ay - cy) / flat, (ax - cx) / flat, 0)
    # Down in the image: away from up, across both others.
    tilt = cz / length
    down = (-(ax - cx) / flat * tilt, -(ay - cy) / flat * tilt, -flat / length)
    place = (x - cx, y - cy, -cz)
    depth, across, below = (sum(a * b for a, b in zip(axis, place))
                            for axis in (forward, right, down))
    focal = width / 2 / HALF_VIEW
    return width / 2 + focal * across / depth, height / 2 + focal * below / depth


def calibration(cameras, width=1920, height=1080):
    entries = []
    for name, camera in cameras.items():
        ax, ay = CAMERAS[camera][3:]
        spots = [(ax + dx, ay + dy) for dx, dy in ((-3, -1), (1, -3), (3, 2), (-1, 3), (0, 0))]
        entries.append({"id": name, "image_size": [width, height],
                        "source_points": [list(seen(camera, x, y, width, height))
                                          for x, y in spots],
                        "destination_points": [[x * UNITS, y * UNITS] for x, y in spots]})
    return {"ground_plane": {"width": 56 * UNITS, "height": 16 * UNITS,
                             "pixels_per_meter": UNITS}, "cameras": entries}


if __name__ == "__main__":
    words = dict(word.split("=", 1) for word in sys.argv[1:])
    json.dump(calibration({name: int(camera) for name, camera in words.items()}), sys.stdout)
