"""Images that can't be decoded: replaced, counted, named, and too many of them stop the run."""

from collections.abc import Iterable

import torch

from ladder_hub.data.image_source import BadImage, DataError, Source
from ladder_hub.errors import RunError

_TRIES = 16
_NAMED = 5


def image_or_next(source: Source, index: int) -> tuple[torch.Tensor, int, list[tuple[str, str]]]:
    """The image, or the first decodable one after it (round the end).

    Returns:
        The image uint8 (3, H, W), its index, and (key, reason) of those passed over.

    Raises:
        DataError: sixteen in a row can't be decoded.
    """
    bad: list[tuple[str, str]] = []
    for step in range(min(_TRIES, len(source))):
        place = (index + step) % len(source)
        try:
            return source.image(place), place, bad
        except BadImage as error:
            bad.append((error.key, error.reason))
    raise DataError(f"{len(bad)} images in a row can't be decoded, from {bad[0][0]} ({bad[0][1]}) in {source.spec}")


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
        named = [f"{key} ({reason})" for key, reason in list(self._reasons.items())[:_NAMED]]
        if len(self._reasons) > _NAMED:
            named.append("...")
        return (
            f"{len(self._reasons)} of {self._total} images can't be decoded, more than "
            f"data.max_bad = {self._max_bad:g}: {', '.join(named)}"
        )
