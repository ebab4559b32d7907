"""Initialises a smaller detector with the strongest channels of a larger one.

Channels are kept by the size of their batch norm's gain. What is kept is followed through the net:
the next layer takes the same ones as inputs, a bottleneck adds what belongs together, and a join
finds its parts where they moved to. Blocks beyond the smaller one's depth are left out.
"""
import torch


def strongest(conv, count, low=0, high=None):
    """Indices low..high of the `count` channels with the largest gains, in their order."""
    gain = conv.norm.weight.detach().abs()[low:high]
    return gain.argsort(descending=True)[:count].sort().values + low


def cut_conv(source, target, inputs, outputs):
    target.conv.weight.data.copy_(source.conv.weight.data[outputs][:, inputs])
    for name, value in target.norm.state_dict().items():
        value.copy_(source.norm.state_dict()[name][outputs] if value.ndim else
                    source.norm.state_dict()[name])
    return outputs


def cut(source, target, inputs):
    return cut_conv(source, target, inputs, strongest(source, target.conv.out_channels))


def cut_csp(source, target, inputs):
    half, small = source.enter.conv.out_channels // 2, target.enter.conv.out_channels // 2
    former = strongest(source.enter, small, 0, half)
    latter = strongest(source.enter, small, half)
    cut_conv(source.enter, target.enter, inputs, torch.cat([former, latter]))
    parts, own = [former, latter], latter - half
    for number, (big, little) in enumerate(zip(source.steps, target.steps)):
        middle = cut(big.one, little.one, own)
        cut_conv(big.two, little.two, middle, own)
        parts.append(own + (2 + number) * half)
    return cut(source.join, target.join, torch.cat(parts))


def cut_pool(source, target, inputs):
    kept, width = cut(source.enter, target.enter, inputs), source.enter.conv.out_channels
    return cut(source.join, target.join, torch.cat([kept + i * width for i in range(4)]))


def cut_branch(source, target, inputs):
    for big, little in zip(source[:-1], target[:-1]):
        inputs = cut(big, little, inputs)
    target[-1].weight.data.copy_(source[-1].weight.data[:, inputs])
    target[-1].bias.data.copy_(source[-1].bias.data)


@torch.no_grad()
def prune(big, small):
    """Fills `small`, no wider and no deeper than `big` anywhere, from `big`."""
    _, _, c, d, e = big.widths
    kept = torch.arange(3)
    for conv in range(2):
        kept = cut(big.p2[conv], small.p2[conv], kept)
    kept = cut_csp(big.p2[2], small.p2[2], kept)
    levels = []
    for name in ("p3", "p4", "p5"):
        source, target = getattr(big, name), getattr(small, name)
        kept = cut_csp(source[1], target[1], cut(source[0], target[0], kept))
        levels.append(kept)
    p3, p4, p5 = *levels[:2], cut_pool(big.p5[2], small.p5[2], kept)
    n4 = cut_csp(big.up4, small.up4, torch.cat([p5, p4 + e]))
    n3 = cut_csp(big.up3, small.up3, torch.cat([n4, p3 + d]))
    n4 = cut_csp(big.out4, small.out4, torch.cat([cut(big.down3, small.down3, n3), n4 + c]))
    n5 = cut_csp(big.out5, small.out5, torch.cat([cut(big.down4, small.down4, n4), p5 + d]))
    # The confidence branches are reinitialised: their last biases balance all channels, and without some of
    # them are too far off for a short run to recover.
    for level, inputs in enumerate((n3, n4, n5)):
        cut_branch(big.boxes[level], small.boxes[level], inputs)
    return small
