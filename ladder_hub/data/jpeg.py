"""The door to simplejpeg: plain JPEGs, quickly, and at a smaller size if asked.

It is the same libjpeg-turbo as Pillow's and gives the same pixels without Pillow's copies. It refuses whatever libjpeg
so much as warns of: that is left to Pillow, which knows what can be saved, and whose words the user sees.
"""

import simplejpeg
import torch

from ladder_hub.data.pillow_image import (
    UPRIGHT,
    decode_by_pillow,
    lies_on_its_side,
    stored_orientation,
    too_large,
    upright,
)

_FIRST_BYTES = b"\xff\xd8\xff"
_PLAIN = {"YCbCr", "RGB", "Gray"}
_APP1, _SCAN = b"\xff\xe1", b"\xff\xda"


class Jpeg:
    """A `Picture` of a JPEG; its header is read, its pixels are not.

    Args:
        data: A whole file that `is_plain_jpeg` accepts.

    Attributes:
        height: Upright, in pixels.
        width: Likewise.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._stored = simplejpeg.decode_jpeg_header(data)[:2]
        self._orientation = stored_orientation(data) if _may_be_oriented(data) else UPRIGHT
        self.height, self.width = self._stored[::-1] if lies_on_its_side(self._orientation) else self._stored

    def read(self, reduction: int = 1) -> torch.Tensor:
        """See `Picture`; the smaller size comes of the lower frequencies of each block of 8 x 8 pixels alone.

        Channels lie last in memory, as the resize likes it.
        """
        height, width = (-(-side // reduction) for side in self._stored)
        try:
            pixels = simplejpeg.decode_jpeg(self._data, min_height=height, min_width=width)
        except ValueError:
            return decode_by_pillow(self._data)
        return upright(torch.from_numpy(pixels).permute(2, 0, 1), self._orientation)


def is_plain_jpeg(data: bytes) -> bool:
    """Whether this is a JPEG that needs none of Pillow's care (CMYK does), and not too large to be decoded."""
    if not data.startswith(_FIRST_BYTES):
        return False
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
    except ValueError:
        return False
    return colours in _PLAIN and not too_large(height, width)


def _may_be_oriented(data: bytes) -> bool:
    """Whether there is a segment APP1, where EXIF and XMP lie; Pillow takes 50 microseconds to look into it."""
    at = 2
    while (marker := data[at : at + 2]) not in (_APP1, _SCAN) and marker.startswith(b"\xff"):
        at += 2 + int.from_bytes(data[at + 2 : at + 4])
    return marker != _SCAN
