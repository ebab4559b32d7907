"""What cameras do to images, on the device: light, colour, gamma, low resolution, blur, noise,
block coding. In place where that saves a pass over memory."""
import math

import torch
import torch.nn.functional as F

# The luminance table of JPEG's annex K, of which encoders use multiples.
QUANTISER = [[16, 11, 10, 16, 24, 40, 51, 61], [12, 12, 14, 19, 26, 58, 60, 55],
             [14, 13, 16, 24, 40, 57, 69, 56], [14, 17, 22, 29, 51, 87, 80, 62],
             [18, 22, 37, 56, 68, 109, 103, 77], [24, 35, 55, 64, 81, 104, 113, 92],
             [49, 64, 78, 87, 103, 121, 120, 101], [72, 92, 95, 98, 112, 100, 103, 99]]
DCT = [[math.sqrt((1 if k == 0 else 2) / 8) * math.cos(math.pi * (2 * n + 1) * k / 16)
        for n in range(8)] for k in range(8)]
_constants = {}


def constants(device):
    """Copied to a device once: a copy in every batch would wait for it."""
    if device not in _constants:
        dct = torch.tensor(DCT)  # [frequency, place]; the 64 filters are its products
        filters = torch.einsum("ay,bx->abyx", dct, dct).reshape(64, 1, 8, 8)
        _constants[device] = (filters.to(device),
                              torch.tensor(QUANTISER).flatten().to(device) / 255)
    return _constants[device]


def photograph(x):
    """x [b,3,s,s] 0..1 -> the same; each effect meets other images of the batch."""
    count, device = len(x), x.device
    x = colours(x)
    order = torch.randperm(count, device=device)
    ends = [max(1, round(count * share)) for share in (0.15, 0.15, 0.3)]
    far, soft, noisy = order[:ends[0]], order[ends[0]:ends[0] + ends[1]], order[-ends[2]:]
    if len(far):
        x[far] = low_resolution(x[far])
    if len(soft):
        x[soft] = blur(x[soft])
    strength = torch.rand(len(noisy), 1, 1, 1, device=device, dtype=x.dtype) * 0.06
    x[noisy] = x[noisy] + torch.randn_like(x[noisy]) * strength
    coded = torch.randperm(count, device=device)[:max(1, round(count * 0.3))]
    x[coded] = block_coding(x[coded])
    return x.clamp_(0, 1)


def colours(x):
    """Brightness, contrast, saturation and white balance are one matrix an image; then gamma."""
    count, device = len(x), x.device

    def some(low, high, width=1):
        return torch.rand(count, width, 1, device=device) * (high - low) + low

    mean = x[:, :, ::8, ::8].float().mean((1, 2, 3)).view(count, 1, 1)
    bright, contrast, saturation = some(0.6, 1.4), some(0.6, 1.4), some(0.2, 1.7)
    saturation = torch.where(some(0, 1) < 0.15, 0.0, saturation)  # cameras at night have no colour
    balance = some(0.88, 1.12, 3)
    grey = torch.full((1, 3, 3), 1 / 3, device=device)
    matrix = (grey + saturation * (torch.eye(3, device=device) - grey)) * balance * bright * contrast
    shift = mean * bright * (1 - contrast) * balance
    matrix, shift = matrix.to(x.dtype), shift.to(x.dtype)
    r, g, b = x.unbind(1)
    x = torch.stack([(r * matrix[:, i, 0, None, None] + g * matrix[:, i, 1, None, None])
                     .addcmul_(b, matrix[:, i, 2, None, None]).add_(shift[:, i, :, None])
                     for i in range(3)], -1).permute(0, 3, 1, 2).clamp_(0.002, 1)
    gamma = torch.exp(some(-0.5, 0.5)) * (some(0, 1) < 0.3)
    gamma = torch.where(gamma == 0, 1.0, gamma)[..., None].to(x.dtype)
    return x.pow_(gamma)


def low_resolution(x):
    size = x.shape[-1]
    small = F.interpolate(x, size=(round(size * 0.6),) * 2, mode="bilinear")
    return F.interpolate(small, size=(size, size), mode="bilinear")


def blur(x):
    count, _, height, width = x.shape
    at = torch.arange(-2, 3, device=x.device)
    sigma = torch.rand(count, 1, device=x.device) * 1.2 + 0.4
    kernel = torch.exp(-at ** 2 / (2 * sigma ** 2))
    kernel = (kernel / kernel.sum(1, True)).to(x.dtype).repeat_interleave(3, 0)
    y = F.pad(x, (2, 2, 2, 2), mode="reflect").reshape(1, count * 3, height + 4, width + 4)
    y = F.conv2d(y, kernel[:, None, None, :], groups=count * 3)
    return F.conv2d(y, kernel[:, None, :, None], groups=count * 3).view(count, 3, height, width)


def block_coding(x):
    """Rounds the 8x8 cosine coefficients as JPEG and H.264 do, each colour by itself."""
    count, _, height, width = x.shape
    filters, table = constants(x.device)
    y = x.float().reshape(count * 3, 1, height, width)
    spread = math.log(2.5) - math.log(0.3)
    step = torch.exp(torch.rand(count, 1, device=x.device) * spread + math.log(0.3))
    step = (step * table).repeat_interleave(3, 0)[:, :, None, None]
    y = torch.round(F.conv2d(y - 0.5, filters, stride=8) / step) * step
    y = F.conv_transpose2d(y, filters, stride=8) + 0.5
    return y.view(count, 3, height, width).to(x.dtype)
