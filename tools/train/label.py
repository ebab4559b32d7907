"""Completes labels with a larger detector that the user has.

A detector runs six times on every frame: whole, mirrored, and in four tiles. Confident people on which
several views agree are added with flag 1, others with flag 2, which leaves them out of the loss, so that
an unlabelled person is no error. Labels by hand are kept. The detector is any file that OpenVINO reads,
with the output [1,4+classes,n] or [1,300,6] and class 0 a person.
"""
import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from . import TrainError
from .data import GREY, read_data

SURE_CONFIDENCE, DOUBTFUL_CONFIDENCE, SEEN_CONFIDENCE = 0.55, 0.18, 0.2
TILE_SHARE = 0.6
SAME_IOU, NMS_IOU, KNOWN_IOU, KNOWN_SHARE = 0.5, 0.6, 0.4, 0.7
EDGE_PX = 4


class Detector:
    def __init__(self, path, size):
        import openvino as ov
        try:
            model = ov.Core().read_model(path)
        except RuntimeError as error:
            raise TrainError(f"detector {path}: {str(error).strip().splitlines()[-1][:160]}") from None
        shape = model.inputs[0].partial_shape
        self.planar = shape[1].is_static and shape[1].get_length() == 3
        if shape.is_dynamic:
            model.reshape([1, 3, size, size] if self.planar else [1, size, size, 3])
        fixed = model.inputs[0].shape
        self.height, self.width = fixed[2:] if self.planar else fixed[1:3]
        out = model.outputs[0].partial_shape
        if len(model.outputs) != 1 or len(out) != 3:
            raise TrainError(f"detector {path}: output {out}; wanted is one of [1,4+classes,n], "
                             "[1,300,6]")
        self.run = ov.Core().compile_model(model, "CPU")

    def __call__(self, frame):
        """A Pillow frame -> [n,5] x1 y1 x2 y2 px, confidence"""
        scale = min(self.width / frame.width, self.height / frame.height)
        small = frame.resize((max(1, round(frame.width * scale)),
                                max(1, round(frame.height * scale))), Image.Resampling.BILINEAR)
        x = np.full((1, self.height, self.width, 3), GREY, np.float32)
        x[0, :small.height, :small.width] = np.asarray(small)
        x /= 255
        rows = self.run(x.transpose(0, 3, 1, 2) if self.planar else x)[0][0]
        if rows.shape[1] == 6:
            rows = rows[rows[:, 5] == 0][:, :5].copy()
        else:
            rows = rows[:, rows[4] > 0.1].T
            half = rows[:, 2:4] / 2
            rows = np.hstack([rows[:, :2] - half, rows[:, :2] + half, rows[:, 4:5]])
        rows = rows[rows[:, 4] > 0.1]
        if len(rows) and rows[:, :4].max() < 4:  # shares of the input, as TFLite's exports give
            rows[:, :4] *= [self.width, self.height, self.width, self.height]
        rows[:, :4] /= scale
        return suppress(rows)


def overlaps(a, b):
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:4], b[None, :, 2:4])
    both = np.prod(np.clip(high - low, 0, None), 2)
    areas = [np.prod(r[:, 2:4] - r[:, :2], 1) for r in (a, b)]
    return both, both / np.maximum(areas[0][:, None] + areas[1][None] - both, 1e-9), areas[0]


def suppress(rows):
    rows, kept = rows[np.argsort(-rows[:, 4], kind="stable")], []
    while len(rows):
        kept.append(rows[0])
        rows = rows[1:][overlaps(rows[:1], rows[1:])[1][0] < NMS_IOU]
    return np.array(kept).reshape(-1, 5)


def views(detector, frame):
    """Detections in the whole frame, in its mirror image, and in four overlapping tiles."""
    width, height = frame.size
    found = [detector(frame)]
    mirrored = detector(frame.transpose(Image.Transpose.FLIP_LEFT_RIGHT))
    mirrored[:, [0, 2]] = width - mirrored[:, [2, 0]]
    found.append(mirrored)
    tile_width, tile_height = int(width * TILE_SHARE), int(height * TILE_SHARE)
    for y in (0, height - tile_height):
        for x in (0, width - tile_width):
            rows = detector(frame.crop((x, y, x + tile_width, y + tile_height)))
            # The size of a person is unknown where an inner edge of the tile cuts the box.
            cut = (((rows[:, 0] < EDGE_PX) & (x > 0)) | ((rows[:, 1] < EDGE_PX) & (y > 0)) |
                   ((rows[:, 2] > tile_width - EDGE_PX) & (x + tile_width < width)) |
                   ((rows[:, 3] > tile_height - EDGE_PX) & (y + tile_height < height)))
            found.append(rows[~cut] + [x, y, x, y, 0])
    return found


def complete(detectors, frame, known):
    """known [n,5] flag and corners px -> the same with what the detectors add"""
    seen = [rows for detector in detectors for rows in views(detector, frame)]
    rows, added = list(known), []
    votes_needed = 2 * len(detectors)  # of six views each; far people show up in few
    for box in suppress(np.concatenate(seen)):
        if len(known):
            both, fit, area = overlaps(box[None], known[:, 1:])
            if fit.max() > KNOWN_IOU or both.max() > KNOWN_SHARE * area[0]:
                continue
        votes = sum(bool(len(view)) and
                    bool((overlaps(box[None], view)[1][0] * (view[:, 4] > SEEN_CONFIDENCE)).max()
                         > SAME_IOU) for view in seen)
        if box[4] > SURE_CONFIDENCE and votes >= votes_needed:
            added.append([1, *box[:4]])
        elif box[4] > DOUBTFUL_CONFIDENCE:
            added.append([2, *box[:4]])
    return np.array(rows + added, float).reshape(-1, 5), len(added)


def write(folder, frame, image, rows):
    """NAME with the frame's bytes as they are, and NAME.txt."""
    path = Path(folder) / Path(frame.name).name
    path.write_bytes(frame.data)
    size = np.array(image.size * 2, float)
    boxes = np.clip(rows[:, 1:], 0, size) / size
    lines = ["%d %.5f %.5f %.5f %.5f\n" % (row[0], (b[0] + b[2]) / 2, (b[1] + b[3]) / 2,
                                          b[2] - b[0], b[3] - b[1]) for row, b in zip(rows, boxes)]
    path.with_suffix(".txt").write_text("".join(lines), encoding="utf-8")


def label(words):
    parser = argparse.ArgumentParser(prog="train label", description="Completes labels.")
    parser.add_argument("data", help="folder as for training; empty .txt where nothing is labelled")
    parser.add_argument("out", help="new folder: one folder a source")
    parser.add_argument("--detector", required=True, action="append", help="may be given again")
    parser.add_argument("--size", type=int, default=960, help="of a detector with free sizes")
    parser.add_argument("--replace", action="store_true", help="drop the labels that are there")
    args = parser.parse_args(words)
    out = Path(args.out)
    if out.exists() and any(out.iterdir()):
        raise TrainError(f"out {out}: is not empty; name a new folder")
    detectors = [Detector(path, args.size) for path in args.detector]
    train, val = read_data(args.data)
    groups = [(name, frames) for name, frames in train.items()]
    groups += [(f"val-{name}", frames) for name, frames in val.items()]
    for name, frames in groups:
        (out / name).mkdir(parents=True)
        number = 0
        for frame in frames:
            image = frame.open()
            size = np.array(image.size * 2, float)
            rows = frame.boxes if not args.replace else frame.boxes[:0]
            half = rows[:, 3:] / 2
            known = np.hstack([rows[:, :1], np.hstack([rows[:, 1:3] - half, rows[:, 1:3] + half])
                               * size])
            rows, added = complete(detectors, image, known)
            write(out / name, frame, image, rows)
            number += added
        print(f"{name}: {len(frames)} frames, {number} people added", flush=True)
