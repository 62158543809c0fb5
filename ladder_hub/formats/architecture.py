"""Which timm network a set of tensors is, and whether it is whole."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor, nn

from ladder_hub.backbone import BackboneError, skeleton, stage_indices
from ladder_hub.documents import plain
from ladder_hub.formats import FormatError
from ladder_hub.formats.resnets import RESNETS

_COUNTER = "num_batches_tracked"
_NAMED = 5


def architecture_of(tensors: Mapping[str, Tensor], *, asked: str = "", hint: str = "") -> str:
    """The timm network that `tensors` are of: the one that fits, else the nearest ResNet.

    Args:
        tensors: Under timm's names, without a classifier.
        asked: What the user says; taken as it is.
        hint: What the file says of itself; tried first.

    Raises:
        FormatError: nothing is near.
        BackboneError: timm has no network `asked`, or it has no pyramid.
    """
    if asked:
        stage_indices(_stock(asked), asked)
        return asked
    distances: dict[str, int] = {}
    for name in dict.fromkeys((hint, *RESNETS)):
        shapes = _shapes(name)
        head = _classifier(name) if shapes else ()
        distances[name] = sum(key not in tensors or tensors[key].shape != shape for key, shape in shapes.items())
        distances[name] += sum(
            key not in shapes and not key.endswith(_COUNTER) and not key.startswith(head) for key in tensors
        )
        if shapes and not distances[name]:
            stage_indices(_stock(name), name)
            return name
    nearest = min(RESNETS, key=lambda name: distances[name])
    if distances[nearest] > len(tensors) // 2:
        some = ", ".join(map(plain, list(tensors)[:3])) or "none"
        raise FormatError(f"its names ({some}, …) are those of no ResNet that is known here; which network? arch=NAME")
    return nearest


@dataclass(frozen=True)
class Whole:
    """Every tensor of a network, as it is built."""

    tensors: dict[str, Tensor]
    filled: int
    """Counters that were not there."""
    classifier: int
    """Tensors of the architecture's classifier, left out."""


def completed(tensors: Mapping[str, Tensor], architecture: str) -> Whole:
    """Exactly the tensors of the network without a classifier, float32 and contiguous.

    BatchNorm's `num_batches_tracked` is often not kept; no output depends on it, so it is filled with 0.

    Raises:
        FormatError: a tensor is missing, unknown, of another shape or kind, or not finite.
    """
    expected = _stock(architecture).state_dict()
    head = _classifier(architecture)
    missing = [name for name in expected if name not in tensors and not name.endswith(_COUNTER)]
    classifier = [name for name in tensors if name not in expected and name.startswith(head)]
    unknown = [name for name in tensors if name not in expected and name not in classifier]
    if missing:
        raise FormatError(
            f"{len(missing)} of the {len(expected)} tensors of {architecture} are missing: {_some(missing)}"
            + (f"; unknown are {_some(unknown)}" if unknown else "")
        )
    if unknown:
        raise FormatError(f"{len(unknown)} tensors are unknown to {architecture}: {_some(unknown)}")
    whole = {name: _checked(name, tensors.get(name), facts, architecture) for name, facts in expected.items()}
    return Whole(whole, sum(name not in tensors for name in expected), len(classifier))


def _checked(name: str, tensor: Tensor | None, expected: Tensor, architecture: str) -> Tensor:
    if tensor is None:
        return torch.zeros(expected.shape, dtype=expected.dtype)
    if name.endswith(_COUNTER) and tensor.numel() == 1:
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


@lru_cache(maxsize=32)
def _stock(name: str) -> nn.Module:
    return skeleton(name, num_classes=0)


def _shapes(name: str) -> dict[str, torch.Size]:
    """What the network's tensors look like; {} where timm has no such network."""
    try:
        tensors = _stock(name).state_dict()
    except BackboneError:  # what the file calls its network is not timm's name
        return {}
    return {key: tensor.shape for key, tensor in tensors.items() if not key.endswith(_COUNTER)}


def _classifier(name: str) -> tuple[str, ...]:
    """How the names of its classifier's tensors begin."""
    found = getattr(_stock(name), "pretrained_cfg", {}).get("classifier") or ()
    return tuple(f"{layer}." for layer in ([found] if isinstance(found, str) else found))


def _some(names: list[str]) -> str:
    return ", ".join(map(plain, names[:_NAMED])) + (", …" if len(names) > _NAMED else "")
