"""Images that can't be decoded: replaced, counted, named, and too many of them stop the run."""

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar

import torch

from ladder_hub.data.chance import stand_in
from ladder_hub.data.image_source import BadImage, Source
from ladder_hub.data.picture import Picture
from ladder_hub.errors import RunError

Made = TypeVar("Made")


class Listed(Protocol):
    """What is asked of a source here: how many, and what it is called."""

    spec: str

    def __len__(self) -> int: ...


_TRIES = 16
_NAMED = 5


def image_or_stand_in(source: Source, index: int) -> tuple[torch.Tensor, int, list[tuple[str, str]]]:
    """The image, or one that stands in: the next, and where that is bad too, others from all over the source.

    Damage comes in runs (a folder, a shard), so neighbours alone would end a run that has few bad images in all.

    Returns:
        The image uint8 (3, H, W), its index, and (key, reason) of those that could not be decoded.

    Raises:
        RunError: sixteen of them, or all there are, can't be decoded; up to five are named.
    """
    return first_sound(source, index, source.image)


def picture_or_stand_in(
    source: Source, index: int, use: Callable[[Picture], Made]
) -> tuple[Made, int, list[tuple[str, str]]]:
    """Likewise, for a picture that is decoded while it is used: `use` may raise ValueError.

    Returns:
        What `use` makes of it, its index, and (key, reason) of those that could not be decoded.
    """

    def made(place: int) -> Made:
        try:
            return use(source.picture(place))
        except ValueError as error:
            raise BadImage(source.key(place), str(error)) from None

    return first_sound(source, index, made)


def first_sound(source: Listed, index: int, make: Callable[[int], Made]) -> tuple[Made, int, list[tuple[str, str]]]:
    """Likewise, for what `make` makes of an index; it raises BadImage where another should stand in."""
    bad: list[tuple[str, str]] = []
    for place in _places(len(source), index):
        try:
            return make(place), place, bad
        except BadImage as error:
            bad.append((error.key, error.reason))
    raise RunError(f"{len(bad)} images tried for one place in {source.spec} can't be decoded: {_named(bad)}")


def _places(n: int, index: int) -> Iterator[int]:
    """The image at `index` and who may stand in for it, in order, no place twice."""
    tried: set[int] = set()
    for number in range(min(_TRIES, n)):
        place = (index + number) % n if number <= 1 else stand_in(n, index=index, number=number)
        while place in tried:
            place = (place + 1) % n
        tried.add(place)
        yield place


class BadLedger:
    """Which images of a run could not be decoded so far.

    Args:
        total: Number of images of the source.
        max_bad: Share of them that may be bad, 0..1.
    """

    def __init__(self, total: int, max_bad: float) -> None:
        self._total = total
        self._max_bad = max_bad
        self._reasons: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self._reasons)

    def add(self, bad: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
        """Note a batch's bad images; returns those not seen before.

        Raises:
            RunError: more than max_bad of the images are bad; up to five are named.
        """
        new = []
        for key, reason in bad:
            if key not in self._reasons:
                self._reasons[key] = reason
                new.append((key, reason))
        if new and len(self._reasons) > self._max_bad * self._total:
            raise RunError(self._message())
        return new

    def _message(self) -> str:
        return (
            f"{len(self._reasons)} of {self._total} images can't be decoded, more than "
            f"data.max_bad = {self._max_bad:g}: {_named(list(self._reasons.items()))}"
        )


def _named(bad: list[tuple[str, str]]) -> str:
    named = [f"{key} ({reason})" for key, reason in bad[:_NAMED]]
    return ", ".join([*named, "..."] if len(bad) > _NAMED else named)
