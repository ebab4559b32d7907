"""Average precision, precision and recall, by the height of people, on the device that trains.

For progress during training. Published figures are from tests/tools/ap.py, which shares no code with
this file.
"""
import numpy as np
import torch
from PIL import Image

from .data import GREY
from .loss import iou

HEIGHTS = {"all": (0, 1e9), "<32": (0, 32), "32-96": (32, 96), ">96": (96, 1e9)}
IOUS = np.arange(0.5, 0.96, 0.05)
CONFIDENCE_MIN, NMS_IOU, BOXES_MAX = 0.01, 0.7, 300


def letterbox(frame, size):
    """-> uint8 [size,size,3], scale, left, top"""
    scale = size / max(frame.size)
    width, height = (max(1, round(v * scale)) for v in frame.size)
    left, top = (size - width) // 2, (size - height) // 2
    out = np.full((size, size, 3), GREY, np.uint8)
    out[top:top + height, left:left + width] = np.asarray(
        frame.resize((width, height), Image.Resampling.BILINEAR))
    return out, scale, left, top


def suppress(boxes, confidences):
    order = confidences.argsort(descending=True)[:2000]
    boxes, confidences = boxes[order].cpu(), confidences[order].cpu()
    table = iou(boxes[:, None], boxes[None]).numpy() > NMS_IOU
    alive, kept = np.ones(len(boxes), bool), []
    for i in range(len(boxes)):
        if alive[i]:
            kept.append(i)
            alive[i + 1:] &= ~table[i, i + 1:]
    return boxes[kept[:BOXES_MAX]].numpy(), confidences[kept[:BOXES_MAX]].numpy()


@torch.no_grad()
def detect(net, frames, size, device, batch=16):
    """Yields boxes [n,4] in letterboxed px, confidences [n], for each frame."""
    net.eval()
    for start in range(0, len(frames), batch):
        images = np.stack([letterbox(p.open(), size)[0] for p in frames[start:start + batch]])
        x = torch.from_numpy(images).to(device).permute(0, 3, 1, 2).float() / 255
        with torch.autocast(x.device.type, torch.bfloat16, enabled=x.is_cuda):
            logits, boxes = net(x)
        for confidence, box in zip(logits.sigmoid(), boxes):
            good = confidence >= CONFIDENCE_MIN
            yield suppress(box[good].float(), confidence[good].float())


def ground_truth_of(frame, size):
    """Boxes [n,4] letterboxed px, doubtful [n]"""
    _, scale, left, top = letterbox(frame.open(), size)
    width, height = frame.open().size
    rows = frame.boxes
    extent = np.array([width, height, width, height]) * scale
    corners = np.hstack([rows[:, 1:3] - rows[:, 3:] / 2, rows[:, 1:3] + rows[:, 3:] / 2]) * extent
    return corners + [left, top, left, top], rows[:, 0] == 2


def judge(found, ground_truth, threshold, low, high):
    """Hits (1, 0, or -1 not counted) by descending confidence; the number of people."""
    (boxes, _), (people, doubtful) = found, ground_truth
    tall = people[:, 3] - people[:, 1]
    ignored = doubtful | (tall < low) | (tall >= high)
    table = iou(torch.from_numpy(boxes[:, None].astype(np.float32)),
                torch.from_numpy(people[None].astype(np.float32))).numpy()
    free, hits = np.ones(len(people), bool), np.zeros(len(boxes), int)
    for i in range(len(boxes)):
        for group, value in ((~ignored & free, 1), (ignored, -1)):
            fit = np.where(group, table[i], 0)
            if len(fit) and fit.max() >= threshold:
                hits[i] = value
                free[fit.argmax()] &= value != 1
                break
        if hits[i] == 0 and not low <= boxes[i, 3] - boxes[i, 1] < high:
            hits[i] = -1
    return hits, np.count_nonzero(~ignored)


def average_precision(hits, confidences, people):
    order = np.argsort(-confidences, kind="stable")
    true = np.cumsum(hits[order])
    recall, precision = true / max(people, 1), true / np.arange(1, len(true) + 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    return np.append(precision, 0)[np.searchsorted(recall, np.linspace(0, 1, 101))].mean()


def evaluate(net, parts, size, device, confidence_at=0.3):
    """Prints one line per part and height; -> {part: AP50}"""
    result = {}
    for part, frames in parts.items():
        found = list(detect(net, frames, size, device))
        ground_truth = [ground_truth_of(p, size) for p in frames]
        for name, (low, high) in HEIGHTS.items():
            precisions = []
            for threshold in IOUS:
                judged = [judge(f, t, threshold, low, high) for f, t in zip(found, ground_truth)]
                hits = np.concatenate([h for h, _ in judged])
                confidences = np.concatenate([f[1] for f in found])[hits >= 0]
                people = sum(n for _, n in judged)
                hits = hits[hits >= 0]
                precisions.append(average_precision(hits, confidences, people))
                if threshold == IOUS[0]:
                    sure = hits[confidences >= confidence_at]
                    at = sure.sum() / max(1, len(sure)), sure.sum() / max(1, people)
            print(f"  {part:>10} {name:>6}: people {people:5d}  AP50 {precisions[0]:.4f}  AP "
                  f"{np.mean(precisions):.4f}  at {confidence_at}: precision {at[0]:.3f} recall {at[1]:.3f}",
                  flush=True)
            if name == "all":
                result[part] = precisions[0]
    return result
