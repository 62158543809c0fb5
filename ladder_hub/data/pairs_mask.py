"""A mask: the class of every pixel, as the indices of a PNG."""

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

IGNORED = 255
"""The label of pixels that are neither learned from nor judged: borders, what nobody could tell."""
MOST_CLASSES = 255

_INDEX_MODES = ("L", "P", "1", "I", "I;16")
_NAMED = 3


def decode_mask(data: bytes, *, height: int, width: int, classes: int, values: Sequence[int] = ()) -> np.ndarray:
    """Decode a mask to classes.

    Args:
        data: A whole PNG file of one channel.
        height: Of the image that it belongs to, in pixels.
        width: Likewise.
        classes: Labels are 0..classes - 1, and 255 for what is ignored.
        values: What stands in the file for class 0, 1, ...; empty: the class itself. 255 is ignored where it is none of
            them.

    Returns:
        uint8 (height, width).

    Raises:
        ValueError: it is no mask, or no mask of this image; the message is a few words.
    """
    stored = decode_values(data, height=height, width=width)
    wanted = tuple(values) or tuple(range(classes))
    # Comparing is ten times as quick as looking each value up.
    known = np.isin(stored, [*wanted, IGNORED]) if values else (stored >= 0) & (stored < classes) | (stored == IGNORED)
    if not known.all():
        raise _MaskError(f"{_odd(stored[~known])} in the mask, but the classes are {told_values(wanted)}")
    if not values:
        return stored.astype(np.uint8)
    table = np.full(1 + max(*values, IGNORED), IGNORED, dtype=np.uint8)
    table[list(values)] = np.arange(len(values))
    return table[stored.astype(np.int64)]


def decode_values(data: bytes, *, height: int, width: int) -> np.ndarray:
    """What stands in the file of a mask; of a palette PNG, as VOC ships, the indices and not the colours.

    Returns:
        Integers or bool (height, width).

    Raises:
        ValueError: as `decode_mask`.
    """
    try:
        file = Image.open(io.BytesIO(data), formats=("PNG",))
        size, mode = (file.height, file.width), file.mode
        _check_kind(mode, size, (height, width))
        return np.array(file)
    except _MaskError:
        raise
    except Exception:  # a broken file can provoke anything
        raise ValueError("the mask is no PNG, or damaged") from None


def told_values(wanted: Sequence[int]) -> str:
    """`0 to 20 (and 255, ignored)`, or the values one by one."""
    whole = tuple(wanted) == tuple(range(len(wanted)))
    some = f"0 to {len(wanted) - 1}" if whole else f"stored as {', '.join(map(str, wanted))}"
    return some if IGNORED in wanted else f"{some} (and {IGNORED}, ignored)"


class _MaskError(ValueError):
    """A sound image file that is no mask of this image."""


def _check_kind(mode: str, size: tuple[int, int], expected: tuple[int, int]) -> None:
    """Before anything is decoded: a small file may claim a huge size."""
    if mode not in _INDEX_MODES:
        raise _MaskError(f"the mask holds {mode} colours; one channel of class indices is needed")
    if size != expected:
        raise _MaskError(f"the mask is {size[1]}x{size[0]}, the image {expected[1]}x{expected[0]}")


def _odd(stored: np.ndarray) -> str:
    odd = np.unique(stored).tolist()
    return f"label {', '.join(map(str, odd[:_NAMED]))}" + (", ..." if len(odd) > _NAMED else "")
