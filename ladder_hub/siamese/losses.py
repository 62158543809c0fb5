"""The two losses of the ladder, for one order of the views; the learner adds the other order.

Shapes: B images, N and M cells of the online and of the target map, D projection width. Losses lie in [0, 4]
and are float32 whatever autocast does: half-precision cosines lose the small angles that are left to learn. (float64
stays what it is.)
"""

import torch
from torch import Tensor
from torch.nn import functional as F

_BLOCK = 2**22  # similarities in memory at once: 16 MiB of float32, where all of a 56x56 map's take 37.5 MiB an image


def squared_distance(prediction: Tensor, target: Tensor) -> Tensor:
    """Squared distance of the unit vectors along the last axis, 2 - 2 cos: (..., D), (..., D) -> (...), in [0, 4]."""
    difference = F.normalize(_at_least_single(prediction), dim=-1) - F.normalize(_at_least_single(target), dim=-1)
    return difference.square().sum(-1)


def global_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean over images of |q - p'|^2, both unit vectors (Eq. 3): (B, D), (B, D) -> ()."""
    return squared_distance(prediction, target).mean()


def dense_loss(prediction: Tensor, projection: Tensor, target: Tensor) -> Tensor:
    """Mean over cells of |q_i - p'_c(i)|^2, both unit vectors (Eq. 7): (B, N, D), (B, N, D), (B, M, D) -> ().

    c(i) is the target cell that is most similar to the online projection of cell i.
    """
    match = correspondence(projection, target)
    matched = target.gather(1, match.unsqueeze(-1).expand(-1, -1, target.shape[-1]))
    return squared_distance(prediction, matched).mean()


@torch.no_grad()
def correspondence(projection: Tensor, target: Tensor, *, block: int = _BLOCK) -> Tensor:
    """For every online cell the target cell of highest cosine similarity: (B, N, D), (B, M, D) -> (B, N) int64.

    Exact, and never more than about `block` similarities (at least M) in memory: the whole matrix of a 56x56 map
    would take 2.3 GiB for 64 images.
    """
    images, cells, others = projection.shape[0], projection.shape[1], target.shape[1]
    rows = max(1, min(cells, block // others))
    depth = max(1, block // (rows * others))
    match = torch.empty(images, cells, dtype=torch.int64, device=projection.device)
    with torch.autocast(projection.device.type, enabled=False):
        for i in range(0, images, depth):
            queries = _at_least_single(projection[i : i + depth])  # their length does not change which cell wins
            keys = F.normalize(_at_least_single(target[i : i + depth]), dim=-1).transpose(1, 2)
            for j in range(0, cells, rows):
                match[i : i + depth, j : j + rows] = (queries[:, j : j + rows] @ keys).argmax(-1)
    return match


def _at_least_single(values: Tensor) -> Tensor:
    return values if values.dtype == torch.float64 else values.float()
