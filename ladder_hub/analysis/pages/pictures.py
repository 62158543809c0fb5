"""Pixels inside a page: photographs as JPEG, maps of a few cells as they are."""

import base64
from io import BytesIO
from xml.etree.ElementTree import Element

import numpy as np
from PIL import Image

from ladder_hub.analysis.pages.markup import tag

_THUMB = 112


def photograph(pixels: np.ndarray | Image.Image, alt: str, *, most: int = _THUMB, **attributes: str) -> Element:
    """A photograph, no larger than it needs to be.

    Args:
        pixels: uint8 (H, W, 3), or a picture.
        alt: What it shows.
        most: Pixels of the longer side.
        attributes: Of the element.
    """
    picture = (pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)).convert("RGB")
    if max(picture.size) > most:
        picture.thumbnail((most, most))
    file = BytesIO()
    picture.save(file, "JPEG", quality=80)
    return _embedded(file.getvalue(), "jpeg", alt, **attributes)


def cells(pixels: np.ndarray, alt: str) -> Element:
    """A map, uint8 (H, W, 3): each pixel stays a square of one colour, however large it is shown."""
    file = BytesIO()
    Image.fromarray(pixels).save(file, "PNG", optimize=True)
    return _embedded(file.getvalue(), "png", alt, class_="map")


def _embedded(data: bytes, kind: str, alt: str, **attributes: str) -> Element:
    return tag("img", src=f"data:image/{kind};base64,{base64.b64encode(data).decode()}", alt=alt, **attributes)
