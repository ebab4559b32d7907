"""Detections in images. Any reader of images will do; this one needs the program ffmpeg alone.

Usage: image_detections.py IMAGE... [KEY=VALUE]...      e.g. image_detections.py a.jpg b.png yolo_confidence_threshold=0.5
"""

import subprocess
import sys

import numpy as np

import spoton


def read_image(path):
    """As cv2.imread: [height][width][3], blue first."""
    said = subprocess.run(["ffmpeg", "-v", "error", "-i", path, "-frames:v", "1", "-f", "image2pipe", "-c:v", "ppm", "-"],
                          capture_output=True, check=True).stdout
    _, size, _, data = said.split(b"\n", 3)
    width, height = map(int, size.split())
    return np.frombuffer(data, np.uint8).reshape(height, width, 3)[:, :, ::-1]


def main(words):
    settings = dict(word.split("=", 1) for word in words if "=" in word)
    with spoton.Detector(**settings) as detector:
        for path in (word for word in words if "=" not in word):
            for d, name in zip(*detector.detect(read_image(path))):
                print(f"{path}: {name} {d['confidence']:.2f} at {d['x1']:.0f} {d['y1']:.0f} {d['x2']:.0f} {d['y2']:.0f}")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(sys.argv[1:])
