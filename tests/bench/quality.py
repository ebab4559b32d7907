#!/usr/bin/env python3
"""Compares detectors: average precision, and precision and recall at a confidence.

    quality.py MODEL... --labels PART.tar... [--shape 640x640] [--confidence 0.3] [--precision f32]

Prints one table per part: every model by the height of people in the model's input (all, under 32 px, 32 to
96, over 96). Labels and matching are those of tests/tools/ap.py; no code is shared with the training or the
program. Models: [1,5,n] in pixels (the bundled ones), [1,4+80,n] and [1,300,6] relative to the input
(YOLOv8 to YOLO26 as TFLite), NCHW or NHWC. People of another height, and unmatched boxes of another height,
are not counted.
Needs numpy, opencv-python and openvino. TFLite files run in LiteRT (ai-edge-litert), their own runtime:
OpenVINO 2026.2 gives other results for integer models (YOLO26n: AP50 0.63 instead of 0.79).
"""
import argparse
import os
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools"))
import ap  # noqa: E402

HEIGHTS = {"all": (0, np.inf), "<32": (0, 32), "32-96": (32, 96), ">96": (96, np.inf)}
PERSON = 0


class LiteRt:
    def __init__(self, path):
        from ai_edge_litert.interpreter import Interpreter
        self.interpreter = Interpreter(str(path), num_threads=os.cpu_count())
        self.interpreter.allocate_tensors()
        self.input, = self.interpreter.get_input_details()
        self.output = self.interpreter.get_output_details()[0]["index"]

    def __call__(self, frame):
        self.interpreter.set_tensor(self.input["index"], frame)
        self.interpreter.invoke()
        return [self.interpreter.get_tensor(self.output)]


class Model:
    def __init__(self, path, width, height, precision):
        self.name, self.planar = Path(path).stem, False
        if str(path).endswith(".tflite"):
            self.run = LiteRt(path)
            self.height, self.width = (int(v) for v in self.run.input["shape"][1:3])
            return
        import openvino as ov
        core = ov.Core()
        model = core.read_model(path)
        shape = model.inputs[0].partial_shape
        self.planar = shape[1].is_static and shape[1].get_length() == 3
        if shape.is_dynamic:
            model.reshape([1, 3, height, width] if self.planar else [1, height, width, 3])
        fixed = model.inputs[0].shape
        self.height, self.width = fixed[2:] if self.planar else fixed[1:3]
        self.run = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": precision})

    def detect(self, frame):
        """Boxes [n,4] in the frame's pixels, confidences [n], pixels of the input per pixel"""
        image, gain, left, top = ap.letterbox(frame, self.width, self.height)
        image = image[None, :, :, ::-1].astype(np.float32) / 255
        output = self.run(image.transpose(0, 3, 1, 2) if self.planar else image)[0][0]
        if output.shape[1] == 6:
            rows = output[(output[:, 5] == PERSON) & (output[:, 4] >= 0.001)]
            boxes, confidences = rows[:, :4] * np.array([self.width, self.height] * 2), rows[:, 4]
        else:
            output = output[:, output[4 + PERSON] >= 0.001]
            if output.shape[0] > 5:
                output[:4] *= np.array([self.width, self.height] * 2)[:, None]
            boxes = np.concatenate([output[:2] - output[2:4] / 2, output[:2] + output[2:4] / 2]).T
            kept = ap.suppress(boxes, output[4], 0.7)
            boxes, confidences = boxes[kept], output[4][kept]
        boxes = (boxes - [left, top, left, top]) / gain
        return np.clip(boxes, 0, np.array(frame.shape[1::-1] * 2)), confidences, gain


def judged(found, low, high, iou):
    """-> hits (1 or 0), confidences, number of people"""
    hits, confidences, people = [], [], 0
    for (boxes, confidence, gain), labels, doubtful in found:
        height = (labels[:, 3] - labels[:, 1]) * gain
        aside = doubtful | (height < low) | (height >= high)
        result = ap.match(boxes, confidence, labels, aside, iou)
        own = (boxes[:, 3] - boxes[:, 1]) * gain
        result[(result == 0) & ((own < low) | (own >= high))] = -1
        hits.append(result[result >= 0])
        confidences.append(confidence[result >= 0])
        people += np.count_nonzero(~aside)
    return np.concatenate(hits), np.concatenate(confidences), people


def precision_curve(hits, confidences, people):
    hits = hits[np.argsort(-confidences, kind="stable")]
    true = np.cumsum(hits)
    precision = np.maximum.accumulate((true / np.arange(1, len(hits) + 1))[::-1])[::-1]
    at = np.searchsorted(true / max(people, 1), np.linspace(0, 1, 101), side="left")
    return np.mean(np.append(precision, 0)[at])


def row(found, low, high, confidence_at):
    values = []
    for iou in ap.IOUS:
        hits, confidences, people = judged(found, low, high, iou)
        values.append(precision_curve(hits, confidences, people))
        if iou == ap.IOUS[0]:
            sure = hits[confidences >= confidence_at]
            precision, recall = sure.sum() / max(len(sure), 1), sure.sum() / max(people, 1)
    return people, values[0], np.mean(values), precision, recall


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--labels", nargs="+", required=True)
    parser.add_argument("--shape", default="640x640")
    parser.add_argument("--confidence", type=float, default=0.3)
    parser.add_argument("--precision", default="f32")
    args = parser.parse_args()
    width, height = (int(v) for v in args.shape.split("x"))
    models = [Model(path, width, height, args.precision) for path in args.models]
    for part in args.labels:
        frames = list(ap.read_labels(part, None))
        print(f"\n{Path(part).stem}, {len(frames)} frames, {args.shape}, {args.precision}; "
              f"precision and recall at {args.confidence}")
        print(f"{'model':24} {'height':>6} {'people':>6} {'AP50':>7} {'AP':>7} {'prec':>6} {'rec':>6}")
        for model in models:
            found = [(model.detect(frame), labels, doubtful)
                     for _, frame, labels, doubtful in frames]
            for name, (low, high) in HEIGHTS.items():
                people, ap50, mean, precision, recall = row(found, low, high, args.confidence)
                print(f"{model.name:24} {name:>6} {people:6d} {ap50:7.4f} {mean:7.4f} "
                      f"{precision:6.3f} {recall:6.3f}", flush=True)


if __name__ == "__main__":
    main()
