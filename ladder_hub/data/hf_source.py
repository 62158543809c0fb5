"""Images of a Hugging Face dataset, at random places; `datasets` keeps them in a memory-mapped file."""

from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch

from ladder_hub.data.contents import stamps_of
from ladder_hub.data.decode import Encoded
from ladder_hub.data.hf_cells import cell_sizes, image_bytes
from ladder_hub.data.hf_dataset import image_column, label_column, open_dataset, read_address, undecoded
from ladder_hub.data.image_source import BadImage, DataError, Progress, decoded, no_progress
from ladder_hub.data.picture import Picture


class HubSource:
    """One split of a dataset.

    Labels are those of its ClassLabel column; where one row has none, there are no labels.
    """

    def __init__(self, spec: str, *, split: Literal["train", "val"], progress: Progress = no_progress) -> None:
        self.spec = spec
        dataset = open_dataset(read_address(spec), split=split)
        progress(0, None, f"preparing {dataset.name}")
        rows = dataset.tried(dataset.load)
        if not len(rows):
            raise DataError(f"no image in {spec}: its split {dataset.split} is empty")
        self._column = image_column(dataset.address, rows.features)
        self._images = undecoded(rows, dataset.address, self._column)
        self._place = f"{dataset.name}/{dataset.split}"
        self._roots = dataset.readable_roots()
        label = label_column(dataset.address, rows.features)
        numbers = None if label is None else _class_numbers(rows, label)
        self.labels = None if numbers is None or (numbers < 0).any() else numbers
        without = np.flatnonzero(numbers < 0) if numbers is not None else np.empty(0, np.int64)
        self.unlabelled = f"{self._place}:{without[0]}" if 0 < len(without) < len(rows) else ""
        names = None if label is None else getattr(rows.features[label], "names", None)
        self.class_names: list[str] | None = list(names) if names and self.labels is not None else None
        classes = None if self.labels is None else len(self.class_names or np.unique(self.labels))
        self._fingerprint = dataset.fingerprint(count=len(rows), classes=classes)

    def __len__(self) -> int:
        return len(self._images)

    def key(self, index: int) -> str:
        """`org/name/train:123`."""
        return f"{self._place}:{index}"

    def picture(self, index: int) -> Picture:
        """The image, perhaps not decoded yet. Raises BadImage."""
        data = self.content(index)
        try:
            return Encoded(data)
        except ValueError as error:
            raise BadImage(self.key(index), str(error)) from None

    def content(self, index: int, most: int = -1) -> bytes:
        """The row's image file, or its first bytes. Raises BadImage."""
        try:
            data = image_bytes(self._images[index][self._column], self._roots)
        except OSError as error:
            raise BadImage(self.key(index), error.strerror or type(error).__name__) from None
        except ValueError as error:
            raise BadImage(self.key(index), str(error)) from None
        return data if most < 0 else data[:most]

    def size(self, index: int) -> int:
        """Bytes of the row's image file."""
        if (size := int(self._sizes[index])) >= 0:
            return size
        try:
            return len(self.content(index))
        except BadImage:
            return -1

    @cached_property
    def _sizes(self) -> np.ndarray:
        return cell_sizes(self._images, self._column)

    def stamps(self) -> np.ndarray | None:
        """As `contents.Stamped`: by the prepared files; None where rows name files of their own."""
        files = [file["filename"] for file in self._images.cache_files]
        if not files or (self._sizes < 0).any():
            return None
        parts = stamps_of(files)
        found = np.repeat(parts[:1], len(self))
        found["place"][:, 2] = np.arange(len(self))
        found["newest"] = parts["newest"].max()  # whichever is written again is the newest then
        return found

    def image(self, index: int) -> torch.Tensor:
        """Decoded image, uint8 (3, H, W), RGB. Raises BadImage."""
        return decoded(self, index)

    def fingerprint(self) -> dict[str, Any]:
        """Source, name, count, classes and a SHA-256 of the dataset's revision (or its files, where local)."""
        return dict(self._fingerprint)


def _class_numbers(rows: Any, column: str) -> np.ndarray:
    """int64 (N,), below 0 where a row has none."""
    numbers = rows.select_columns([column]).with_format("arrow")[:].column(column)
    return numbers.fill_null(-1).to_numpy().astype(np.int64)
