"""Bytes of any format that Pillow opens to uint8 RGB.

What Pillow's own `convert("RGB")` gets wrong is done here: 16 and 32 bits are scaled rather than clipped,
transparency is laid on white rather than dropped, and the camera's orientation is applied.
"""

import io
import warnings
from collections.abc import Iterator

import numpy as np
import torch
from PIL import ExifTags, Image, UnidentifiedImageError

UPRIGHT = 1
# EXIF orientation: whether rows and columns change places, then which dimensions of (3, H, W) are reversed.
_TURNS: dict[int, tuple[bool, list[int]]] = {
    1: (False, []),
    2: (False, [2]),
    3: (False, [1, 2]),
    4: (False, [1]),
    5: (True, []),
    6: (True, [2]),
    7: (True, [1, 2]),
    8: (True, [1]),
}
_PIXELS_AT_ONCE = 2**20

# Pillow refuses at twice its limit and only warns up to there; here the limit is one.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


def decode_by_pillow(data: bytes) -> torch.Tensor:
    """Decode an image; the first frame where there are several.

    Returns:
        uint8 (3, H, W), RGB, upright; channels lie last in memory.

    Raises:
        ValueError: it can't be decoded; the message is a few words.
    """
    try:
        image = Image.open(io.BytesIO(data))
        if too_large(image.height, image.width):
            raise Image.DecompressionBombError
        orientation = _orientation(image)
        pixels = np.array(_rgb(image), dtype=np.uint8)
    except Exception as error:  # a broken file can provoke anything, struct.error for one
        raise ValueError(_reason(error)) from None
    return upright(torch.from_numpy(pixels).permute(2, 0, 1), orientation)


def too_large(height: int, width: int) -> bool:
    """Whether an image is beyond Pillow's limit against decompression bombs."""
    return height * width > (Image.MAX_IMAGE_PIXELS or float("inf"))


def stored_orientation(data: bytes) -> int:
    """How EXIF (or XMP) says the camera was held, 1..8; 1 where nothing is said."""
    try:
        return _orientation(Image.open(io.BytesIO(data)))
    except Exception:  # as below
        return UPRIGHT


def _orientation(image: Image.Image) -> int:
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, UPRIGHT)
    except Exception:  # a broken EXIF block says nothing about the pixels
        return UPRIGHT
    return orientation if orientation in _TURNS else UPRIGHT


def lies_on_its_side(orientation: int) -> bool:
    """Whether height and width change places."""
    return _TURNS[orientation][0]


def upright(pixels: torch.Tensor, orientation: int) -> torch.Tensor:
    """(3, H, W) as stored to how it was seen."""
    if orientation == UPRIGHT:
        return pixels
    transposed, reversed_ = _TURNS[orientation]
    return (pixels.mT if transposed else pixels).flip(reversed_)


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith(("I", "F")):
        return Image.fromarray(_eight_bit(np.asarray(image), image.mode)).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


def _eight_bit(values: np.ndarray, mode: str) -> np.ndarray:
    """Greyscale of more than 8 bits to uint8 (H, W).

    16 bits span 0..65535. A wider integer, or a float, has no agreed range: 16-bit values and 0..1 are taken
    at their word, anything else is stretched from its own lowest to its highest value.
    """
    lowest, highest = zip(*((wide.min(), wide.max()) for wide in _wide(values)), strict=True)
    low, high = 0.0, 1.0 if mode == "F" else 65535.0
    if min(lowest) < low or max(highest) > high:
        low, high = float(min(lowest)), float(max(highest))
    scale = 255.0 / ((high - low) or 1.0)
    return np.concatenate([np.floor((wide - low) * scale + 0.5).astype(np.uint8) for wide in _wide(values)])


def _wide(values: np.ndarray) -> Iterator[np.ndarray]:
    """Some rows at a time as float64: all at once would take eight bytes a pixel, several times over."""
    rows = max(1, _PIXELS_AT_ONCE // values.shape[1])
    for start in range(0, len(values), rows):
        yield np.nan_to_num(values[start : start + rows].astype(np.float64), posinf=0.0, neginf=0.0)


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "not an image"
    if isinstance(error, Image.DecompressionBombError):
        return f"more than {(Image.MAX_IMAGE_PIXELS or 0) // 10**6} million pixels"
    text = " ".join(str(error).split())
    if "truncated" in text.lower() or "unexpected end" in text.lower() or isinstance(error, EOFError):
        return "truncated"
    return (text or type(error).__name__)[:80]
