"""The four trainings of `analyse collapse-demo`. Nothing here is an option of the real learner.

Without stop-gradient and predictor the loss is |u(view 1) - u(view 2)|^2, unit vectors with gradient on both sides:
one constant makes it zero. Where gradient descent puts that constant depends on what stands between loss and stage.
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ladder_hub.backbone import build_backbone, pyramid
from ladder_hub.siamese.learner import Learner, Network
from ladder_hub.siamese.levels import Level, Stage
from ladder_hub.siamese.losses import global_loss

_BACKBONE = "test_resnet"
_HEADS = {"hidden": 64, "out": 32, "grid": 1}
_TARGET = 0.95  # momentum: a run of forty steps needs a target that follows


@dataclass(frozen=True)
class Training:
    """What an arm optimises."""

    modules: nn.Module
    """Holds every parameter that is trained."""
    backbone: nn.Module
    losses: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
    """Of two views (B, 3, S, S): the loss, and the vectors (B, D) of view 1 that it compares."""
    follow: Callable[[], None] = lambda: None
    """After an optimiser step."""


def _paper(stage: Stage) -> Training:
    """Predictor, stop-gradient, target: the learner as it is."""
    backbone = build_backbone(_BACKBONE)
    learner = Learner(backbone, [Level(stage, "global")], **_HEADS)

    def losses(view1: Tensor, view2: Tensor) -> tuple[Tensor, Tensor]:
        output = learner(view1, view2)
        (projection,) = output.projections.values()
        return learner.total(output.losses), projection

    return Training(learner, backbone, losses, lambda: learner.update_target(_TARGET))


def _paper_fixed(stage: Stage) -> Training:
    training = _paper(stage)
    learner = training.modules
    assert isinstance(learner, Learner)
    _fix_norms(learner.online.backbone)
    _fix_norms(learner.target.backbone)
    return training


def _equal_projections(stage: Stage) -> Training:
    """The heads stay, and take the constant upon themselves: BatchNorm keeps the stages apart."""
    backbone = build_backbone(_BACKBONE)
    network = Network(backbone, [Level(stage, "global")], **_HEADS)

    def losses(view1: Tensor, view2: Tensor) -> tuple[Tensor, Tensor]:
        (one,), (two,) = network(view1).values(), network(view2).values()
        return global_loss(one, two), one

    return Training(network, backbone, losses)


def _equal_stages(stage: Stage) -> Training:
    """No heads, and norms that only scale and shift: nothing but the stage itself can become constant."""
    backbone = build_backbone(_BACKBONE)
    _fix_norms(backbone)

    def losses(view1: Tensor, view2: Tensor) -> tuple[Tensor, Tensor]:
        one, two = (pyramid(backbone, view, [stage])[stage].mean((2, 3)) for view in (view1, view2))
        return global_loss(one, two), one

    return Training(backbone, backbone, losses)


ARMS: dict[str, Callable[[Stage], Training]] = {
    "the paper's": _paper,
    "the paper's, norms fixed": _paper_fixed,
    "no stop-gradient, no predictor": _equal_projections,
    "the same, no projector, norms fixed": _equal_stages,
}
"""{name: what trains}; norms fixed: the backbone's BatchNorm has its first statistics (mean 0, variance 1) for good."""


def _fix_norms(network: nn.Module) -> None:
    """Batch statistics blow up again what varies little, and so undo what is to be shown."""
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            module.eval()
