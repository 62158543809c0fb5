"""Bytes of any format that Pillow opens to uint8 RGB; plain JPEGs by a quicker decoder."""

import torch
from PIL import Image

from ladder_hub.data.jpeg import Jpeg, is_plain_jpeg
from ladder_hub.data.picture import Picture, Pixels
from ladder_hub.data.pillow_image import decode_by_pillow

# Formats that Pillow registers but only recognises, can't open without a plug-in or hands to an interpreter.
_NOT_DECODED = {"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"}


def image_endings() -> frozenset[str]:
    """File endings that Pillow can decode here, lower case with the dot."""
    known = Image.registered_extensions()
    return frozenset(e for e, name in known.items() if name in Image.OPEN and name not in _NOT_DECODED)


class Encoded:
    """A `Picture` of encoded bytes; the first frame where there are several.

    Of a plain JPEG only the header is read at first; any other image is decoded at once, as few others say their size
    without.

    Args:
        data: A whole image file.

    Attributes:
        height: Upright, in pixels.
        width: Likewise.

    Raises:
        ValueError: it can't be decoded; the message is a few words.
    """

    def __init__(self, data: bytes) -> None:
        if not data:
            raise ValueError("empty file")
        self._picture: Picture = Jpeg(data) if is_plain_jpeg(data) else Pixels(decode_by_pillow(data))
        self.height, self.width = self._picture.height, self._picture.width

    def read(self, reduction: int = 1) -> torch.Tensor:
        """See `Picture`; channels lie last in memory, as the resize likes it. Raises ValueError."""
        return self._picture.read(reduction)


def decode(data: bytes) -> torch.Tensor:
    """Decode an image; the first frame where there are several.

    Returns:
        uint8 (3, H, W), RGB; channels lie last in memory, as torchvision's resize likes it.

    Raises:
        ValueError: it can't be decoded; the message is a few words.
    """
    return Encoded(data).read()
