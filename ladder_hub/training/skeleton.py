"""A learner of shapes alone: every operation runs, no number is computed and no memory taken.

Torch's fake tensors pose as the CPU's, so that autocast and autograd treat them as they treat real ones.
"""

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from ladder_hub.backbone import build_backbone
from ladder_hub.siamese.learner import Learner
from ladder_hub.siamese.levels import Level


def shapes_of(backbone: str, levels: Sequence[Level], *, hidden: int, out: int, grid: int) -> Learner:
    """The learner on the meta device: names, shapes and what is trained."""
    with torch.device("meta"):
        return Learner(build_backbone(backbone), levels, hidden=hidden, out=out, grid=grid).train()


@contextmanager
def dry(learner: Learner, dtype: torch.dtype = torch.float32) -> Iterator[Learner]:
    """A copy of `learner` (from `shapes_of`) in `dtype`; while open, it and all tensors made are fakes of the CPU's."""
    copied = copy.deepcopy(learner)
    with FakeTensorMode():
        yield copied._apply(lambda tensor: torch.empty(tensor.shape, dtype=_kept(tensor, dtype), device="cpu"))


def views(batch: int, size: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """Two views of `batch` images: (B, 3, size, size) each, channels last."""
    first, second = (
        torch.empty(batch, 3, size, size, dtype=dtype).contiguous(memory_format=torch.channels_last) for _ in range(2)
    )
    return first, second


def _kept(tensor: Tensor, dtype: torch.dtype) -> torch.dtype:
    return dtype if tensor.is_floating_point() else tensor.dtype
