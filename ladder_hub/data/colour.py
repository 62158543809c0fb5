"""torchvision's colour operations with a value for each image of a batch.

All change images float32 (b, 3, S, S) in [0, 1] by values float32 (b, 1, 1), and may leave them a little outside
[0, 1]; the caller clamps.
"""

import functools

import torch

_THRESHOLD = 0.5


def brightness(images: torch.Tensor, factors: torch.Tensor) -> None:
    """Multiply by the factor."""
    images.mul_(factors.unsqueeze(1))


def contrast(images: torch.Tensor, factors: torch.Tensor) -> None:
    """Away from the mean of the image's grey: mean + factor * (x - mean)."""
    mean = _luma(images.mean(dim=(-2, -1), keepdim=True))
    images.mul_(factors.unsqueeze(1)).add_(((1.0 - factors) * mean).unsqueeze(1))


def saturation(images: torch.Tensor, factors: torch.Tensor) -> None:
    """Away from each pixel's grey: grey + factor * (x - grey)."""
    torch.addcmul(_luma(images).mul_(1.0 - factors).unsqueeze(1), images, factors.unsqueeze(1), out=images)


def hue(images: torch.Tensor, shifts: torch.Tensor) -> None:
    """Turn the colour wheel by `shifts` turns, in HSV, without the usual six cases.

    There: with V the largest and m the smallest of r, g, b and C = V - m, the hue is (V - r + g + b - 2m) / 6C turns,
    with the sign of g - b. Back: at a distance of d turns on the wheel, a channel is V - C clamp(6 d - 1, 0, 1), where
    red, green or blue itself has d = 0; this is (V + C) - 6C clamp(d, 1/6, 1/3).
    """
    r, g, b = images.unbind(1)
    value, low = torch.maximum(r, g).maximum(b), torch.minimum(r, g).minimum(b)
    chroma = (value - low).clamp_min_(torch.finfo(torch.float32).tiny)
    sixths = torch.add(g, b).sub_(r).add_(value).sub_(low, alpha=2).copysign_(g - b)
    turns = torch.addcdiv(shifts, sixths, chroma, value=1 / 6)
    distance = turns.unsqueeze(1) - _primaries(images.device)
    distance.sub_(distance.round()).abs_().clamp_(1 / 6, 1 / 3)
    torch.addcmul(value.add_(chroma).unsqueeze(1), distance, chroma.unsqueeze(1), value=-6, out=images)


@functools.lru_cache(maxsize=8)
def _primaries(device: torch.device) -> torch.Tensor:
    """Where red, green and blue lie on the wheel, (3, 1, 1)."""
    with torch.inference_mode(False):  # or a first use in inference mode would spoil them for training
        return torch.tensor([0.0, 1 / 3, 2 / 3]).view(3, 1, 1).to(device)


def grey(images: torch.Tensor, _: torch.Tensor) -> None:
    """Grey in all three channels."""
    images.copy_(_luma(images).unsqueeze(1))


def solarize(images: torch.Tensor, _: torch.Tensor) -> None:
    """Invert what is at or above 0.5."""
    # |x - 1| or |x - 0|: on a CPU, comparing into bool and choosing by it take several times as long.
    images.sub_(torch.ge(images, _THRESHOLD, out=torch.empty_like(images))).abs_()


def _luma(images: torch.Tensor) -> torch.Tensor:
    """ITU-R 601 grey as torchvision rounds its weights; (b, 3, H, W) to (b, H, W)."""
    r, g, b = images.unbind(1)
    return (r * 0.2989).add_(g, alpha=0.587).add_(b, alpha=0.114)
