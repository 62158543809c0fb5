"""A measured figure as `metrics.json` keeps it: never without protocol, n, interval, data and date."""

import math
from datetime import date
from typing import Any

import ladder_hub


def wilson(share: float, n: int, z: float = 1.959964) -> tuple[float, float]:
    """Wilson's score interval for a share (0..1) of n trials, 95 % by default (Wilson 1927).

    It is the uncertainty from a finite validation set; it says nothing of other seeds.
    """
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def accuracy_entry(
    metric: str,
    value: float,
    *,
    n: int,
    protocol: str,
    stage: str,
    weights: str,
    train: dict[str, Any],
    val: dict[str, Any],
    baseline: float | None = None,
) -> dict[str, Any]:
    """One accuracy.

    Args:
        metric: `top1` or `top5`.
        value: Share of n images, 0..1.
        n: Validation images.
        protocol: Such as `knn:k20-t0.07`.
        stage: Which map was read.
        weights: Digest of the tensors that were measured.
        train: Fingerprint of the images that taught.
        val: Fingerprint of the images that were asked.
        baseline: The same figure for the network before its training.
    """
    return {
        "protocol": protocol,
        "stage": stage,
        "metric": metric,
        "value": value,
        "ci95": list(wilson(value, n)),
        "n": n,
        "seeds": 1,
        "baseline": baseline,
        "data": {"train": train, "val": val},
        "weights": weights,
        "date": date.today().isoformat(),
        "ladder_hub": ladder_hub.__version__,
    }
