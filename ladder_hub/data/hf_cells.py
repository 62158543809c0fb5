"""One cell of a dataset's image column, as the bytes of a file."""

from pathlib import Path
from typing import Any

import numpy as np


def image_bytes(cell: Any, roots: list[str]) -> bytes:
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


def cell_sizes(images: Any, column: str) -> np.ndarray:
    """Bytes of the images that are in their rows, without reading them: int64 (N,); -1 where a row names a file.

    Args:
        images: A dataset whose only column is that of the images, undecoded.
        column: Its name.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    cells = images.with_format("arrow")[:].column(column)
    if pa.types.is_struct(cells.type):
        cells = pc.struct_field(cells, "bytes")
    return pc.binary_length(cells).fill_null(-1).to_numpy().astype(np.int64)
