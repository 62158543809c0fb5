"""Whether a set of tensors is the whole of a timm network."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ladder_hub.documents import plain
from ladder_hub.formats import FormatError
from ladder_hub.formats.backbones import Group, classifier, unknown
from ladder_hub.formats.timm_index import COUNTER, first_convolution, stock

_NAMED = 5


@dataclass(frozen=True)
class Whole:
    """Every tensor of a network, as it is built."""

    tensors: dict[str, Tensor]
    filled: int
    """Counters that were not there."""
    channels: int
    """That its first convolution takes."""
    head: dict[str, Tensor]
    """Of the architecture's classifier; left out."""


def completed(group: Group, architecture: str) -> Whole:
    """Exactly the tensors of the network without a classifier, float32 and contiguous.

    BatchNorm's `num_batches_tracked` is often not kept; no output depends on it, so it is filled with 0. The first
    convolution may have any number of channels.

    Raises:
        FormatError: a tensor is missing, unknown, of another shape or kind, or not finite.
    """
    tensors = group.tensors
    expected = dict(stock(architecture).state_dict())
    first = first_convolution(architecture)
    if first in tensors and tensors[first].ndim == 4:
        expected[first] = expected[first].new_empty(
            (expected[first].shape[0], tensors[first].shape[1], *expected[first].shape[2:])
        )
    missing = [name for name in expected if name not in tensors and not name.endswith(COUNTER)]
    odd = unknown(group, architecture)
    if missing:
        raise FormatError(
            f"{len(missing)} of the {len(expected)} tensors of {architecture} are missing: {_some(missing)}"
            + (f"; unknown are {_some(odd)}" if odd else "")
        )
    if odd:
        raise FormatError(f"{len(odd)} tensors are unknown to {architecture}: {_some(odd)}")
    whole = {name: _checked(name, tensors.get(name), facts, architecture) for name, facts in expected.items()}
    head = {
        name: tensors[name] for name in tensors if name not in expected and name.startswith(classifier(architecture))
    }
    return Whole(whole, sum(name not in tensors for name in expected), _channels(whole, first), head)


def _channels(tensors: Mapping[str, Tensor], first: str) -> int:
    return tensors[first].shape[1] if first in tensors and tensors[first].ndim == 4 else 3


def _checked(name: str, tensor: Tensor | None, expected: Tensor, architecture: str) -> Tensor:
    if tensor is None:
        return torch.zeros(expected.shape, dtype=expected.dtype)
    if name.endswith(COUNTER) and tensor.numel() == 1:
        return tensor.reshape(()).to(expected.dtype, copy=True)
    if tensor.shape != expected.shape:
        shapes = f"has the shape {list(tensor.shape)}, {architecture} needs {list(expected.shape)}"
        small = name == "conv1.weight" and tensor.shape[2:] == (3, 3)
        hint = "; it is a stem for small images, which no stock network has" if small else ""
        raise FormatError(f"{name} {shapes}{hint}")
    if tensor.layout != torch.strided or tensor.device.type != "cpu" or tensor.is_quantized:
        raise FormatError(f"{name} is no plain tensor: {tensor.layout} on {tensor.device}")
    if tensor.is_floating_point() != expected.is_floating_point():
        raise FormatError(f"{name} holds {tensor.dtype}, {architecture} has {expected.dtype}")
    if not tensor.isfinite().all():
        raise FormatError(f"{name} holds values that are not finite")
    return tensor.detach().to(expected.dtype).contiguous()


def _some(names: list[str]) -> str:
    return ", ".join(map(plain, names[:_NAMED])) + (", …" if len(names) > _NAMED else "")
