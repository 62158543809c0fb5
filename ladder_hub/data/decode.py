"""Bytes of any format that Pillow opens to uint8 RGB.

What Pillow's own `convert("RGB")` gets wrong is done here: 16 and 32 bits are scaled rather than clipped,
transparency is laid on white rather than dropped, and the camera's orientation is applied.
"""

import io
import warnings
from collections.abc import Iterator

import numpy as np
import torch
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

# Formats that Pillow registers but only recognises, can't open without a plug-in or hands to an interpreter.
_NOT_DECODED = {"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"}
_UPRIGHT = 1
_PIXELS_AT_ONCE = 2**20

# Pillow refuses at twice its limit and only warns up to there; here the limit is one.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


def image_endings() -> frozenset[str]:
    """File endings that Pillow can decode here, lower case with the dot."""
    known = Image.registered_extensions()
    return frozenset(e for e, name in known.items() if name in Image.OPEN and name not in _NOT_DECODED)


def decode(data: bytes) -> torch.Tensor:
    """Decode an image; the first frame where there are several.

    Returns:
        uint8 (3, H, W), RGB; channels lie last in memory, as torchvision's resize likes it.

    Raises:
        ValueError: it can't be decoded; the message is a few words.
    """
    if not data:
        raise ValueError("empty file")
    try:
        image = Image.open(io.BytesIO(data))
        _check_size(image)
        pixels = np.array(_rgb(_upright(image)), dtype=np.uint8)
    except Exception as error:  # a broken file can provoke anything, struct.error for one
        raise ValueError(_reason(error)) from None
    return torch.from_numpy(pixels).permute(2, 0, 1)


def _check_size(image: Image.Image) -> None:
    if image.width * image.height > (Image.MAX_IMAGE_PIXELS or float("inf")):
        raise Image.DecompressionBombError


def _upright(image: Image.Image) -> Image.Image:
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, _UPRIGHT)
    except Exception:  # a broken EXIF block says nothing about the pixels
        return image
    return image if orientation == _UPRIGHT else ImageOps.exif_transpose(image)


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
