"""Memory of a training pass, followed allocation by allocation from shapes alone.

bf16 follows autocast's rules on the CPU. Those of CUDA differ in one point: layer norms (ConvNeXt, Swin) stay
float32 there and take more. Not in it: the context of CUDA, workspaces of cuDNN, and fragments of the allocator.
"""

import weakref
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ladder_hub.siamese.learner import Learner
from ladder_hub.training.devices import Device
from ladder_hub.training.layout import Layout
from ladder_hub.training.skeleton import dry, views

USABLE = 0.9
"""Share of a device's memory to plan with; what this account lacks takes the rest."""


@dataclass(frozen=True)
class Activations:
    """What a pass over `batch` images takes beside the weights: fixed + batch * an_image, in bytes."""

    kept_fixed: float
    """Kept from the forward pass for the backward one, whatever the batch (bf16 copies of weights)."""
    kept_an_image: float
    working_fixed: float
    """On top of it where memory is highest: the maps at work, gradients of maps."""
    working_an_image: float

    def kept(self, batch: int) -> float:
        """Bytes kept for the backward pass, the views included."""
        return self.kept_fixed + batch * self.kept_an_image

    def working(self, batch: int) -> float:
        """Bytes on top of those kept, at the peak."""
        return self.working_fixed + batch * self.working_an_image


@dataclass(frozen=True)
class Memory:
    """Bytes on one device while it trains."""

    weights: int
    """Online network and predictors, with buffers."""
    target: int
    gradients: int
    momentum: int
    activations: float
    working: float

    @property
    def total(self) -> float:
        """At the peak."""
        return self.weights + self.target + self.gradients + self.momentum + self.activations + self.working

    @classmethod
    def of(cls, learner: Learner, activations: Activations, *, micro_batch: int, precision: str) -> Self:
        """What training `learner` takes, with a gradient and a momentum for each trained weight."""
        width = 8 if precision == "float64" else 4
        trained = width * sum(p.numel() for p in learner.parameters() if p.requires_grad)
        return cls(
            weights=_size(learner.online, width) + _size(learner.predictors, width),
            target=_size(learner.target, width),
            gradients=trained,
            momentum=trained,
            activations=activations.kept(micro_batch),
            working=activations.working(micro_batch),
        )


@dataclass(frozen=True)
class Fit:
    """What a pass needs of a device, and what that has, in bytes."""

    needed: float
    available: float
    """To plan with."""
    largest_micro_batch: int
    """The largest that divides a device's share of the batch and fits; 0: none."""

    @property
    def fits(self) -> bool:
        """Whether a pass fits into the device."""
        return self.needed <= self.available


def follow_activations(learner: Learner, *, size: int, micro_batch: int, precision: str) -> Activations:
    """What passes take; exact at `micro_batch`, linear between it and a small one, and beyond.

    Args:
        learner: from `shapes_of`.
        size: side of a view in pixels.
        micro_batch: images a pass.
        precision: bf16, float32 or float64.
    """
    dtype = torch.float64 if precision == "float64" else torch.float32
    small = 2 if micro_batch > 2 else 4
    with dry(learner, dtype) as fake:
        for parameter in fake.parameters():
            parameter.grad = torch.empty_like(parameter) if parameter.requires_grad else None
        (kept, peak), (kept_small, peak_small) = (
            _pass(fake, batch, size, dtype, precision == "bf16") for batch in (micro_batch, small)
        )
    an_image = (kept - kept_small) / (micro_batch - small)
    working, working_small = peak - kept, peak_small - kept_small
    # Where gradients of weights are the peak's largest part, it does not grow with the batch.
    at_work = max(0.0, (working - working_small) / (micro_batch - small))
    return Activations(kept - micro_batch * an_image, an_image, working - micro_batch * at_work, at_work)


def fit(memory: Memory, activations: Activations, *, device: Device, layout: Layout) -> Fit:
    """Whether a pass fits into a device, and the largest micro-batch that would."""
    # Processes on CPUs share one memory.
    available = USABLE * device.memory / (layout.processes if device.shared else 1)
    share = layout.micro_batch * layout.accumulation
    still = memory.total - memory.activations - memory.working
    fitting = (
        count
        for count in range(2, share + 1)
        if share % count == 0 and still + activations.kept(count) + activations.working(count) <= available
    )
    return Fit(needed=memory.total, available=available, largest_micro_batch=max(fitting, default=0))


def _size(module: torch.nn.Module, width: int) -> int:
    tensors = (*module.parameters(), *module.buffers())
    return sum(t.numel() * (width if t.is_floating_point() else t.element_size()) for t in tensors)


def _pass(learner: Learner, batch: int, size: int, dtype: torch.dtype, half: bool) -> tuple[int, int]:
    """Bytes alive after the forward pass, and at the highest point of both."""
    with Ledger() as ledger:
        pair = views(batch, size, dtype)
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            output = learner(*pair)
        kept = ledger.alive
        learner.total(output.losses).backward()
    return kept, ledger.peak


class Ledger(TorchDispatchMode):
    """Bytes of the storages that operations have made and nothing has freed yet."""

    def __init__(self) -> None:
        super().__init__()
        self.alive = self.peak = 0
        self._known: weakref.WeakSet[Any] = weakref.WeakSet()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = {id(leaf.untyped_storage()) for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)}
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                self._note(leaf.untyped_storage(), given)
        return result

    def _note(self, storage: Any, given: set[int]) -> None:
        # A view or a result written in place lives in the storage of an argument.
        if id(storage) in given or storage in self._known:
            return
        self._known.add(storage)
        size = storage.nbytes()
        self.alive += size
        self.peak = max(self.peak, self.alive)
        weakref.finalize(storage, self._free, size)

    def _free(self, size: int) -> None:
        self.alive -= size
