"""The Siamese network with a loss on every rung of the ladder (Eq. 4).

An online network learns to predict, at each level, what a target network sees in the other view. The target is
one object, backbone and projectors, without gradient: the moving average of the online one's parameters. Its
BatchNorm statistics are its own, from its own forward passes, as in the original BYOL.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ladder_hub.backbone import outside_pyramid, pyramid, stage_channels
from ladder_hub.siamese.heads import Predictor, build_projector
from ladder_hub.siamese.levels import Level, Loss
from ladder_hub.siamese.losses import dense_loss, global_loss


class Network(nn.Module):
    """Backbone and projectors: images (B, 3, H, W) -> the projection of every head, by name (`res2_dense`).

    Parameters of the backbone that none of the levels reaches are frozen: they would have no gradient.
    """

    def __init__(self, backbone: nn.Module, levels: Sequence[Level], *, hidden: int, out: int, grid: int) -> None:
        super().__init__()
        channels = stage_channels(backbone)
        self.stages = [level.stage for level in levels]
        self.backbone = backbone
        for name in outside_pyramid(backbone, self.stages):
            backbone.get_parameter(name).requires_grad_(False)
        self.projectors = nn.ModuleDict(
            {
                head_name(level, kind): build_projector(kind, channels[level.stage], hidden=hidden, out=out, grid=grid)
                for level in levels
                for kind in level.heads
            }
        )

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Project: (B, D) for a global head, (B, N, D) for a dense one."""
        return self.project(pyramid(self.backbone, images, self.stages))

    def project(self, maps: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The same of maps (B, C, H, W) that are at hand, by stage."""
        return {name: project(maps[name.split("_")[0]]) for name, project in self.projectors.items()}


@dataclass(frozen=True)
class Output:
    """What one pair of views gives."""

    losses: dict[str, Tensor]
    """Each level's loss by name (`res2.dense`), float32, in [0, 8]."""
    projections: dict[str, Tensor]
    """Online projections of view 1 by head name, detached: what the collapse monitors look at."""


class Learner(nn.Module):
    """Online network, predictors and target; `levels` decide which heads exist.

    Args:
        backbone: a timm network (`build_backbone`); trained in place, and what is published.
        levels: the ladder, one level a stage.
        hidden: width of the heads' hidden layers.
        out: width D of the projections.
        grid: cells a side to which dense levels pool their map.
    """

    def __init__(self, backbone: nn.Module, levels: Sequence[Level], *, hidden: int, out: int, grid: int) -> None:
        super().__init__()
        self.levels = tuple(levels)
        self.online = Network(backbone, levels, hidden=hidden, out=out, grid=grid)
        self.predictors = nn.ModuleDict({name: Predictor(out, hidden=hidden) for name in self.online.projectors})
        self.target = copy.deepcopy(self.online).requires_grad_(False)

    def forward(self, view1: Tensor, view2: Tensor) -> Output:
        """The loss of every level, both orders of the views summed (Eq. 5): two (B, 3, H, W) -> `Output`."""
        with torch.no_grad():  # first, while no maps are held for the backward pass
            target1, target2 = self.target(view1), self.target(view2)
        online1, online2 = self.online(view1), self.online(view2)
        losses = {}
        for level in self.levels:
            pairs = [
                self.head_loss(kind, head_name(level, kind), online, target)
                for kind in level.heads
                for online, target in ((online1, target2), (online2, target1))
            ]
            losses[level.name] = torch.stack(pairs).sum() / len(level.heads)
        return Output(losses, {name: projection.detach() for name, projection in online1.items()})

    def total(self, losses: dict[str, Tensor]) -> Tensor:
        """The weighted sum over levels (Eq. 4)."""
        return torch.stack([level.weight * losses[level.name] for level in self.levels]).sum()

    @torch.no_grad()
    def update_target(self, momentum: float) -> None:
        """Target parameters <- momentum * target + (1 - momentum) * online; after the optimiser's step."""
        torch._foreach_lerp_(list(self.target.parameters()), list(self.online.parameters()), 1 - momentum)

    def head_loss(self, kind: Loss, name: str, online: dict[str, Tensor], target: dict[str, Tensor]) -> Tensor:
        """The loss of the head `name` for one order of the views, of what `online` and `target` gave: (), in [0, 4]."""
        prediction = self.predictors[name](online[name])
        if kind == "global":
            return global_loss(prediction, target[name])
        return dense_loss(prediction, online[name], target[name])


def head_name(level: Level, kind: Loss) -> str:
    """Name of a level's head in a state dict, where a dot can't stand: `res2_dense`."""
    return f"{level.stage}_{kind}"
