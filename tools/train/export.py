"""Weights -> ONNX: images [batch,3,h,w] -> output0 [batch,5,n] cx cy w h px, confidence 0..1.

The graph has only operations that are fast on CPUs: batch norm is fused into the convolutions, each CSP
block starts with two convolutions instead of one and a split, and a small convolution converts the four
distances to a box, without slicing. The results are those of the trained net.
"""
import copy
import hashlib

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from .net import STRIDES, Conv, Csp
from .quantize import stop_rounding


class FusedConv(nn.Module):
    def __init__(self, conv):
        super().__init__()
        self.conv = conv

    def forward(self, x):
        return torch.clamp(self.conv(x), 0.0, 6.0)


def fuse(module):
    return FusedConv(fuse_conv_bn_eval(module.conv, module.norm))


def half_of(fused, first):
    """The convolution that computes the first or the second half of the channels."""
    whole = fused.conv
    width = whole.out_channels // 2
    rows = slice(0, width) if first else slice(width, 2 * width)
    conv = nn.Conv2d(whole.in_channels, width, whole.kernel_size, whole.stride, whole.padding)
    conv.weight.data.copy_(whole.weight.data[rows])
    conv.bias.data.copy_(whole.bias.data[rows])
    return FusedConv(conv)


class SplitCsp(nn.Module):
    def __init__(self, csp):
        super().__init__()
        enter = fuse(csp.enter)
        self.former, self.latter = half_of(enter, True), half_of(enter, False)
        self.steps, self.join = csp.steps, csp.join

    def forward(self, x):
        parts = [self.former(x), self.latter(x)]
        for step in self.steps:
            parts.append(step(parts[-1]))
        return self.join(torch.cat(parts, 1))


def replace(module, kind, make):
    for name, child in module.named_children():
        if isinstance(child, kind):
            setattr(module, name, make(child))
        else:
            replace(child, kind, make)


class Deployed(nn.Module):
    def __init__(self, net):
        super().__init__()
        net = copy.deepcopy(net).float().eval()
        stop_rounding(net)
        replace(net, Csp, SplitCsp)
        replace(net, Conv, fuse)
        self.net = net
        # left, top, right, bottom -> centre less the cell's, width, height
        matrix = torch.tensor([[-0.5, 0, 0.5, 0], [0, -0.5, 0, 0.5], [1, 0, 1, 0], [0, 1, 0, 1.0]])
        self.corners = nn.ModuleList()
        for stride in STRIDES:
            conv = nn.Conv2d(4, 4, 1, bias=False)
            conv.weight.data.copy_((matrix * stride)[:, :, None, None])
            self.corners.append(conv)

    def forward(self, x):
        rows = []
        for (confidence, distance), corners, stride in zip(self.net.levels(x), self.corners, STRIDES):
            height, width = confidence.shape[2], confidence.shape[3]
            at_x = ((torch.arange(width, device=x.device).float() + 0.5) * stride).view(1, 1, 1, -1)
            at_y = ((torch.arange(height, device=x.device).float() + 0.5) * stride).view(1, 1, -1, 1)
            zero = torch.zeros_like(at_y + at_x)
            cells = torch.cat([at_x + zero, at_y + zero, zero, zero], 1)
            rows.append(torch.cat([corners(distance) + cells, confidence.sigmoid()], 1).flatten(2))
        return torch.cat(rows, 2)


def export(net, path):
    """-> SHA-256 of the file"""
    deployed = Deployed(net.cpu()).eval()
    torch.onnx.export(
        deployed, torch.rand(1, 3, 384, 640), str(path), opset_version=17, dynamo=False,
        input_names=["images"], output_names=["output0"],
        dynamic_axes={"images": {0: "batch", 2: "height", 3: "width"},
                      "output0": {0: "batch", 2: "anchors"}})
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()
