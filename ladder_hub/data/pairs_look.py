"""Masks looked at before anything is learned from them: what stands in them, and whether a figure would be one.

A network that only ever says background has a mean IoU of 100 % on masks that hold nothing else.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from ladder_hub.data.image_source import BadImage, DataError
from ladder_hub.data.pairs import PairSource
from ladder_hub.data.pairs_mask import IGNORED, told_values
from ladder_hub.data.workers import BatchWorkers

LOOKED_AT = 256
"""Masks of a set that are looked at; more where a class was in none of them."""
_BATCH = 16
_NAMED = 3


class _Found(NamedTuple):
    """What stands in one mask: its values and how many pixels have each; or why it can't be used."""

    key: str
    values: list[int]
    pixels: list[int]
    reason: str = ""


@dataclass
class MaskLook:
    """What was found in the masks of a set.

    Attributes:
        total: Pairs of the set.
        looked: Those that were read.
        pixels: {stored value: pixels}.
        masks: {stored value: masks that have it}.
        first: {stored value: key of the first of these}.
        bad: (key, reason) of pairs that can't be used.
    """

    total: int
    looked: int = 0
    pixels: Counter[int] = field(default_factory=Counter)
    masks: Counter[int] = field(default_factory=Counter)
    first: dict[int, str] = field(default_factory=dict)
    bad: list[tuple[str, str]] = field(default_factory=list)

    def add(self, found: _Found) -> None:
        """One more mask."""
        self.looked += 1
        if found.reason:
            self.bad.append((found.key, found.reason))
        for value, pixels in zip(found.values, found.pixels, strict=True):
            self.pixels[value] += pixels
            self.masks[value] += 1
            self.first.setdefault(value, found.key)


@dataclass(frozen=True)
class _Reader:
    source: PairSource

    def make(self, requests: list[int]) -> list[_Found]:
        """What stands in the masks of some pairs."""
        return [self._one(index) for index in requests]

    def _one(self, index: int) -> _Found:
        key = self.source.key(index)
        try:
            mask = self.source.stored_mask(index)
        except BadImage as error:
            return _Found(key, [], [], error.reason)
        if mask.dtype in (np.uint8, np.bool_):  # counting is many times as quick as sorting
            counts = np.bincount(mask.ravel().view(np.uint8), minlength=256)
            values = np.flatnonzero(counts)
            return _Found(key, values.tolist(), counts[values].tolist())
        values, counts = np.unique(mask, return_counts=True)
        return _Found(key, values.tolist(), counts.tolist())


def look_at_masks(source: PairSource, *, workers: int = 0, most: int = LOOKED_AT, until_all: bool = True) -> MaskLook:
    """Read masks from all over a set.

    Args:
        source: The pairs.
        workers: Loader threads; -1: one a core, at most 8.
        most: How many are read.
        until_all: Read on, to the last one if need be, while a class was in none: that one is absent takes them all to
            tell.
    """
    look, wanted = MaskLook(len(source)), set(source.values or range(source.classes))
    loader: BatchWorkers[list[_Found]] = BatchWorkers(_Reader(source), workers=workers)
    some = np.unique(np.linspace(0, len(source) - 1, min(most, len(source))).astype(np.int64))
    for batch in loader.run(_cut(some)):
        for found in batch:
            look.add(found)
    rest = np.setdiff1d(np.arange(len(source)), some)
    for start in range(0, len(rest) if until_all else 0, most):
        if wanted <= look.masks.keys():
            break
        for batch in loader.run(_cut(rest[start : start + most])):
            for found in batch:
                look.add(found)
    return look


def told_masks(look: MaskLook, source: PairSource) -> str:
    """In one line: how many masks were read, the share of the commonest and the rarest classes, what is ignored."""
    whole = sum(look.pixels.values()) or 1
    values = source.values or tuple(range(source.classes))
    shares = sorted(((look.pixels[value] / whole, _called(source, n)) for n, value in enumerate(values)), reverse=True)
    told = [f"{name} {share:.1%}" for share, name in shares]
    if len(told) > 2 * _NAMED:
        told[_NAMED : 1 - _NAMED] = [f"{len(told) - 2 * _NAMED + 1} between"]
    ignored = 0 if IGNORED in values else look.pixels[IGNORED]
    some = f"{look.total} masks" if look.looked == look.total else f"{look.looked} of {look.total} masks looked at"
    return f"{some}: {', '.join(told)}; ignored {ignored / whole:.1%}"


def mask_faults(look: MaskLook, source: PairSource, key: str, *, max_bad: float, absent: bool) -> list[str]:
    """Why a figure of these masks would not be what it says; a line each, nothing where all is well.

    Args:
        look: What was found in them.
        source: The pairs.
        key: The setting that named them.
        max_bad: Share of them that may be unusable.
        absent: Whether classes may be absent.
    """
    values = source.values or tuple(range(source.classes))
    present = [n for n, value in enumerate(values) if look.pixels[value]]
    missing = [n for n in range(len(values)) if n not in present]
    if len(look.bad) > max_bad * look.looked:
        named = ", ".join(f"{name} ({reason})" for name, reason in look.bad[:_NAMED])
        return [f"{key}: {len(look.bad)} of {look.looked} pairs looked at can't be used: {named}"]
    if odd := sorted(set(look.pixels) - {*values, IGNORED}):
        return [_odd(look, odd, values, key)]
    if not present:
        return [f"{key}: no pixel of its {look.looked} masks has a class, all are ignored ({IGNORED})"]
    if len(present) == 1 and look.pixels[IGNORED] and IGNORED not in values:
        return [
            f"{key}: its masks hold {values[present[0]]} and {IGNORED} alone, and {IGNORED} is ignored: a network that "
            f"only says {_called(source, present[0])} would be right everywhere; where {IGNORED} is a class, give "
            f"data.values=[{values[present[0]]},{IGNORED}]"
        ]
    if len(present) == 1:
        return [f"{key}: its masks hold {_called(source, present[0])} alone: there is nothing to tell apart"]
    if missing and not absent:
        names = ", ".join(_called(source, n) for n in missing[:_NAMED]) + (", ..." if len(missing) > _NAMED else "")
        return [
            f"{key}: {len(missing)} of the {len(values)} classes are in none of its {look.looked} masks ({names}): the "
            "mean would be over others than its name says; correct data.classes, or add data.absent=allow"
        ]
    return []


def check_masks(looks: Sequence[tuple[str, MaskLook, PairSource]], *, max_bad: float, absent: bool) -> None:
    """Refuse sets (key, look, pairs) of which no honest figure can be made.

    Raises:
        DataError: the first of `mask_faults`.
    """
    for key, look, source in looks:
        for fault in mask_faults(look, source, f"{key}={source.spec}", max_bad=max_bad, absent=absent):
            raise DataError(fault)


def _odd(look: MaskLook, odd: list[int], values: Sequence[int], key: str) -> str:
    some = ", ".join(map(str, odd[:_NAMED])) + (", ..." if len(odd) > _NAMED else "")
    first = min(odd, key=lambda value: look.first[value])
    count = max(look.masks[value] for value in odd)
    return (
        f"{key}: label {some} in {count} of {look.looked} masks (such as {look.first[first]}), but the classes are "
        f"{told_values(values)}; correct data.classes, or name what stands for class 0, 1, ... in data.values"
    )


def _called(source: PairSource, number: int) -> str:
    return source.class_names[number] if source.class_names else f"class {number}"


def _cut(indices: np.ndarray) -> list[list[int]]:
    return [indices[start : start + _BATCH].tolist() for start in range(0, len(indices), _BATCH)]
