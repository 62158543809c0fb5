"""Pearson's r with everything that should stand beside it: n, p from Student's t, an interval from Fisher's z."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_NORMAL_975 = 1.959963984540054


@dataclass(frozen=True)
class Correlation:
    """Of two columns, over the rows that have both."""

    n: int
    r: float | None
    """None where n < 3 or a column is constant."""
    p: float | None
    """Two-sided, of r = 0 under normality: Student's t with n - 2 degrees of freedom."""
    ci95: tuple[float, float] | None
    """Fisher's z; None where n < 4, or |r| is 1."""


def pearson(x: Sequence[float], y: Sequence[float]) -> Correlation:
    """Correlate two columns of the same length, nothing missing."""
    n = len(x)
    if n < 3:
        return Correlation(n, None, None, None)
    a, b = (np.asarray(column, dtype=np.float64) - np.mean(column) for column in (x, y))
    scale = math.sqrt(float(a @ a) * float(b @ b))
    # Rounding leaves something of a constant column's deviations; it is no spread.
    noise = np.finfo(np.float64).eps * n * max(map(abs, [*x, *y])) ** 2
    if min(float(a @ a), float(b @ b)) <= noise * np.finfo(np.float64).eps or not scale:
        return Correlation(n, None, None, None)
    r = min(1.0, max(-1.0, float(a @ b) / scale))
    return Correlation(n, r, _p_of(r, n - 2), _interval(r, n))


def student_two_sided(t: float, df: int) -> float:
    """P(|T| >= |t|) of Student's t with `df` >= 1 degrees of freedom, by its closed form for whole df.

    With theta = atan(t / sqrt(df)), P(|T| < t) is sin(theta) times a sum in cos(theta)^2 where df is even, and
    2 / pi (theta + sin(theta) times such a sum) where it is odd (Abramowitz and Stegun, 26.7.3 and 26.7.4).
    """
    sine, cosine = abs(t) / math.hypot(t, math.sqrt(df)), math.sqrt(df) / math.hypot(t, math.sqrt(df))
    even = df % 2 == 0
    term, total = (1.0 if even else cosine), 0.0
    for k in range(1 if even else 2, df - 1 if even else df, 2):
        total += term
        term *= cosine**2 * k / (k + 1)
    if even:
        total += term
        return max(0.0, 1 - sine * total)
    inside = math.atan2(sine, cosine) + sine * total
    return max(0.0, 1 - 2 / math.pi * inside)


def student_quantile(share: float, df: int) -> float:
    """The t below which `share` (above 0.5, below 1) of Student's t with `df` degrees of freedom lies, by halving."""
    low, high = 0.0, 1.0
    while student_two_sided(high, df) > 2 * (1 - share):
        high *= 2
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if student_two_sided(middle, df) > 2 * (1 - share) else (low, middle)
    return high


def _p_of(r: float, df: int) -> float:
    if abs(r) == 1:
        return 0.0
    return student_two_sided(r * math.sqrt(df / ((1 - r) * (1 + r))), df)


def _interval(r: float, n: int) -> tuple[float, float] | None:
    if n < 4 or abs(r) == 1:
        return None
    half = _NORMAL_975 / math.sqrt(n - 3)
    return math.tanh(math.atanh(r) - half), math.tanh(math.atanh(r) + half)
