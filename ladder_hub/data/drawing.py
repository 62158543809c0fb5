"""Forms, textures and dice of the embedded set, the same bits on every machine.

Only integer arithmetic and the operations that IEEE 754 rounds exactly (+ - * / sqrt, floor, comparisons),
one element of an array at a time: no sine, power or exponential, no sums over an array, no random generator.
"""

import math
from collections.abc import Callable

import numpy as np

Field = np.ndarray
"""float32 (h, w)."""
Pattern = Callable[[Field, Field], Field]
"""Two coordinates to a value at each point."""

_WORD = 2**64 - 1
_GOLDEN = 0x9E3779B97F4A7C15


def splitmix64(words: np.ndarray) -> np.ndarray:
    """Hash of each uint64 (the finaliser of Steele, Lea and Flood's SplitMix, 2014)."""
    z = words + np.uint64(_GOLDEN)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


class Dice:
    """A stream of random numbers that `key` alone decides.

    Args:
        key: Any integer, taken modulo 2^64.
        rolls: How many numbers are made at once.
    """

    def __init__(self, key: int, rolls: int = 128) -> None:
        self._key = key & _WORD
        self._rolls = rolls
        self._drawn = 0
        self._words: list[int] = []

    def words(self, count: int) -> np.ndarray:
        """uint64 (count,)."""
        places = np.arange(self._drawn, self._drawn + count, dtype=np.uint64)
        self._drawn += count
        return splitmix64(splitmix64(places) ^ np.uint64(self._key))

    def below(self, limit: int) -> int:
        """0..limit - 1; the bias of limit / 2^64 is nothing."""
        if not self._words:
            self._words = self.words(self._rolls).tolist()
        return self._words.pop() % limit

    def between(self, low: float, high: float) -> float:
        """A number from low to high in steps of 2^-24 of the distance."""
        return low + (high - low) * (self.below(2**24) / 2**24)

    def direction(self) -> tuple[float, float]:
        """A unit vector from two whole numbers, normalised with a square root."""
        x, y = self.below(2001) - 1000, self.below(2001) - 1000
        length = math.sqrt(x * x + y * y)
        return (x / length, y / length) if length else (1.0, 0.0)

    def colour(self) -> tuple[int, int, int]:
        """RGB, 0..255: any hue, rarely dull, never near black."""
        sector, rise = divmod(self.below(6 * 256), 256)
        value = 105 + self.below(151)
        floor = value * (20 + self.below(140)) // 255
        up, down = floor + (value - floor) * rise // 255, value - (value - floor) * rise // 255
        low_mid_high = ((value, up, floor), (down, value, floor), (floor, value, up))
        return (*low_mid_high, (floor, down, value), (up, floor, value), (value, floor, down))[sector]


# -- forms: signed distance to the edge, positive inside, in units of the radius; u and v are centred --


def disc(u: Field, v: Field) -> Field:
    """A full circle."""
    return 0.92 - np.sqrt(u * u + v * v)


def ring(u: Field, v: Field) -> Field:
    """A circle with a hole."""
    return 0.25 - np.abs(np.sqrt(u * u + v * v) - 0.7)


def square(u: Field, v: Field) -> Field:
    """Four equal sides."""
    return 0.76 - np.maximum(np.abs(u), np.abs(v))


def triangle(u: Field, v: Field) -> Field:
    """Three equal sides."""
    half_root_three = 0.8660254037844386
    slopes = np.maximum(half_root_three * u - 0.5 * v, -half_root_three * u - 0.5 * v)
    return 0.52 - np.maximum(slopes, v)


def cross(u: Field, v: Field) -> Field:
    """Two bars at right angles."""
    x, y = np.abs(u), np.abs(v)
    return np.minimum(0.94 - np.maximum(x, y), 0.28 - np.minimum(x, y))


def star(u: Field, v: Field) -> Field:
    """Five points: inside at least four of the pentagram's five lines."""
    cos36, sin36, cos72, sin72 = (
        0.8090169943749475,
        0.5877852522924731,
        0.30901699437494745,
        0.9510565162951535,
    )
    lines = np.stack([v, sin72 * u + cos72 * v, cos72 * v - sin72 * u, sin36 * u - cos36 * v, -sin36 * u - cos36 * v])
    return 0.36 - np.sort(lines, axis=0)[3]


FORMS: dict[str, Pattern] = {
    "disc": disc,
    "square": square,
    "triangle": triangle,
    "cross": cross,
    "star": star,
}

# -- textures: 0..1 at each point; x and y are in periods --


def stripes(x: Field, _: Field) -> Field:
    """Parallel bands."""
    return np.clip(0.5 + 4.0 * (np.abs(2.0 * (x - np.floor(x)) - 1.0) - 0.5), 0.0, 1.0)


def spots(x: Field, y: Field) -> Field:
    """Dots on a square lattice."""
    a, b = x - np.floor(x) - 0.5, y - np.floor(y) - 0.5
    return np.clip(0.5 + 5.0 * (0.33 - np.sqrt(a * a + b * b)), 0.0, 1.0)


def checks(x: Field, y: Field) -> Field:
    """A chessboard, its squares somewhat larger than half a period."""
    a, b = 0.75 * x, 0.75 * y
    a, b = (
        2.0 * np.abs(2.0 * (a - np.floor(a)) - 1.0) - 1.0,
        2.0 * np.abs(2.0 * (b - np.floor(b)) - 1.0) - 1.0,
    )
    return np.clip(0.5 + 6.0 * a * b, 0.0, 1.0)


def rings(x: Field, y: Field) -> Field:
    """Circles within circles."""
    return stripes(np.sqrt(x * x + y * y), y)


def shade(x: Field, _: Field) -> Field:
    """One slow change from side to side."""
    return np.clip(0.5 + 0.2 * x, 0.0, 1.0)


TEXTURES: dict[str, Pattern] = {
    "striped": stripes,
    "spotted": spots,
    "checked": checks,
    "shaded": shade,
    "ringed": rings,
}

CLASSES = [
    (f"{texture} {form}", form, texture)
    for place, form in enumerate(FORMS)
    for texture in (list(TEXTURES)[place], list(TEXTURES)[(place + 1) % len(TEXTURES)])
]
"""Name, form, texture. A form has two textures, a texture two forms: knowing one is half the answer."""


def clouds(lattice: np.ndarray, size: int) -> Field:
    """Value noise: (g, g) numbers in 0..1, smoothly interpolated to (size, size)."""
    cells = len(lattice) - 1
    place = (np.arange(size, dtype=np.float32) + 0.5) * (cells / size)
    cell = np.floor(place).astype(np.int64)
    t = place - cell.astype(np.float32)
    t = t * t * (3.0 - 2.0 * t)
    rows = lattice[cell] + (lattice[cell + 1] - lattice[cell]) * t[:, None]
    return rows[:, cell] + (rows[:, cell + 1] - rows[:, cell]) * t
