"""The parameters of a learner by part."""

from dataclasses import dataclass

from torch import nn

from ladder_hub.siamese.learner import Learner


@dataclass(frozen=True)
class Count:
    """Parameters of a part."""

    total: int
    trained: int


def count_parameters(learner: Learner) -> dict[str, Count]:
    """Of the backbone, the projectors, the predictors, the target (backbone and projectors), and of all."""
    parts: dict[str, nn.Module] = {
        "backbone": learner.online.backbone,
        "projectors": learner.online.projectors,
        "predictors": learner.predictors,
        "target": learner.target,
        "all": learner,
    }
    return {name: _count(part) for name, part in parts.items()}


def _count(part: nn.Module) -> Count:
    sizes = [(p.numel(), p.requires_grad) for p in part.parameters()]
    return Count(sum(size for size, _ in sizes), sum(size for size, trained in sizes if trained))
