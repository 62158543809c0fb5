"""What `analyse gradients` finds: a map for every image and level, and a table of them."""

from dataclasses import dataclass
from typing import Any

import numpy as np

_DIGITS = 6


@dataclass(frozen=True)
class ImageGradients:
    """One image.

    Attributes:
        index: Its place in the data.
        key: Its name.
        original: uint8 (H, W, 3), whole.
        view: uint8 (S, S, 3): view 1, as the network saw it.
        maps: {level: float32 (h, w)}: absolute gradients, summed over channels, a cell of the lower stage each.
    """

    index: int
    key: str
    original: np.ndarray
    view: np.ndarray
    maps: dict[str, np.ndarray]


def spread(gradient: np.ndarray) -> float | None:
    """Share of the cells over which a map is spread, (sum g)^2 / (N sum g^2): 1 even, 1/N one cell; None: all zero."""
    squares = float(np.square(gradient, dtype=np.float64).sum())
    return float(gradient.sum(dtype=np.float64)) ** 2 / (gradient.size * squares) if squares else None


@dataclass(frozen=True)
class GradientsAnalysis:
    """What `analyse gradients` finds."""

    run: str
    origin: str
    """The checkpoint or the artifact that the network comes from."""
    step: int | None
    """Optimiser steps that it had taken; None where it is not known."""
    lower: str
    levels: tuple[str, ...]
    """Those above `lower`, lowest first: `res3.global`."""
    views: dict[str, Any]
    """recipe, image_size, seed."""
    source: dict[str, Any]
    """The images' fingerprint."""
    images: tuple[ImageGradients, ...]

    def to_dict(self) -> dict[str, Any]:
        """For JSON: every map, row by row; no pictures."""
        images = [
            {
                "index": one.index,
                "key": one.key,
                "maps": {name: _rounded(found) for name, found in one.maps.items()},
                "spread": {name: spread(found) for name, found in one.maps.items()},
            }
            for one in self.images
        ]
        facts = {"run": self.run, "origin": self.origin, "step": self.step, "lower": self.lower}
        medians = {
            name: {"sum": self._median(name, "sum"), "spread": self._median(name, "spread")} for name in self.levels
        }
        return {
            "analysis": "gradients",
            "n": len(self.images),
            **facts,
            "levels": list(self.levels),
            "views": self.views,
            "images_of": self.source,
            "medians": medians,
            "images": images,
        }

    def table(self) -> tuple[list[str], list[tuple[str, ...]]]:
        """Header and rows: a level each, medians over the images."""
        rows: list[tuple[str, ...]] = []
        for name in self.levels:
            total, share = self._median(name, "sum"), self._median(name, "spread")
            shown = "" if share is None else f"{share:.1%}"
            rows.append((f"d {name} / d {self.lower}", str(len(self.images)), f"{total:.3g}", shown))
        return ["gradient", "n", "sum of absolute values", "cells it is spread over"], rows

    def _median(self, level: str, what: str) -> float | None:
        maps = [one.maps[level] for one in self.images]
        values = [float(one.sum()) for one in maps] if what == "sum" else [spread(one) for one in maps]
        known = [value for value in values if value is not None]
        return float(np.median(known)) if known else None


def _rounded(gradient: np.ndarray) -> list[list[float]]:
    return [[float(f"{value:.{_DIGITS}g}") for value in row] for row in gradient.tolist()]
