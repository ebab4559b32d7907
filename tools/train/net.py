"""The detector: anchor-free, one class. CSP backbone, PAN neck, a box and a confidence branch a level.

    image [b,3,h,w] RGB 0..1 -> strides 8, 16, 32 -> for every cell: a logit, four distances

ReLU6 throughout: cheap on CPUs, and int8 has a known range to cover. The order in which the layers
are made is part of the weights' format: weights of v0.2 have other names in the same order.
"""
import math
import os

import torch
import torch.nn.functional as F
from torch import nn

from . import TrainError

STRIDES = (8, 16, 32)
HEAD_WIDTH = 64
SIZES = {
    "person": {"widths": (16, 32, 64, 128, 256), "depths": (1, 2, 2, 1), "head": 64},
    "person-n": {"widths": (16, 32, 32, 96, 160), "depths": (1, 1, 1, 1), "head": 32},
}


class Conv(nn.Module):
    """Convolution, batch norm, ReLU6. `rounding` is set in a quantization-aware end."""

    def __init__(self, inputs, outputs, kernel=1, stride=1):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.03)
        self.rounding = None

    def forward(self, x):
        if self.rounding is None:
            return F.relu6(self.norm(self.conv(x)), inplace=True)
        weight = self.rounding.weight(self.conv.weight)
        x = F.conv2d(x, weight, None, self.conv.stride, self.conv.padding)
        return self.rounding.activation(F.relu6(self.norm(x)))


class Bottleneck(nn.Module):
    def __init__(self, width, add):
        super().__init__()
        self.one, self.two, self.add = Conv(width, width, 3), Conv(width, width, 3), add

    def forward(self, x):
        y = self.two(self.one(x))
        return x + y if self.add else y


class Csp(nn.Module):
    """One half passes through the bottlenecks; the outputs of all of them are concatenated."""

    def __init__(self, inputs, outputs, depth, add=True):
        super().__init__()
        half = outputs // 2
        self.enter = Conv(inputs, outputs)
        self.steps = nn.ModuleList(Bottleneck(half, add) for _ in range(depth))
        self.join = Conv(half * (depth + 2), outputs)

    def forward(self, x):
        parts = list(self.enter(x).chunk(2, 1))
        for step in self.steps:
            parts.append(step(parts[-1]))
        return self.join(torch.cat(parts, 1))


class Pool(nn.Module):
    """SPPF: three max-poolings in a row cover 5, 9 and 13 cells."""

    def __init__(self, width):
        super().__init__()
        self.enter, self.join = Conv(width, width // 2), Conv(width * 2, width)

    def forward(self, x):
        parts = [self.enter(x)]
        for _ in range(3):
            parts.append(F.max_pool2d(parts[-1], 5, 1, 2))
        return self.join(torch.cat(parts, 1))


def branch(inputs, width, outputs, bias):
    last = nn.Conv2d(width, outputs, 1)
    nn.init.constant_(last.bias, bias)
    return nn.Sequential(Conv(inputs, width, 3), Conv(width, width), last)


class Detector(nn.Module):
    def __init__(self, widths=SIZES["person"]["widths"], depths=SIZES["person"]["depths"],
                 head=HEAD_WIDTH):
        super().__init__()
        a, b, c, d, e = widths
        self.widths, self.depths, self.head = tuple(widths), tuple(depths), head
        self.p2 = nn.Sequential(Conv(3, a, 3, 2), Conv(a, b, 3, 2), Csp(b, b, depths[0]))
        self.p3 = nn.Sequential(Conv(b, c, 3, 2), Csp(c, c, depths[1]))
        self.p4 = nn.Sequential(Conv(c, d, 3, 2), Csp(d, d, depths[2]))
        self.p5 = nn.Sequential(Conv(d, e, 3, 2), Csp(e, e, depths[3]), Pool(e))
        self.up4, self.up3 = Csp(e + d, d, 1, False), Csp(d + c, c, 1, False)
        self.down3, self.out4 = Conv(c, c, 3, 2), Csp(c + d, d, 1, False)
        self.down4, self.out5 = Conv(d, d, 3, 2), Csp(d + e, e, 1, False)
        self.boxes = nn.ModuleList(branch(k, head, 4, 1.0) for k in (c, d, e))
        self.scores = nn.ModuleList(branch(k, head, 1, -5.0) for k in (c, d, e))

    def levels(self, x):
        """-> per stride (8, 16, 32): logit [b,1,h,w], distances to the edges / stride [b,4,h,w]"""
        p3 = self.p3(self.p2(x))
        p4 = self.p4(p3)
        p5 = self.p5(p4)
        n4 = self.up4(torch.cat([F.interpolate(p5, scale_factor=2.0), p4], 1))
        n3 = self.up3(torch.cat([F.interpolate(n4, scale_factor=2.0), p3], 1))
        n4 = self.out4(torch.cat([self.down3(n3), n4], 1))
        n5 = self.out5(torch.cat([self.down4(n4), p5], 1))
        return [(confidence(n), F.softplus(box(n)))
                for n, confidence, box in zip((n3, n4, n5), self.scores, self.boxes)]

    def forward(self, x):
        """-> logits [b,n], boxes [b,n,4] x1 y1 x2 y2 px"""
        logits, boxes = [], []
        for (confidence, distance), stride in zip(self.levels(x), STRIDES):
            points = cell_centres(confidence.shape[2], confidence.shape[3], stride, x.device)
            distance = distance.float().flatten(2).transpose(1, 2) * stride
            logits.append(confidence.float().flatten(1))
            boxes.append(torch.cat([points - distance[..., :2], points + distance[..., 2:]], -1))
        return torch.cat(logits, 1), torch.cat(boxes, 1)


def cell_centres(height, width, stride, device):
    """[height*width, 2] x y px, row by row"""
    y, x = torch.meshgrid(torch.arange(height, device=device), torch.arange(width, device=device),
                          indexing="ij")
    return (torch.stack([x, y], -1).reshape(-1, 2).float() + 0.5) * stride


def all_centres(height, width, device):
    """The cells of an image in the order of the detector's rows: [n, 2] px."""
    return torch.cat([cell_centres(height // s, width // s, s, device) for s in STRIDES])


# --- weights --------------------------------------------------------------------------------

def save_weights(net, path, note=""):
    """Half precision: batch norm covers the rounding, and the file is half as large."""
    state = {k: v.detach().cpu().half() if v.is_floating_point() else v.detach().cpu()
             for k, v in net.state_dict().items()}
    torch.save({"format": "spoton-person-1", "widths": net.widths, "depths": net.depths,
                "head": net.head, "weights": state, "note": note}, f"{path}.part")
    os.replace(f"{path}.part", path)


def load_weights(path, device="cpu"):
    """A detector in float32 from a file of save_weights() or of v0.2."""
    try:
        file = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise TrainError(f"weights {path}: no such file") from None
    except Exception as error:  # torch raises many kinds for a file that it did not write
        raise TrainError(f"weights {path}: unreadable: {str(error).splitlines()[0][:120]}") from None
    if not isinstance(file, dict) or not ({"widths", "weights"} <= set(file) or
                                          {"ema", "w", "n"} <= set(file)):
        raise TrainError(f"weights {path}: not written by this recipe; give a person*.pt")
    old = "ema" in file
    widths, depths = (file["w"], file["n"]) if old else (file["widths"], file["depths"])
    net = Detector(widths, depths, HEAD_WIDTH if old else file["head"])
    values = file["ema"] if old else file["weights"]
    ours = net.state_dict()
    if [tuple(v.shape) for v in values.values()] != [tuple(v.shape) for v in ours.values()]:
        raise TrainError(f"weights {path}: the layers are not those of {widths} {depths}")
    net.load_state_dict({name: value.float() if value.is_floating_point() else value
                         for name, value in zip(ours, values.values())})
    return net.to(device)


def average(words):
    """The mean of the detectors in files "FILE" or "FILE=SHARE" of the same shape."""
    total, sums, net = 0.0, None, None
    for word in words:
        path, _, share = word.partition("=")
        try:
            share = float(share or 1)
        except ValueError:
            share = math.nan
        if not math.isfinite(share):
            raise TrainError(f"average {word!r}: write FILE or FILE=SHARE, a number")
        other = load_weights(path)
        if net and (other.widths, other.depths, other.head) != (net.widths, net.depths, net.head):
            raise TrainError(f"average {path}: not of the shape of {words[0].partition('=')[0]}")
        net, total = net or other, total + share
        values = [v * share for v in other.state_dict().values()]
        sums = values if sums is None else [a + b for a, b in zip(sums, values)]
    if total <= 0:
        raise TrainError("average: the shares add up to nothing")
    net.load_state_dict({name: value / total for name, value in zip(net.state_dict(), sums)})
    return net


def shift_confidences(net, shift):
    """Adds to the logits of all confidences."""
    if not math.isfinite(shift):
        raise TrainError(f"--shift {shift}: a number such as -0.3")
    for branch_of_level in net.scores:
        branch_of_level[-1].bias.data += shift
