"""A list of a million names in two objects instead of a million."""

from array import array
from collections.abc import Iterable, Iterator

import numpy as np


class Names:
    """Immutable sequence of str, kept as one buffer of UTF-8 bytes and the offsets into it.

    Names that are no valid UTF-8 (file names may be any bytes) survive as Python's surrogate escapes.

    Attributes:
        joined: uint8, all names one after another.
        ends: int64 (N,), where each name ends.
    """

    def __init__(self, joined: np.ndarray, ends: np.ndarray) -> None:
        self.joined = joined
        self.ends = ends

    @classmethod
    def pack(cls, names: Iterable[str]) -> "Names":
        """Pack any iterable of names; no more than one of them is held as an object."""
        joined, ends = bytearray(), array("q")
        for name in names:
            joined += name.encode("utf-8", "surrogateescape")
            ends.append(len(joined))
        return cls(np.frombuffer(joined, dtype=np.uint8), np.frombuffer(ends, dtype=np.int64))

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, index: int) -> str:
        start = self.ends[index - 1] if index else 0
        return self.joined[start : self.ends[index]].tobytes().decode("utf-8", "surrogateescape")

    def __iter__(self) -> Iterator[str]:
        return (self[index] for index in range(len(self)))
