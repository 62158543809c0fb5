"""Floating-point operations of a training pass, counted from shapes alone (meta tensors).

Convolutions, linear layers and matrix products (attention, the correspondence of dense levels) count, a multiply-add
as 2; norms, activations, pooling, augmentation and the optimiser don't.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from ladder_hub.backbone import pyramid
from ladder_hub.siamese.learner import Learner, Network

_CONVOLUTIONS = {F.conv1d, F.conv2d, F.conv3d}
_PRODUCTS = {F.linear, torch.matmul, torch.bmm, torch.mm, Tensor.matmul, Tensor.__matmul__, Tensor.bmm, Tensor.mm}


@dataclass(frozen=True)
class Flops:
    """FLOPs an image, which is two views of it."""

    backbone_forward: float
    """Of the online network."""
    heads_forward: float
    """Online projectors and predictors."""
    target_backbone: float
    target_heads: float
    matching: float
    """Correspondence of dense levels; forward only."""
    backbone_backward: float
    heads_backward: float

    @property
    def forward(self) -> float:
        """Of the online network with its heads and the matching."""
        return self.backbone_forward + self.heads_forward + self.matching

    @property
    def target(self) -> float:
        """Of the target network, which has no backward pass."""
        return self.target_backbone + self.target_heads

    @property
    def backward(self) -> float:
        """Of the online network with its heads."""
        return self.backbone_backward + self.heads_backward

    @property
    def total(self) -> float:
        """Of a training pass."""
        return self.forward + self.target + self.backward


def count_flops(learner: Learner, *, size: int) -> Flops:
    """FLOPs of `learner` (on the meta device, from `shapes_of`) on views of `size` pixels a side."""
    batch = 2  # BatchNorm's least; FLOPs grow with it exactly
    images = torch.empty(batch, 3, size, size, device="meta")
    backbone, heads, target_backbone, target_heads = (_Counter() for _ in range(4))
    projections = _forward(learner.online, images, backbone, heads)
    with heads:
        for name, predictor in learner.predictors.items():
            predictor(projections[name])
    with torch.no_grad():
        _forward(learner.target, images, target_backbone, target_heads)
    matching = sum(_correspondence(value) for value in projections.values() if value.ndim == 3)
    an_image = 2 / batch  # what was counted is one view of each
    return Flops(
        backbone_forward=an_image * backbone.forward,
        heads_forward=an_image * heads.forward,
        target_backbone=an_image * target_backbone.forward,
        target_heads=an_image * target_heads.forward,
        matching=an_image * matching,
        backbone_backward=an_image * backbone.backward,
        heads_backward=an_image * heads.backward,
    )


class _Counter(TorchFunctionMode):
    """Adds up what is called while it is entered, and what autograd would run back through it."""

    def __init__(self) -> None:
        super().__init__()
        self.forward = 0
        self.backward = 0

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if work := _work(func, args, result):
            # The gradient of either operand costs as much as the product. Images need none, hence the first layer
            # of the backbone is cheaper.
            self.forward += work
            self.backward += work * sum(_needs_gradient(operand) for operand in args[:2])
        return result


def _forward(network: Network, images: Tensor, backbone: _Counter, heads: _Counter) -> dict[str, Tensor]:
    """The network's own forward pass, its two parts under a counter each."""
    with backbone:
        maps = pyramid(network.backbone, images, network.stages)
    with heads:
        return {name: project(maps[name.split("_")[0]]) for name, project in network.projectors.items()}


def _work(func: Callable[..., Any], args: tuple[Any, ...], result: Any) -> int:
    """FLOPs of one call; 0 for what doesn't count."""
    if func in _CONVOLUTIONS:
        weight = args[1]  # (out, in / groups, kernel ...)
        return 2 * result.numel() * math.prod(weight.shape[1:])
    if func in _PRODUCTS:
        return 2 * result.numel() * args[0].shape[-1]
    if func is F.scaled_dot_product_attention:
        query, key, value = args[:3]  # queries times keys, then that times values
        return 2 * query[..., 0].numel() * key.shape[-2] * (query.shape[-1] + value.shape[-1])
    return 0


def _correspondence(projection: Tensor) -> int:
    """Each cell with each cell of the other view: (B, N, D) times (B, D, N)."""
    images, cells, width = projection.shape
    return 2 * images * cells * cells * width


def _needs_gradient(operand: Any) -> bool:
    return torch.is_grad_enabled() and isinstance(operand, Tensor) and operand.requires_grad
