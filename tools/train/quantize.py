"""A quantization-aware end: int8's rounding happens in training, so that the weights get used to it.

Weights round to 255 steps per output channel (batch norm scales a channel as a whole, so folding it
in later changes nothing), activations to 256 steps between 0 and the largest seen, at most ReLU6's
6. Gradients pass as if nothing had been rounded (Bengio et al., 2013). The exported file stays
float; `spoton export` makes it int8.
"""
import torch
from torch import nn

from .net import Conv


class _Pass(torch.autograd.Function):
    @staticmethod
    def forward(_, __, rounded):
        return rounded

    @staticmethod
    def backward(_, gradient):
        return gradient, None


class Rounding(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("top", torch.zeros(()), persistent=False)

    def weight(self, weight):
        step = weight.detach().abs().amax((1, 2, 3), True).clamp(min=1e-8) / 127
        return _Pass.apply(weight, torch.round(weight.detach() / step) * step)

    def activation(self, x):
        with torch.no_grad():
            top = x.detach().amax().float()
            if self.training:
                self.top.copy_(torch.where(self.top == 0, top, torch.lerp(self.top, top, 0.01)))
            step = (self.top.clamp(min=1e-3) / 255).to(x.dtype)
            rounded = (x.detach() / step).round().clamp(max=255) * step
        return _Pass.apply(x, rounded)


def start_rounding(net):
    for module in net.modules():
        if isinstance(module, Conv):
            module.rounding = Rounding().to(module.conv.weight.device)


def stop_rounding(net):
    for module in net.modules():
        if isinstance(module, Conv):
            module.rounding = None
