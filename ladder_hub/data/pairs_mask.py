"""A mask: the class of every pixel, as the indices of a PNG."""

import io

import numpy as np
from PIL import Image

IGNORED = 255
"""The label of pixels that are neither learned from nor judged: borders, what nobody could tell."""
MOST_CLASSES = 255

_INDEX_MODES = ("L", "P", "1", "I", "I;16")
_NAMED = 3


def decode_mask(data: bytes, *, height: int, width: int, classes: int) -> np.ndarray:
    """Decode a mask; of a palette PNG, as VOC ships, the indices and not the colours.

    Args:
        data: A whole PNG file of one channel.
        height: Of the image that it belongs to, in pixels.
        width: Likewise.
        classes: Labels are 0..classes - 1, and 255 for what is ignored.

    Returns:
        uint8 (height, width).

    Raises:
        ValueError: it is no mask, or no mask of this image; the message is a few words.
    """
    try:
        file = Image.open(io.BytesIO(data), formats=("PNG",))
        size, mode = (file.height, file.width), file.mode
        _check_kind(mode, size, (height, width))
        labels = np.array(file)
    except _MaskError:
        raise
    except Exception:  # a broken file can provoke anything
        raise ValueError("the mask is no PNG, or damaged") from None
    return _checked(labels, classes)


class _MaskError(ValueError):
    """A sound image file that is no mask of this image."""


def _check_kind(mode: str, size: tuple[int, int], expected: tuple[int, int]) -> None:
    """Before anything is decoded: a small file may claim a huge size."""
    if mode not in _INDEX_MODES:
        raise _MaskError(f"the mask holds {mode} colours; one channel of class indices is needed")
    if size != expected:
        raise _MaskError(f"the mask is {size[1]}x{size[0]}, the image {expected[1]}x{expected[0]}")


def _checked(labels: np.ndarray, classes: int) -> np.ndarray:
    odd = np.unique(labels[((labels >= classes) & (labels != IGNORED)) | (labels < 0)]).tolist()
    if odd:
        some = ", ".join(map(str, odd[:_NAMED])) + (", ..." if len(odd) > _NAMED else "")
        raise _MaskError(f"label {some} in the mask, but the classes are 0 to {classes - 1} (and 255, ignored)")
    return labels.astype(np.uint8)
