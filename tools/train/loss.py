"""Assignment of cells to people, and the loss.

Task-aligned assignment (Feng et al., TOOD, ICCV 2021, section 3.2): each person is assigned the ten cells
inside it whose confidence and box agree best; the target of the confidence is how well the box fits, so that
it predicts IoU. People of all images are in one list of fixed length: no padding per image, no shape that
depends on data, no wait for the device, so that a CUDA graph can contain all of it.
"""
import math

import torch
import torch.nn.functional as F

CELLS_PER_PERSON = 10
CONFIDENCE_WEIGHT, BOX_WEIGHT = 0.7, 5.0
# IoU of two people at which the crowd weight is full; and above which they touch.
CROWDED_IOU, TOUCHING_IOU = 0.3, 0.02
# A distant person may be between the centres of the cells: least half extent of the search, px.
REACH_MIN = 4.5


def intersection(a, b):
    low, high = torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:], b[..., 2:])
    return area((high - low).clamp(min=0))


def iou(a, b):
    both = intersection(a, b)
    return both / (area(a[..., 2:] - a[..., :2]) + area(b[..., 2:] - b[..., :2]) - both + 1e-7)


def area(size):
    # Not prod(): its gradient counts zeros on the host, and so waits for the device.
    return size[..., 0] * size[..., 1]


def complete_iou(a, b):
    """CIoU (Zheng et al., AAAI 2020): IoU less the distance of the centres and of the shapes."""
    fit = iou(a, b)
    hull = torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])
    apart = ((a[..., :2] + a[..., 2:] - b[..., :2] - b[..., 2:]) ** 2).sum(-1) / 4
    size_a, size_b = a[..., 2:] - a[..., :2], b[..., 2:] - b[..., :2]
    angle = (torch.atan(size_b[..., 0] / (size_b[..., 1] + 1e-7))
             - torch.atan(size_a[..., 0] / (size_a[..., 1] + 1e-7)))
    shape = 4 / math.pi ** 2 * angle ** 2
    with torch.no_grad():
        alpha = shape / (shape - fit + 1 + 1e-7)
    return fit - apart / ((hull ** 2).sum(-1) + 1e-7) - alpha * shape


def inside(points, boxes, reach=0.0):
    """[t,n]: does the box, widened to twice `reach` where it is narrower, hold the point?"""
    middle, half = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) / 2
    away = (points[None] - middle[:, None]).abs()
    half = half.clamp(min=reach)[:, None]
    return (away[..., 0] < half[..., 0]) & (away[..., 1] < half[..., 1])


@torch.no_grad()
def assign(logits, boxes, points, batch):
    """-> target confidence [b,n]; pairs of person and cell: cell [t*10] in b*n, person's box, weight"""
    count, cells = logits.shape
    owner = batch.people_of
    near = inside(points, batch.people, REACH_MIN) & batch.people_valid[:, None]
    fit = iou(batch.people[:, None], boxes[owner]) * near
    agree = logits.sigmoid().sqrt()[owner] * fit ** 6
    best, cell = agree.topk(CELLS_PER_PERSON, 1)
    fit = fit.gather(1, cell)
    key = owner[:, None] * cells + cell
    taken = best > 1e-9
    # A cell claimed by several people is assigned to the one it fits best.
    claim = torch.zeros(count * cells, device=logits.device)
    claim.scatter_reduce_(0, key.flatten(), (fit * taken).flatten(), "amax")
    taken &= fit >= claim[key]
    best, fit = best * taken, fit * taken
    weight = best * fit.amax(1, True) / (best.amax(1, True) + 1e-9)
    target = torch.zeros(count * cells, device=logits.device)
    target.scatter_reduce_(0, key.flatten(), weight.flatten(), "amax")
    goal = batch.people[:, None].expand(-1, CELLS_PER_PERSON, -1)
    return target.view(count, cells), key.flatten(), goal.flatten(0, 1), weight.flatten()


@torch.no_grad()
def counted(points, batch, target):
    """[b,n]: 0 in cells within doubtful people that are assigned to no person"""
    hidden = inside(points, batch.doubtful) & batch.doubtful_valid[:, None]
    within = torch.zeros_like(target).index_add_(0, batch.doubtful_of, hidden.to(target.dtype))
    return 1 - ((within > 0) & (target <= 0)).to(target.dtype)


@torch.no_grad()
def rivals(batch):
    """Whom of the same image each person overlaps most -> box [t,4], IoU with it [t]"""
    known = batch.people_valid
    same = (batch.people_of[:, None] == batch.people_of) & known[:, None] & known
    fit = iou(batch.people[:, None], batch.people[None]) * same
    most, who = fit.fill_diagonal_(0).max(1)
    return batch.people[who], most


def covered_share(boxes, others):
    """How much of `others` the boxes cover, row by row."""
    return intersection(boxes, others) / area(others[:, 2:] - others[:, :2]).clamp(min=1)


def repulsion(answers, goal, rival, weight):
    """Sum of how much more of its person's rival a box covers than the person does (after Wang et
    al., Repulsion Loss, CVPR 2018, section 4.2)."""
    return ((covered_share(answers, rival) - covered_share(goal, rival)).clamp(min=0) * weight).sum()


def detection_loss(logits, boxes, points, batch, crowd_weight=0.0, repel=0.0):
    """-> loss, its confidence part, its box part

    crowd_weight: people who overlap another have a weight of up to 1 + this (from CROWDED_IOU on), because
    they are few, and two close together are often detected as one. repel: weight of repulsion().
    """
    target, cell, goal, weight = assign(logits.detach(), boxes.detach(), points, batch)
    total = target.sum().clamp(min=1)
    wrong = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    if crowd_weight or repel:
        rival, most = (v.repeat_interleave(CELLS_PER_PERSON, 0) for v in rivals(batch))
        extra = crowd_weight * (most / CROWDED_IOU).clamp(max=1)
        extra_of_cell = torch.zeros_like(target).flatten().scatter_reduce_(
            0, cell, torch.where(weight > 0, extra, 0.0), "amax")
        wrong = wrong * (1 + extra_of_cell.view_as(target))
        weight = weight * (1 + extra)
    confidence = (wrong * counted(points, batch, target)).sum() / total
    # gather, not indexing: its gradient needs no sorting
    answers = boxes.flatten(0, 1).gather(0, cell[:, None].expand(-1, 4))
    box = ((1 - complete_iou(answers, goal)) * weight).sum() / total
    loss = CONFIDENCE_WEIGHT * confidence + BOX_WEIGHT * box
    if repel:
        loss = loss + repel * repulsion(answers, goal, rival, weight * (most > TOUCHING_IOU)) / total
    return loss, confidence.detach(), box.detach()


def teacher_loss(logits, boxes, teacher_logits, teacher_boxes):
    """Distillation: the target in every cell is the output of a larger detector."""
    target = teacher_logits.sigmoid()
    total = target.sum().clamp(min=1)
    confidence = F.binary_cross_entropy_with_logits(logits, target, reduction="sum") / total
    weight = torch.where(target > 0.05, target, 0.0)
    box = ((1 - complete_iou(boxes, teacher_boxes)) * weight).sum() / total
    return CONFIDENCE_WEIGHT * confidence + BOX_WEIGHT * box
