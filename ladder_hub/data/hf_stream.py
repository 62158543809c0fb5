"""A Hugging Face dataset that is read from front to end, shard by shard, as it comes over the network."""

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

from ladder_hub.data.hf_cells import image_bytes
from ladder_hub.data.hf_dataset import HubDataset, image_column, open_dataset, read_address, undecoded
from ladder_hub.data.image_source import DataError
from ladder_hub.data.stream import Stored
from ladder_hub.data.tar_members import LostError


@dataclass(frozen=True)
class RowShard:
    """A `Shard` of a stream: one part of the rows of a split."""

    dataset: HubDataset
    rows: Any
    column: str
    index: int
    count: int

    @property
    def name(self) -> str:
        """`org/name/train, part 3 of 12`."""
        return f"{self.dataset.name}/{self.dataset.split}, part {self.index + 1} of {self.count}"

    def read(self) -> Generator[Stored, None, None]:
        """Its images, from the first on; `org/name/train/3:17` is a key. A row without an image gives no bytes."""
        roots = self.dataset.readable_roots()
        rows = iter(self.rows.shard(num_shards=self.count, index=self.index))
        number = 0
        while (row := self._next(rows)) is not None:
            try:
                data = image_bytes(row[self.column], roots)
            except (ValueError, OSError):
                data = b""
            yield Stored(f"{self.dataset.name}/{self.dataset.split}/{self.index}:{number}", data)
            number += 1

    def _next(self, rows: Any) -> Any:
        try:
            return next(rows, None)
        except Exception as error:  # of a dozen kinds, from the network's to pyarrow's
            raise LostError(f"{type(error).__name__}: {' '.join(str(error).split())[:200]}") from None


def open_rows(spec: str) -> tuple[list[RowShard], dict[str, Any]]:
    """The parts of a streamed dataset, and what provenance records of it.

    Raises:
        DataError: as `open_dataset` and `image_column`.
    """
    dataset = open_dataset(read_address(spec), split="train")
    rows = dataset.tried(dataset.stream)
    if rows.features is None:
        rows = dataset.tried(rows._resolve_features)
    column = image_column(dataset.address, rows.features)
    images = undecoded(rows, dataset.address, column)
    count = int(images.num_shards)
    if not count:
        raise DataError(f"no image in {spec}: its split {dataset.split} is empty")
    shards = [RowShard(dataset, images, column, index, count) for index in range(count)]
    facts = dataset.fingerprint(count=None, classes=None)
    return shards, {key: facts[key] for key in ("source", "name", "digest")}
