"""A measured figure as `metrics.json` keeps it: never without protocol, n, interval, data, versions and date."""

import math
from collections.abc import Callable
from datetime import date
from importlib.metadata import version
from typing import Any

import numpy as np

import ladder_hub

Facts = dict[str, Any]
Interval = tuple[float, float]

MAIN = ("top1", "miou", "box_ap", "mask_ap")
"""The metrics that a short table shows."""

_FIVE = 5
_DRAWS = 1000
_NO_WIDTH = 1e-9  # sums of floats
_PACKAGES = ("torch", "torchvision", "timm")


def wilson(share: float, n: int, z: float = 1.959964) -> Interval:
    """Wilson's score interval for a share (0..1) of n trials, 95 % by default (Wilson 1927).

    It is the uncertainty from a finite validation set; it says nothing of other seeds.
    """
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def tops(classes: int) -> tuple[int, ...]:
    """Of how many guesses one must be right: top-1, and top-5 where there are more than five classes to choose from."""
    return (1, 5) if classes > _FIVE else (1,)


def bootstrap(n: int, statistic: Callable[[np.ndarray], float], *, draws: int = _DRAWS, seed: int = 0) -> Interval:
    """The 95 % percentile interval over validation sets drawn with replacement from the one that was measured (Efron).

    Args:
        n: Validation images.
        statistic: From how often each image was drawn, int64 (n,) with the sum n, to a figure; NaN where these
            images have none.
        draws: Sets drawn.
        seed: Of the draws: equal seeds, equal intervals.
    """
    rng = np.random.default_rng(seed)
    found = [statistic(np.bincount(rng.integers(n, size=n), minlength=n)) for _ in range(draws)]
    low, high = np.nanquantile(found, (0.025, 0.975))
    return float(low), float(high)


def bootstrap_share(
    n: int, statistic: Callable[[np.ndarray], float], *, draws: int = _DRAWS, seed: int = 0
) -> Interval:
    """The same for a figure in 0..1, and never without a width.

    Where all that was drawn gives one figure (all right, all wrong, one image) it is taken for a share of n images:
    Wilson's interval of that is wide enough for any mean of values in 0..1.
    """
    low, high = bootstrap(n, statistic, draws=draws, seed=seed)
    return (low, high) if high - low > _NO_WIDTH else wilson(min(max(low, 0.0), 1.0), n)


def entry(
    metric: str,
    value: float,
    *,
    ci95: Interval | None,
    n: int,
    protocol: str,
    stage: str,
    weights: str,
    train: Facts,
    val: Facts,
    baseline: float | None = None,
    overlap: int | None = None,
) -> Facts:
    """One figure, of any task.

    Args:
        metric: `top1`, `top5`, `box_ap`, `mask_ap`, `miou`, ...
        value: 0..1.
        ci95: Its 95 % interval, from `wilson` or `bootstrap`; None where none was computed.
        n: Validation images.
        protocol: Such as `knn:k20-t0.07`.
        stage: Which map was read: res2..res5, or `pyramid` where all were.
        weights: Digest of the tensors that were measured.
        train: Fingerprint of the images that taught.
        val: Fingerprint of the images that were asked.
        baseline: The same figure for the network before its training.
        overlap: Images of `val` that are in `train` too, byte for byte; None where nobody looked.
    """
    return {
        "protocol": protocol,
        "stage": stage,
        "metric": metric,
        "value": value,
        "ci95": None if ci95 is None else list(ci95),
        "n": n,
        "seeds": 1,
        "baseline": baseline,
        "overlap": overlap,
        "data": {"train": train, "val": val},
        "weights": weights,
        "date": date.today().isoformat(),
        "versions": {"ladder_hub": ladder_hub.__version__, **{name: version(name) for name in _PACKAGES}},
    }
