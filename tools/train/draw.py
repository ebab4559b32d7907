"""Draws a batch on the device: images alone and mosaics of four, small people, pasted people.

    Store -> tiles: which image, scale, place, mirrored -> resample(): one gather for all four tiles
          -> place_boxes(): the same to the labels -> paste(): single people onto other scenes
          -> photo.py: light, colour, noise, block coding -> Batch

Nothing here waits for the device, so drawing runs while the step before is still computing.
"""
import math
from dataclasses import dataclass

import torch

from .data import BOXES_MAX, GREY, LEVELS
from .photo import photograph

PEOPLE_PER_IMAGE, PEOPLE_MIN = 24, 256  # capacity of a batch's list; the rest is dropped
HIDDEN_SHARE = 0.7  # a person hidden more than this by a pasted patch is doubtful
# Half extents of the opaque part of a patch, relative to its width and height: little more than a standing
# person covers, so that people behind it are as visible as they would be.
PATCH_HALF = (0.45, 0.52)
SCALE_TO = 640  # input size of the deployed detector, to which sizes of people refer at any training size


@dataclass
class Batch:
    images: torch.Tensor       # [b,3,s,s] 0..1
    people: torch.Tensor         # [t,4] x1 y1 x2 y2 px, of all images in one list
    people_of: torch.Tensor      # [t] whose
    people_valid: torch.Tensor   # [t] the list is of fixed length
    doubtful: torch.Tensor       # [t,4]
    doubtful_of: torch.Tensor
    doubtful_valid: torch.Tensor


@dataclass
class Tiles:
    """Four rectangles an image, [b,2,2] each (row, column), meeting at `split`."""
    index: torch.Tensor
    scale_x: torch.Tensor   # output px per source px
    scale_y: torch.Tensor
    left: torch.Tensor      # where the source's corner lands, output px
    top: torch.Tensor
    mirrored: torch.Tensor
    split: torch.Tensor     # [b,2] x y


def uniform(shape, low, high, device):
    return torch.rand(shape, device=device) * (high - low) + low


def log_uniform(shape, low, high, device):
    return torch.exp(uniform(shape, math.log(low), math.log(high), device))


def choose_tiles(store, count, size, mosaic_share):
    device, shape = store.device, (count, 2, 2)
    index = store.draw(count * 4).view(shape)
    mosaic = (torch.rand(count, device=device) < mosaic_share)[:, None, None]
    split = torch.where(mosaic[:, :, 0], uniform((count, 2), 0.25 * size, 0.75 * size, device),
                        torch.full((count, 2), float(size), device=device))
    width, height = store.levels[index, 0, 1].float(), store.levels[index, 0, 2].float()
    # Downscale the whole image in many draws, for distant people.
    far = torch.rand(shape, device=device) < 0.4
    alone = torch.where(far, log_uniform(shape, 0.4, 0.7, device),
                        log_uniform(shape, 0.7, 1.6, device))
    joined = torch.where(far, log_uniform(shape, 0.14, 0.5, device),
                         log_uniform(shape, 0.5, 1.5, device))
    longest = torch.maximum(width, height)
    zoom = torch.where(mosaic, joined, alone) * SCALE_TO / longest
    zoom = zoom * torch.where(longest > 640, 1.25, 1.0)  # wide scenes: people are small already
    stretch = torch.exp(uniform(shape, -0.125, 0.125, device))
    scale_x, scale_y = zoom * stretch, zoom / stretch
    left = _place(width * scale_x, split[:, 0], size, mosaic, dim=2)
    top = _place(height * scale_y, split[:, 1], size, mosaic, dim=1)
    return Tiles(index, scale_x, scale_y, left, top, torch.rand(shape, device=device) < 0.5, split)


def _place(extent, split, size, mosaic, dim):
    """Against the split where the tile's window is larger, anywhere over it where it is smaller."""
    first = torch.arange(2, device=extent.device).view((1, 1, 2) if dim == 2 else (1, 2, 1)) == 0
    split = split[:, None, None]
    low = torch.where(first, torch.zeros_like(split), split)
    high = torch.where(first, split, torch.full_like(split, float(size)))
    chance = torch.rand(extent.shape, device=extent.device)
    room = high - low
    aligned = torch.where(first, high - extent, low)
    joined = torch.where(extent > room, low - (extent - room) * chance, aligned)
    return torch.where(mosaic, joined, (size - extent) * chance)


def resample(store, tiles, size):
    """-> RGBX 0..255 [b,size,size,4] (bilinear), covered [b,size,size]

    Tiles are axis-aligned, so everything but the gather itself is computed for rows and columns.
    """
    device = store.device
    kind = torch.float16 if store.pixels.is_cuda else torch.float32
    small = torch.minimum(tiles.scale_x, tiles.scale_y)
    level = (small < 0.6).long() + (small < 0.3).long()
    table = store.levels[tiles.index, level.clamp(max=LEVELS - 1)]
    base, width, height = table.unbind(-1)
    full = store.levels[tiles.index, 0]
    step_x = width / full[..., 1] / tiles.scale_x
    step_y = height / full[..., 2] / tiles.scale_y
    at = torch.arange(size, device=device) + 0.5

    def along(offset, step, extent, mirrored):
        """Source coordinate of each output row or column, for each tile: [b,2,2,size]"""
        u = (at - offset[..., None]) * step[..., None]
        limit = extent[..., None]
        inside = (u > 0) & (u < limit)
        if mirrored is not None:
            u = torch.where(mirrored[..., None], limit - u, u)
        u = (u - 0.5).clamp(min=0).minimum(limit - 1.0)
        low = u.floor()
        return low.long(), (u - low).to(kind), inside, limit

    x0, fx, in_x, w = along(tiles.left, step_x, width, tiles.mirrored)
    y0, fy, in_y, h = along(tiles.top, step_y, height, None)
    dx = (x0 + 1 < w).long()
    dy = (y0 + 1 < h).long() * width[..., None]
    row = base[..., None] + y0 * width[..., None]
    right = (at >= tiles.split[:, :1])[:, None, :]     # [b,1,s]
    below = (at >= tiles.split[:, 1:])[:, :, None]     # [b,s,1]

    def by_column(values):  # [b,2(row),2(column),s over x] -> [b,s,s]
        upper = torch.where(right[:, 0], values[:, 0, 1], values[:, 0, 0])
        lower = torch.where(right[:, 0], values[:, 1, 1], values[:, 1, 0])
        return torch.where(below, lower[:, None, :], upper[:, None, :])

    def by_row(values):     # [b,2,2,s over y] -> [b,s,s]
        former = torch.where(below[..., 0], values[:, 1, 0], values[:, 0, 0])
        latter = torch.where(below[..., 0], values[:, 1, 1], values[:, 0, 1])
        return torch.where(right, latter[:, :, None], former[:, :, None])

    covered = by_column(in_x) & by_row(in_y)
    index = torch.where(covered, by_row(row) + by_column(x0), 0)
    step_right = torch.where(covered, by_column(dx), 0)
    step_down = torch.where(covered, by_row(dy), 0)

    def fetch(i):
        return store.pixels[i].view(torch.uint8).view(*i.shape, 4).to(kind)

    fx, fy = by_column(fx)[..., None], by_row(fy)[..., None]
    upper = torch.lerp(fetch(index), fetch(index + step_right), fx)
    index = index + step_down
    lower = torch.lerp(fetch(index), fetch(index + step_right), fx)
    return torch.lerp(upper, lower, fy), covered


def place_boxes(store, tiles, size):
    """-> boxes [b,4*BOXES_MAX,5] (flag last), valid [b,4*BOXES_MAX]"""
    box = store.boxes[tiles.index]  # [b,2,2,BOXES_MAX,5]
    width = store.levels[tiles.index, 0, 1].float()[..., None]
    flipped = tiles.mirrored[..., None]
    x1 = torch.where(flipped, width - box[..., 2], box[..., 0])
    x2 = torch.where(flipped, width - box[..., 0], box[..., 2])
    scale_x, scale_y = tiles.scale_x[..., None], tiles.scale_y[..., None]
    x1, x2 = (v * scale_x + tiles.left[..., None] for v in (x1, x2))
    y1, y2 = (v * scale_y + tiles.top[..., None] for v in (box[..., 1], box[..., 3]))
    whole = (x2 - x1) * (y2 - y1)
    split_x, split_y = (tiles.split[:, i, None, None, None] for i in (0, 1))
    right = (torch.arange(2, device=store.device) == 1)[None, None, :, None]
    below = right.transpose(1, 2)
    zero, end = torch.zeros_like(split_x), torch.full_like(split_x, float(size))
    x1 = x1.maximum(torch.where(right, split_x, zero))
    x2 = x2.minimum(torch.where(right, end, split_x))
    y1 = y1.maximum(torch.where(below, split_y, zero))
    y2 = y2.minimum(torch.where(below, end, split_y))
    w, h = x2 - x1, y2 - y1
    known = torch.arange(BOXES_MAX, device=store.device) < store.numbers[tiles.index][..., None]
    # Too small or mostly cut off: neither a person to find nor an error to find one.
    doubtful = (w < 3) | (h < 7) | (w * h < 0.25 * whole)
    flag = torch.where(doubtful, 2.0, box[..., 4])
    count = len(tiles.split)
    boxes = torch.stack([x1, y1, x2, y2, flag], -1).view(count, -1, 5)
    return boxes, (known & (w > 1) & (h > 2)).view(count, -1)


def place_patches(boxes, valid, w, h, size, crowd):
    """Position and scale of patches of w x h: anywhere, or, for the share `crowd`,
    beside, before or behind a person of the image, on the same ground and about as tall.
    -> x, y, scale"""
    device, count = w.device, len(w)
    scale = log_uniform(count, 24, 240, device) / h.clamp(min=1)
    x = torch.rand(count, device=device)
    y = torch.rand(count, device=device)
    sure = valid & (boxes[..., 4] < 1.5)
    chance, pick = (torch.rand(sure.shape, device=device) * sure).max(1)
    near = boxes.gather(1, pick[:, None, None].expand(-1, 1, 5))[:, 0]
    near_w, near_h = near[:, 2] - near[:, 0], near[:, 3] - near[:, 1]
    joins = (chance > 0) & (torch.rand(count, device=device) < crowd)
    joined = near_h * log_uniform(count, 0.85, 1.18, device) / h.clamp(min=1)
    joins &= joined < 1.5
    scale = torch.where(joins, joined, scale).clamp(max=1.5)
    aside = uniform(count, 0.25, 1.1, device) * near_w
    aside = torch.where(torch.rand(count, device=device) < 0.5, aside, -aside)
    x = torch.where(joins, (near[:, 0] + near[:, 2] - w * scale) / 2 + aside,
                    x * (size - w * scale).clamp(min=1))
    lower = uniform(count, -0.12, 0.12, device) * near_h
    y = torch.where(joins, near[:, 3] + lower - h * scale, y * (size - h * scale).clamp(min=1))
    return x, y, scale


def paste(store, images, boxes, valid, chosen, size, crowd=0.0):
    """Pastes one patch onto each image of `chosen`: a person or, as often, background, so that a seam
    is no evidence of a person. -> the pasted people [len(chosen),5] and whether they are valid."""
    device, count = store.device, len(chosen)
    index = store.draw(count)
    numbers = store.numbers[index]
    pick = (torch.rand(count, device=device) * numbers).long()
    person = store.boxes[index, pick]
    width, height = store.levels[index, 0, 1].float(), store.levels[index, 0, 2].float()
    w, h = person[:, 2] - person[:, 0], person[:, 3] - person[:, 1]
    usable = (numbers > 0) & (person[:, 4] < 1.5) & (h >= 40) & (w >= 14)
    clutter = torch.rand(count, device=device) < 0.5
    x1 = torch.where(clutter, torch.rand(count, device=device) * (width - w), person[:, 0])
    y1 = torch.where(clutter, torch.rand(count, device=device) * (height - h), person[:, 1])
    others = _overlap(torch.stack([x1, y1, x1 + w, y1 + h], 1)[:, None], store.boxes[index])
    others = others * (torch.arange(BOXES_MAX, device=device) < numbers[:, None])
    usable &= ~clutter | (others.sum(1) < 1)
    place_x, place_y, scale = place_patches(boxes[chosen], valid[chosen], w, h, size, crowd)
    mirrored = torch.rand(count, device=device) < 0.5
    corner = torch.where(mirrored, width - x1 - w, x1)
    four = (lambda v: v[:, None, None].expand(count, 2, 2))
    tiles = Tiles(four(index), four(scale), four(scale), four(place_x - corner * scale),
                  four(place_y - y1 * scale), four(mirrored),
                  torch.full((count, 2), float(size), device=device))
    patch, covered = resample(store, tiles, size)
    whole = torch.stack([place_x, place_y, place_x + w * scale, place_y + h * scale], 1)
    placed = whole.clamp(0, size)  # beside someone at the image's edge it may be cut off
    left = (placed[:, 2:] - placed[:, :2]).prod(1) / (whole[:, 2:] - whole[:, :2]).prod(1)
    usable &= left > 0.4
    alpha = _soft_mask(whole, size) * (covered & usable[:, None, None])
    images[chosen] = torch.lerp(images[chosen], patch, alpha.to(patch.dtype)[..., None])
    # People who are mostly hidden now are doubtful.
    old = boxes[chosen]
    area = ((old[..., 2] - old[..., 0]) * (old[..., 3] - old[..., 1])).clamp(min=1)
    hidden = (_overlap(old, placed[:, None]) > HIDDEN_SHARE * area) & usable[:, None]
    old[..., 4] = torch.where(hidden, 2.0, old[..., 4])
    boxes[chosen] = old
    return torch.cat([placed, torch.zeros(count, 1, device=device)], 1), usable & ~clutter


def _overlap(a, b):
    low, high = torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:4], b[..., 2:4])
    return (high - low).clamp(min=0).prod(-1)


def _soft_mask(box, size):
    """1 within a rounded rectangle about as large as the box, fading to 0 at its edge."""
    at = torch.arange(size, device=box.device) + 0.5
    middle = (box[:, :2] + box[:, 2:]) / 2
    half = (box[:, 2:] - box[:, :2]) * torch.tensor(PATCH_HALF, device=box.device)
    half = half.clamp(min=1e-3)  # an image without people has an empty box, and 0 / 0 is NaN
    x = ((at - middle[:, :1]) / half[:, :1])[:, None, :]
    y = ((at - middle[:, 1:]) / half[:, 1:])[:, :, None]
    return (8 * (1 - (x ** 6 + y ** 6))).clamp(0, 1)


def as_list(boxes, wanted, room):
    """[b,n,5] -> the wanted ones in a list of fixed length: boxes [room,4], owner [room], valid"""
    count, number = wanted.shape
    order = torch.argsort(wanted.flatten().to(torch.uint8), descending=True, stable=True)[:room]
    return boxes.flatten(0, 1)[order, :4], order // number, wanted.flatten()[order]


def draw_batch(store, count, size, mosaic_share=0.5, paste_share=0.15, crowd=0.0, patches=1, photo=True):
    tiles = choose_tiles(store, count, size, mosaic_share)
    pixels, covered = resample(store, tiles, size)
    pixels.masked_fill_(~covered[..., None], float(GREY))
    boxes, valid = place_boxes(store, tiles, size)
    number = round(count * paste_share)
    for _ in range(patches if number else 0):
        chosen = torch.randperm(count, device=store.device)[:number]
        pasted, good = paste(store, pixels, boxes, valid, chosen, size, crowd)
        extra = torch.zeros(count, 1, 5, device=store.device)
        extra[chosen, 0] = pasted
        extra_valid = torch.zeros(count, 1, dtype=torch.bool, device=store.device)
        extra_valid[chosen, 0] = good
        boxes, valid = torch.cat([boxes, extra], 1), torch.cat([valid, extra_valid], 1)
    images = pixels[..., :3].permute(0, 3, 1, 2) / 255  # channels last in memory
    if photo:
        images = photograph(images)
    room = min(max(count * PEOPLE_PER_IMAGE, PEOPLE_MIN), valid.numel())
    sure = valid & (boxes[..., 4] < 1.5)
    return Batch(images, *as_list(boxes, sure, room), *as_list(boxes, valid & ~sure, room))
