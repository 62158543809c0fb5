"""Images of a Hugging Face dataset, at random places; `datasets` keeps them in a memory-mapped file."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from ladder_hub.data.decode import decode
from ladder_hub.data.hf_dataset import image_column, label_column, open_dataset, read_address, undecoded
from ladder_hub.data.image_source import BadImage, DataError, Progress, no_progress


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
        self.labels = None if label is None else _class_numbers(rows, label)
        names = None if label is None else getattr(rows.features[label], "names", None)
        self.class_names: list[str] | None = list(names) if names and self.labels is not None else None
        classes = None if self.labels is None else len(self.class_names or np.unique(self.labels))
        self._fingerprint = dataset.fingerprint(count=len(rows), classes=classes)

    def __len__(self) -> int:
        return len(self._images)

    def key(self, index: int) -> str:
        """`org/name/train:123`."""
        return f"{self._place}:{index}"

    def image(self, index: int) -> torch.Tensor:
        """Decoded image, uint8 (3, H, W), RGB. Raises BadImage."""
        try:
            return decode(_image_bytes(self._images[index][self._column], self._roots))
        except OSError as error:
            raise BadImage(self.key(index), error.strerror or type(error).__name__) from None
        except ValueError as error:
            raise BadImage(self.key(index), str(error)) from None

    def fingerprint(self) -> dict[str, Any]:
        """Source, name, count, classes and a SHA-256 of the dataset's revision (or its files, where local)."""
        return dict(self._fingerprint)


def _image_bytes(cell: Any, roots: list[str]) -> bytes:
    """The bytes of an image cell: they are in the row, or in a file that it names.

    Raises:
        ValueError: there are none, or the file lies outside the dataset: rows are not to be trusted.
        OSError: the file can't be read.
    """
    if isinstance(cell, bytes):
        return cell
    if not cell:
        raise ValueError("no image in this row")
    if cell["bytes"] is not None:
        return cell["bytes"]
    path = Path(cell["path"] or "").resolve()
    if not any(path.is_relative_to(root) for root in roots):
        raise ValueError("the row names a file outside the dataset")
    return path.read_bytes()


def _class_numbers(rows: Any, column: str) -> np.ndarray | None:
    numbers = rows.select_columns([column]).with_format("arrow")[:].column(column)
    labels = numbers.fill_null(-1).to_numpy().astype(np.int64)
    return None if (labels < 0).any() else labels
