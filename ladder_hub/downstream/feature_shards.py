"""Features on the disk: safetensors shards that are whole or not there, read through memory maps.

A shard holds one stage of the images start..end - 1 of a source, those that could be decoded. What decides the
numbers decides the folder: weights, images, preprocessing, pooling. So another reading of the same features, of
another evaluation or after an interruption, finds what is there and computes the rest.
"""

import contextlib
import hashlib
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ladder_hub.data.cache import cache_folder
from ladder_hub.downstream.features import Rows
from ladder_hub.errors import RunError
from ladder_hub.weights import WeightsError, read_header, save_canonical, write_whole

_SHARD_BYTES = 2**27
_SHARD_ROWS = 2**14
_STALE_SECONDS = 24 * 3600

Span = tuple[int, int]


class NotKeptError(RunError):
    """Features that can't be kept: a reason to do without, not to fail."""


@dataclass(frozen=True)
class FeatureTable:
    """Features of a set of images, in memory or mapped."""

    blocks: Mapping[str, Sequence[np.ndarray]]
    """{stage: float32 (n, ...) of neighbouring rows}; the stages may be cut at different places."""
    indices: np.ndarray
    """int64 (N,): which image of the source a row is."""

    def __len__(self) -> int:
        return len(self.indices)

    def rows(self, stage: str, numbers: np.ndarray) -> Tensor:
        """Some rows, copied: float32 (n, ...).

        Args:
            stage: One of the stages.
            numbers: int64 (n,), of rows.
        """
        blocks = self.blocks[stage]
        ends = np.cumsum([len(block) for block in blocks])
        places = np.searchsorted(ends, numbers, side="right")
        out = np.empty((len(numbers), *blocks[0].shape[1:]), dtype=np.float32)
        for place in np.unique(places):
            here = places == place
            block = blocks[place]
            out[here] = block[numbers[here] - (ends[place] - len(block))]
        return torch.from_numpy(out)

    def all(self, stage: str) -> Tensor:
        """All rows, copied: float32 (N, ...)."""
        return torch.from_numpy(np.concatenate(self.blocks[stage]))


class FeatureShards:
    """The shards of one network's features of one source.

    Args:
        facts: Everything that decides the numbers, as JSON has it.
        count: Images of the source.
    """

    def __init__(self, facts: Mapping[str, Any], count: int) -> None:
        text = json.dumps(facts, sort_keys=True)
        self.folder = cache_folder() / "features" / hashlib.sha256(text.encode()).hexdigest()[:32]
        self._text = text
        self._count = count

    def gaps(self, stage: str) -> list[Span]:
        """Spans of images whose features are not there."""
        gaps, position = [], 0
        for start, end, _ in self._shards(stage):
            if start > position:
                gaps.append((position, start))
            position = max(position, end)
        return [*gaps, (position, self._count)] if position < self._count else gaps

    def table(self, stages: Sequence[str]) -> FeatureTable:
        """All features of some stages, of which none is missing."""
        blocks: dict[str, list[np.ndarray]] = {}
        for stage in stages:
            shards = [_mapped(path) for _, _, path in self._shards(stage)]
            blocks[stage] = [features for features, _ in shards]
            indices = np.concatenate([kept for _, kept in shards])
        return FeatureTable(blocks, indices)

    def write(self, start: int, none: Rows, batches: Iterable[Rows]) -> None:
        """Write the features from image `start` on; before a failure, or a wish to stop, what there is by then.

        Args:
            start: The first image.
            none: Rows of no image, which tell stages and shapes.
            batches: Of neighbouring images.

        Raises:
            NotKeptError: they can't be written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            _remove_stale(self.folder)
            write_whole(self.folder / "facts.json", [self._text.encode()])
        except OSError as error:
            raise _no_room(self.folder, error) from None
        writer = _Writer(self.folder, start, none)
        try:
            for rows in batches:
                writer.add(rows)
        finally:
            writer.flush()

    def _shards(self, stage: str) -> list[tuple[int, int, Path]]:
        """Sound shards (start, end, path) that don't overlap, in order; what is damaged goes."""
        found: list[tuple[int, int, Path]] = []
        for path in sorted(self.folder.glob(f"{stage}-*.safetensors")):
            _, start, end = path.stem.split("-")
            if found and int(start) < found[-1][1]:
                continue
            try:
                read_header(path)
            except WeightsError:
                with contextlib.suppress(OSError):
                    path.unlink()
                continue
            found.append((int(start), int(end), path))
        return found


class _Writer:
    """Gathers rows, and writes a shard a stage when there are enough."""

    def __init__(self, folder: Path, start: int, none: Rows) -> None:
        self._folder, self._none = folder, none
        self._first = self._start = self._end = start
        self._rows = [none]

    def add(self, rows: Rows) -> None:
        self._end = self._first + rows.end
        if not len(rows.indices):
            return
        self._rows.append(rows._replace(features={stage: part.cpu() for stage, part in rows.features.items()}))
        widest = max(part[0].nbytes for part in rows.features.values())
        if self._end - self._start >= min(_SHARD_ROWS, _SHARD_BYTES // widest):
            self.flush()

    def flush(self) -> None:
        if self._end == self._start:
            return
        indices = torch.from_numpy(np.concatenate([rows.indices for rows in self._rows]))
        for stage in self._none.features:
            features = torch.cat([rows.features[stage].cpu() for rows in self._rows])
            path = self._folder / f"{stage}-{self._start:09d}-{self._end:09d}.safetensors"
            try:
                save_canonical({"indices": indices, "features": features}, path)
            except OSError as error:
                raise _no_room(path, error) from None
        self._start, self._rows = self._end, [self._none]


def _mapped(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Features and indices of a sound shard; only what is touched is read."""
    header = read_header(path)
    spans = {name: entry["data_offsets"] for name, entry in header.items() if name != "__metadata__"}
    begin = path.stat().st_size - max(end for _, end in spans.values())
    if not header["indices"]["shape"][0]:  # of nothing there is no map
        return np.empty(header["features"]["shape"], np.float32), np.empty(0, np.int64)
    arrays = [
        np.memmap(path, dtype, "r", offset=begin + spans[name][0], shape=tuple(header[name]["shape"]))
        for name, dtype in (("features", np.float32), ("indices", np.int64))
    ]
    return arrays[0], np.array(arrays[1])


def _remove_stale(folder: Path) -> None:
    """What a killed process left half-written; a fresh one may be another's that is at work."""
    for part in folder.glob(".*"):
        if time.time() - part.stat().st_mtime > _STALE_SECONDS:
            part.unlink(missing_ok=True)


def _no_room(path: Path, error: OSError) -> NotKeptError:
    return NotKeptError(f"{path} can't be written ({error.strerror or error})")
