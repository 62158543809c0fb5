"""Two figures that fall when a level collapses while its loss looks fine (Sec. 3.4).

Both look at the unit vectors of a batch of projections: the standard deviation an axis, against the 1/sqrt(d) of
directions spread evenly over the sphere, and the effective rank. Both follow from sums over the vectors, so that
several processes find them together.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

COLLAPSED_STD = 0.1
"""Below this share of 1/sqrt(d) the unit vectors are all but one vector."""
COLLAPSED_RANK = 1.5
"""Below this effective rank they lie all but on one line."""


@dataclass(frozen=True)
class Spread:
    """How far a batch of unit vectors is from one point."""

    std: float
    """Standard deviation an axis, times sqrt(d): 0 for one point, 1 for an even spread over the sphere."""
    rank: float
    """Effective rank, 1 to min(batch, d)."""

    @property
    def collapsed(self) -> bool:
        """Whether either figure says that the vectors carry no more information."""
        return self.std < COLLAPSED_STD or self.rank < COLLAPSED_RANK


def moments(projection: Tensor) -> Tensor:
    """Of the unit vectors of (B, D), or of every cell of (B, N, D): float64 (D + 2, D).

    Rows: the sum of their outer products (D), their sum (1), their number (1). Moments of two batches add up to
    those of both.
    """
    unit = F.normalize(projection.detach().flatten(0, -2).double(), dim=-1)
    count = unit.new_full((1, unit.shape[1]), len(unit))
    return torch.cat([unit.T @ unit, unit.sum(0, keepdim=True), count])


def spread(moments: Tensor) -> Spread:
    """The spread of a batch by its `moments`; one transfer from the device.

    The effective rank is exp of the entropy of the normalised singular values (Roy and Vetterli 2007).
    """
    outer, mean, width = moments[:-2], moments[-2] / moments[-1], moments.shape[1]
    variance = (outer.diagonal() / moments[-1] - mean.square()).mean().clamp_min(0)
    squares = torch.linalg.eigvalsh(outer)
    noise = squares[-1] * width * torch.finfo(squares.dtype).eps
    singular = torch.where(squares > noise, squares, 0).sqrt()
    share = singular / singular.sum().clamp_min(torch.finfo(singular.dtype).tiny)  # all zero: rank 1, not 0 / 0
    rank = torch.special.entr(share).sum().exp()
    std, rank_ = torch.stack([variance.sqrt() * width**0.5, rank]).tolist()
    return Spread(std, rank_)
