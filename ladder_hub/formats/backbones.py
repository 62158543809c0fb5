"""The backbones in a file, found by their shapes: whatever the prefix, the nesting and the project."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ladder_hub.backbone import BackboneError
from ladder_hub.formats import names
from ladder_hub.formats.timm_index import COUNTER, Index, Sketch, first_convolution, hashes, shapes_of, stock

_DEPTH = 16
_FEWEST = 8
"""Tensors; no network of timm has less."""
_NEAR = 0.5
_SAME_NAMES = 0.9
"""A family with so many of a group's names is the group's own: no other is asked for its shapes."""


@dataclass(frozen=True)
class Group:
    """Tensors with a common prefix, under the names that timm would give them."""

    prefix: str
    """With its dot, as in `state_dict.backbone.`; "" where there is none."""
    reading: str
    """Whose names they had: "" where they were timm's (or torchvision's)."""
    tensors: Mapping[str, Tensor]
    kept: Mapping[str, str] = field(repr=False)
    """Their whole names in the file."""


@dataclass(frozen=True)
class Backbone:
    """A group that is a network of timm."""

    group: Group
    architecture: str
    twins: tuple[str, ...] = ()
    """Other networks of timm with the same tensors."""

    @property
    def prefix(self) -> str:
        """Of its names in the file."""
        return self.group.prefix

    def tensors(self) -> dict[str, Tensor]:
        """Exactly the network's, counters only where they are there."""
        return {name: self.group.tensors[name] for name in shapes_of(self.architecture) if name in self.group.tensors}

    def names(self) -> set[str]:
        """Of its tensors in the file."""
        return {self.group.kept[name] for name in self.tensors()}


def flat(content: Any) -> dict[str, Tensor]:
    """Every tensor of a tree of tables and lists, by its dotted way from the top; NumPy's arrays are tensors too."""
    found: dict[str, Tensor] = {}
    for name, tensor in _walk(content, "", 0, set()):
        found.setdefault(name, tensor)
    return names.from_haiku(found)


def _walk(value: Any, way: str, depth: int, above: set[int]) -> Iterator[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        yield way, value
    elif isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
        yield way, torch.from_numpy(np.ascontiguousarray(value))
    elif isinstance(value, Mapping | list | tuple) and depth < _DEPTH and id(value) not in above:
        parts = value.items() if isinstance(value, Mapping) else enumerate(value)
        for name, part in parts:
            yield from _walk(part, f"{way}.{name}" if way else str(name), depth + 1, above | {id(value)})


def groups(tensors: Mapping[str, Tensor]) -> list[Group]:
    """Every prefix with tensors enough below it, in each reading of their names."""
    below: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        for end in (0, *(place + 1 for place, letter in enumerate(name) if letter == ".")):
            below.setdefault(name[:end], {})[name[end:]] = tensor
    found = []
    for prefix, inside in below.items():
        if len(inside) >= _FEWEST:
            for reading, renamed in names.readings(inside).items():
                if len(renamed) == len(inside):  # else two names became one, and it is no such reading
                    kept = {new: prefix + old for old, new in zip(inside, renamed, strict=True)}
                    found.append(Group(prefix, reading, renamed, kept))
    return found


def backbones(found: Sequence[Group], hint: str = "") -> list[Backbone]:
    """Those of `found` that are networks of timm, all of the first of timm's families that has any.

    Args:
        found: From `groups`.
        hint: What the file says its network is; tried first.
    """
    if _known(hint) and (hinted := [Backbone(group, hint) for group in found if is_network(group, hint)]):
        return hinted
    hashed = _hashed(found)
    for sketches in _families(hashed):
        networks = []
        for group, items, _ in hashed:
            near = [name for name, sketch in sketches.items() if sketch.tensors <= items]
            if fitting := [name for name in near if is_network(group, name)]:
                first = min(fitting, key=lambda name: (len(name), name))
                networks.append(Backbone(group, first, tuple(name for name in fitting if name != first)))
        if networks:
            return networks
    return []


def nearest(found: Sequence[Group]) -> Backbone | None:
    """The group and the network that have most in common, where that is at least half of the network's names."""
    hashed = _hashed(found)
    best: tuple[tuple[float, float, int], Group, str] | None = None
    for sketches in _families(hashed):
        for group, items, named in hashed:
            for name, sketch in sketches.items():
                score = (_shared(sketch.names, named), _shared(sketch.tensors, items), -len(items))
                if score[0] >= _NEAR and (best is None or score > best[0]):
                    best = score, group, name
    return Backbone(best[1], best[2]) if best else None


_Hashed = tuple[Group, set[int], set[int]]


def _hashed(found: Sequence[Group]) -> list[_Hashed]:
    shapes = ({name: tuple(tensor.shape) for name, tensor in group.tensors.items()} for group in found)
    return [(group, *hashes(table)) for group, table in zip(found, shapes, strict=True)]


def _families(hashed: Sequence[_Hashed]) -> Iterator[dict[str, Sketch]]:
    """The families of timm, the likeliest first, as far as it makes sense to look."""
    if not hashed:
        return
    index = Index()
    families = index.families(set().union(*(group.tensors for group, _, _ in hashed)))
    yield index.sketches(next(families))  # the usual ResNets, which timm has more of
    for family in families:
        yield (sketches := index.sketches(family))
        if any(_shared(s.names, named) >= _SAME_NAMES for s in sketches.values() for _, _, named in hashed):
            return


def is_network(group: Group, architecture: str) -> bool:
    """Whether all of the network is there, with its shapes, and nothing in its parts that it doesn't have.

    The first convolution may have any number of channels.
    """
    shapes = shapes_of(architecture)
    first = first_convolution(architecture)
    for name, shape in shapes.items():
        if name.endswith(COUNTER):
            continue
        tensor = group.tensors.get(name)
        if tensor is None or not _alike(tuple(tensor.shape), shape, any_channels=name == first):
            return False
    return not unknown(group, architecture)


def unknown(group: Group, architecture: str) -> list[str]:
    """Tensors inside the network's own parts that it doesn't have; a classifier is none of them."""
    shapes = shapes_of(architecture)
    parts = {name.partition(".")[0] for name in shapes}
    head = classifier(architecture)
    return [
        name
        for name in group.tensors
        if name.partition(".")[0] in parts
        and name not in shapes
        and not name.endswith(COUNTER)
        and not name.startswith(head)
    ]


def classifier(architecture: str) -> tuple[str, ...]:
    """How the names of its classifier's tensors begin."""
    found = getattr(stock(architecture), "pretrained_cfg", {}).get("classifier") or ()
    return tuple(f"{layer}." for layer in ([found] if isinstance(found, str) else found))


def apart(one: Backbone, other: Backbone) -> float | None:
    """|a - b| / |a| of all weights; None where the networks differ."""
    a, b = one.tensors(), other.tensors()
    if one.architecture != other.architecture or any(a[name].shape != b[name].shape for name in a.keys() & b.keys()):
        return None
    pairs = [(a[name].float(), b[name].float()) for name in a.keys() & b.keys() if a[name].is_floating_point()]
    if all(x.data_ptr() == y.data_ptr() or torch.equal(x, y) for x, y in pairs):
        return 0.0
    difference = sum(float((x - y).double().square().sum()) for x, y in pairs)
    return (difference / max(sum(float(x.double().square().sum()) for x, _ in pairs), 1e-30)) ** 0.5


def _alike(shape: tuple[int, ...], expected: tuple[int, ...], *, any_channels: bool) -> bool:
    if any_channels and len(shape) == len(expected) == 4:
        return shape[:1] + shape[2:] == expected[:1] + expected[2:]
    return shape == expected


def _shared(sketch: frozenset[int], there: set[int]) -> float:
    return len(sketch & there) / max(1, len(sketch))


def _known(name: str) -> bool:
    try:
        return bool(name) and bool(stock(name))
    except BackboneError:
        return False
