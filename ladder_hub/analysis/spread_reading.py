"""How far the maps of many images are from one constant map, and what kind of collapse that is (Sec. 3.4).

A stage is a function of the image: z of shape (P, C), P cells (one where the map is pooled), C channels. It has
collapsed where z is the same for all images. Each place is therefore compared with itself in other images: a map whose
edge differs from its middle, alike in all images, is constant all the same.
"""

from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from ladder_hub.training.monitors import COLLAPSED_STD, moments, spread

Verdict = Literal["none", "partial", "dimensional", "complete"]

LOW_RANK = 0.05
"""Dimensional: a centred effective rank below this share of what channels and images allow (at least of 1.5).

Pooled maps of a handful of untrained networks (ResNet-18 and 50, ConvNeXt) on 256 photographs have 8 to 40 % of it.
"""
CONSTANT = 1e-3
"""A channel is constant where it varies by less than this share of the map's root mean square."""
MANY_CONSTANT = 0.25
"""Partial: this share of the channels is constant. ReLUs that are dead from the start are up to 14 %."""
_COUNTED = 1e-2
_IMAGES = 8  # at a time: res2 of 224 pixels takes 6 MB of float64 each


@dataclass(frozen=True)
class Reading:
    """One stage, over the images; of unit vectors but for `constant`."""

    std: float
    """Root mean squared distance from the mean over images at the same place: 0 for one map, at most 1.

    Of pooled maps this is the monitors' sqrt(d) * std, and sqrt(1 - the mean cosine of two images).
    """
    rank: float
    """Effective rank as the monitors have it, the common mean included."""
    centred_rank: float
    """Effective rank without what all images have in common."""
    directions: int
    """Singular values above 1 % of the largest, without what all images have in common."""
    constant: float
    """Share of the channels that do not vary over images."""
    allowed: int
    """The most that `centred_rank` could be: channels that vary, or degrees of freedom of the images."""

    @property
    def is_constant(self) -> bool:
        """Whether all images give all but the same: a mean cosine above 0.99."""
        return self.std < COLLAPSED_STD

    @property
    def is_low(self) -> bool:
        """Whether the images differ along few directions only."""
        return self.centred_rank < max(1.5, LOW_RANK * self.allowed)


class Reader:
    """Sums over batches of one stage; (B, P, C) at a time, in float64."""

    def __init__(self) -> None:
        self._images = 0
        self._moments: Tensor | float = 0.0
        self._unit: Tensor | float = 0.0
        self._raw: Tensor | float = 0.0
        self._squares: Tensor | float = 0.0

    def add(self, cells: Tensor) -> None:
        """Vectors of B more images at P places: (B, P, C)."""
        values = cells.detach().double()
        self._images += len(values)
        self._moments = self._moments + moments(values)
        self._unit = self._unit + F.normalize(values, dim=-1).sum(0)
        self._raw = self._raw + values.sum(0)
        self._squares = self._squares + values.square().sum((0, 1))

    def reading(self) -> Reading:
        """What was seen; two images at least."""
        assert isinstance(self._moments, Tensor)
        assert isinstance(self._unit, Tensor)
        mean = self._unit / self._images
        outer, places = self._moments[:-2] / self._moments[-1], len(mean)
        covariance = outer - mean.T @ mean / places
        squares = torch.linalg.eigvalsh(covariance).clamp_min(0)
        # What rounding leaves of a constant map is no variation.
        squares = torch.where(squares > outer.trace() * len(outer) * torch.finfo(squares.dtype).eps, squares, 0)
        singular = squares.sqrt()
        share = singular / singular.sum().clamp_min(torch.finfo(singular.dtype).tiny)
        constant = self._constant()
        varying = round(len(singular) * (1 - constant))
        return Reading(
            std=squares.sum().sqrt().item(),
            rank=spread(self._moments).rank,
            centred_rank=torch.special.entr(share).sum().exp().item(),
            directions=int((singular > _COUNTED * singular[-1]).sum()),
            constant=constant,
            allowed=max(1, min(varying, places * (self._images - 1))),
        )

    def _constant(self) -> float:
        assert isinstance(self._raw, Tensor)
        assert isinstance(self._squares, Tensor)
        energy = self._squares / (self._images * len(self._raw))
        variance = energy - (self._raw / self._images).square().mean(0)
        return (variance <= CONSTANT**2 * energy.mean()).double().mean().item()


@dataclass(frozen=True)
class StageReading:
    """A stage pooled globally and cell by cell."""

    pooled: Reading
    cells: Reading

    @property
    def verdict(self) -> Verdict:
        """Which kind of collapse, the gravest first.

        complete: pooled vector and cells are all but the same for all images (mean cosine above 0.99, the monitors'
        bound; untrained ResNets lie below 0.96). dimensional: they differ, along few directions (`LOW_RANK`).
        partial: the pooled vector is constant and its cells are not, or many channels are constant (`MANY_CONSTANT`).
        """
        if self.pooled.is_constant and self.cells.is_constant:
            return "complete"
        if self.cells.is_low or (self.pooled.is_low and not self.pooled.is_constant):
            return "dimensional"
        if self.pooled.is_constant or self.cells.constant >= MANY_CONSTANT:
            return "partial"
        return "none"

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"verdict": self.verdict, "pooled": asdict(self.pooled), "cells": asdict(self.cells)}


class StageReader:
    """Reads the maps of one stage, batch by batch."""

    def __init__(self) -> None:
        self._pooled, self._cells = Reader(), Reader()

    def add(self, maps: Tensor) -> None:
        """(B, C, H, W), all of one size."""
        for part in maps.detach().split(_IMAGES):
            cells = part.double().flatten(2).transpose(1, 2)
            self._pooled.add(cells.mean(1, keepdim=True))
            self._cells.add(cells)

    def reading(self) -> StageReading:
        """What was seen."""
        return StageReading(self._pooled.reading(), self._cells.reading())
