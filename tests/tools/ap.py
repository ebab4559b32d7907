#!/usr/bin/env python3
"""Average precision of a person detector, independent of the C code that it checks.

    ap.py MODEL LABELS.tar [--shape 640x640 640x384] [--aspect 4:3] [--precision f32]
    ap.py --detections DETS.txt LABELS.tar      detections of the program, see below

LABELS.tar holds NAME.jpg with NAME.txt: lines "flag cx cy w h", relative to the frame; flag 2 marks
people too doubtful to count for or against a detector. Prints AP at IoU 0.5 and the mean over
0.5..0.95 (101-point interpolation, as COCO) for each input shape. --aspect crops the frames first.
DETS.txt: lines "NAME x1 y1 x2 y2 confidence" in pixels of the frame.
Needs numpy and Pillow, and for a MODEL opencv-python and openvino; models with the head [1, 5, n] in
pixels.
"""
import argparse
import io
import tarfile

import numpy as np
from PIL import Image

IOUS = np.arange(0.5, 0.96, 0.05)


def read_labels(path, aspect):
    """Yields name, BGR frame, boxes [n][4] in pixels, doubtful [n]."""
    with tarfile.open(path) as tar:
        files = {m.name: m for m in tar.getmembers() if m.isfile()}
        for name in sorted(files):
            if not name.endswith((".jpg", ".webp")):
                continue
            data = io.BytesIO(tar.extractfile(files[name]).read())
            frame = np.array(Image.open(data).convert("RGB"))[:, :, ::-1]
            text = tar.extractfile(files[name.rsplit(".", 1)[0] + ".txt"]).read().decode()
            rows = np.array([line.split() for line in text.splitlines() if line.strip()], float)
            rows = rows.reshape(-1, 5)
            height, width = frame.shape[:2]
            size = np.array([width, height, width, height])
            half = rows[:, 3:5] / 2
            boxes = np.hstack([rows[:, 1:3] - half, rows[:, 1:3] + half]) * size
            doubtful = rows[:, 0] == 2
            if aspect:
                frame, boxes, doubtful = crop(frame, boxes, doubtful, aspect)
            yield name.rsplit("/", 1)[-1].rsplit(".", 1)[0], frame, boxes, doubtful


def crop(frame, boxes, doubtful, aspect):
    """The middle of the frame; people less than half inside become doubtful."""
    height, width = frame.shape[:2]
    keep = np.array([min(width, round(height * aspect)), min(height, round(width / aspect))])
    corner = (np.array([width, height]) - keep) // 2
    cut = np.clip(boxes - np.tile(corner, 2), 0, np.tile(keep, 2))
    area = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    share = np.prod(cut[:, 2:] - cut[:, :2], axis=1) / np.maximum(area, 1e-9)
    inside = share > 0
    frame = frame[corner[1]:corner[1] + keep[1], corner[0]:corner[0] + keep[0]]
    return frame, cut[inside], (doubtful | (share < 0.5))[inside]


def letterbox(frame, width, height):
    import cv2
    source_height, source_width = frame.shape[:2]
    gain = min(width / source_width, height / source_height)
    new_width, new_height = round(source_width * gain), round(source_height * gain)
    left, top = round((width - new_width) / 2 - 0.1), round((height - new_height) / 2 - 0.1)
    out = np.full((height, width, 3), 114, np.uint8)
    out[top:top + new_height, left:left + new_width] = cv2.resize(
        np.ascontiguousarray(frame), (new_width, new_height), interpolation=cv2.INTER_LINEAR)
    return out, gain, left, top


def overlaps(a, b):
    """IoU of every box of a with every box of b."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    both = np.prod(np.clip(high - low, 0, None), axis=2)
    areas = [np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) for boxes in (a, b)]
    return both / np.maximum(areas[0][:, None] + areas[1][None] - both, 1e-9)


def suppress(boxes, confidences, threshold):
    order = np.argsort(-confidences, kind="stable")[:4096]
    kept = []
    while len(order) and len(kept) < 300:
        kept.append(order[0])
        near = overlaps(boxes[order[:1]], boxes[order[1:]])[0] > threshold
        order = order[1:][~near]
    return np.array(kept, int)


def detect(model, frame, width, height):
    image, gain, left, top = letterbox(frame, width, height)
    output = model(image[None, :, :, ::-1].transpose(0, 3, 1, 2).astype(np.float32) / 255)[0][0]
    output = output[:, output[4] >= 0.001]
    boxes = np.concatenate([output[:2] - output[2:4] / 2, output[:2] + output[2:4] / 2]).T
    kept = suppress(boxes, output[4], 0.7)
    boxes = (boxes[kept] - [left, top, left, top]) / gain
    limits = np.array(frame.shape[1::-1] * 2)
    return np.clip(boxes, 0, limits), output[4][kept]


def match(boxes, confidences, labels, doubtful, iou):
    """Greedy by confidence: 1 true positive, 0 false positive, -1 not counted. Doubtful people match last."""
    table = overlaps(boxes, labels) if len(labels) and len(boxes) else np.zeros((len(boxes), 0))
    free = np.ones(len(labels), bool)
    result = np.zeros(len(boxes), int)
    for i in np.argsort(-confidences, kind="stable"):
        for group, value in ((~doubtful, 1), (doubtful, -1)):
            candidates = np.where(group & (free | doubtful), table[i], 0) if len(labels) else []
            if len(candidates) and np.max(candidates) >= iou:
                free[np.argmax(candidates)] = False
                result[i] = value
                break
    return result


def average_precision(frames, iou):
    hits, confidences, people = [], [], 0
    for boxes, confidence, labels, doubtful in frames:
        result = match(boxes, confidence, labels, doubtful, iou)
        hits.append(result[result >= 0])
        confidences.append(confidence[result >= 0])
        people += np.count_nonzero(~doubtful)
    hits, confidences = np.concatenate(hits), np.concatenate(confidences)
    hits = hits[np.argsort(-confidences, kind="stable")]
    true = np.cumsum(hits)
    recall, precision = true / people, true / np.arange(1, len(hits) + 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    at = np.searchsorted(recall, np.linspace(0, 1, 101), side="left")
    return np.mean(np.append(precision, 0)[at])


def report(name, frames):
    values = [average_precision(frames, iou) for iou in IOUS]
    print(f"{name:>10}  AP50 {values[0]:.4f}  AP50-95 {np.mean(values):.4f}  frames {len(frames)}")


def read_detections(path):
    found = {}
    with open(path, encoding="utf-8") as file:
        for line in file:
            name, *values = line.split()
            found.setdefault(name, []).append([float(v) for v in values])
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?")
    parser.add_argument("labels")
    parser.add_argument("--detections")
    parser.add_argument("--shape", nargs="+", default=["640x640", "640x384"])
    parser.add_argument("--aspect", help="crop to W:H first")
    parser.add_argument("--precision", default="f32")
    args = parser.parse_args()
    aspect = None
    if args.aspect:
        wide, high = args.aspect.split(":")
        aspect = float(wide) / float(high)
    labels = list(read_labels(args.labels, aspect))
    if args.detections:
        found = read_detections(args.detections)
        rows = [np.array(found.get(name, [])).reshape(-1, 5) for name, *_ in labels]
        report("detections", [(r[:, :4], r[:, 4], boxes, doubtful)
                              for r, (_, _, boxes, doubtful) in zip(rows, labels)])
        return
    import openvino as ov
    core = ov.Core()
    for shape in args.shape:
        width, height = (int(v) for v in shape.split("x"))
        model = core.read_model(args.model)
        model.reshape([1, 3, height, width])
        compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": args.precision})
        report(shape, [(*detect(compiled, frame, width, height), boxes, doubtful)
                       for _, frame, boxes, doubtful in labels])


if __name__ == "__main__":
    main()
