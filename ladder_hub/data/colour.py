"""torchvision's colour operations with a value for each image of a batch.

All take images float32 (b, 3, S, S) in [0, 1] and values float32 (b, 1, 1), and return new images that may
lie a little outside [0, 1]; the caller clamps.
"""

import torch

_THRESHOLD = 0.5


def brightness(images: torch.Tensor, factors: torch.Tensor) -> torch.Tensor:
    """Multiply by the factor."""
    return images * factors.unsqueeze(1)


def contrast(images: torch.Tensor, factors: torch.Tensor) -> torch.Tensor:
    """Away from the mean of the image's grey: mean + factor * (x - mean)."""
    mean = _luma(images).mean(dim=(-2, -1), keepdim=True).unsqueeze(1)
    return torch.addcmul((1.0 - factors).unsqueeze(1) * mean, images, factors.unsqueeze(1))


def saturation(images: torch.Tensor, factors: torch.Tensor) -> torch.Tensor:
    """Away from each pixel's grey: grey + factor * (x - grey)."""
    return torch.addcmul((_luma(images) * (1.0 - factors)).unsqueeze(1), images, factors.unsqueeze(1))


def hue(images: torch.Tensor, shifts: torch.Tensor) -> torch.Tensor:
    """Turn the colour wheel by `shifts` turns, in HSV.

    The way back is the closed form V - C * clamp(min(k, 4 - k), 0, 1), k = (n + 6 H) mod 6, with n = 5, 3, 1
    for red, green, blue: the same values as the usual six cases, without a table.
    """
    r, g, b = images.unbind(1)
    value = images.amax(1)
    chroma = value - images.amin(1)
    sixths = torch.where(value == g, (b - r).add_(chroma, alpha=2), (r - g).add_(chroma, alpha=4))
    sixths = torch.where(value == r, g - b, sixths).div_(chroma.clamp_min(torch.finfo(torch.float32).tiny))
    sixths.add_(shifts, alpha=6)
    out = torch.empty_like(images)
    for channel, n in enumerate((5, 3, 1)):
        k = (sixths + n).remainder_(6)
        weight = torch.minimum(k, 4 - k).clamp_(0.0, 1.0)
        torch.addcmul(value, chroma, weight, value=-1, out=out[:, channel])
    return out


def grey(images: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
    """Grey in all three channels."""
    return _luma(images).unsqueeze(1).repeat(1, 3, 1, 1)


def solarize(images: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
    """Invert what is at or above 0.5."""
    return torch.where(images >= _THRESHOLD, 1.0 - images, images)


def _luma(images: torch.Tensor) -> torch.Tensor:
    """ITU-R 601 grey as torchvision rounds its weights; (b, 3, S, S) to (b, S, S)."""
    r, g, b = images.unbind(1)
    return (r * 0.2989).add_(g, alpha=0.587).add_(b, alpha=0.114)
