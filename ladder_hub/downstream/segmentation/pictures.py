"""Pictures for people: the image, the truth and the prediction side by side, with the names of the classes in it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ladder_hub.data.pairs_mask import IGNORED

_SIDE = 320
_HEAD, _GAP, _LINE, _SWATCH = 22, 8, 18, 12
_IMAGE_SHOWS = 0.35
_IGNORED_COLOUR = (255, 255, 255)


def palette(classes: int) -> np.ndarray:
    """A colour for each class, uint8 (K, 3); black for 0, and neighbours far apart, as in VOC's own masks.

    Bit 3 i + c of the class is bit 7 - i of channel c.
    """
    numbers = np.arange(classes)
    colours = np.zeros((classes, 3), dtype=np.uint8)
    for bit in range(3):
        for channel in range(3):
            colours[:, channel] |= ((numbers >> (3 * bit + channel) & 1) << (7 - bit)).astype(np.uint8)
    return colours


def draw(path: Path, image: Tensor, truth: Tensor, predicted: Tensor, names: Sequence[str]) -> None:
    """Write a PNG.

    Args:
        path: The file.
        image: uint8 (3, H, W).
        truth: Integers (H, W); 255 is white.
        predicted: Integers (H, W).
        names: Of the classes.
    """
    pixels = image.permute(1, 2, 0).numpy()
    masks = [mask.numpy() for mask in (truth, predicted)]
    panels = [pixels, *(coloured(pixels, mask, len(names)) for mask in masks)]
    scale = _SIDE / max(pixels.shape[:2])
    width, height = (max(1, round(side * scale)) for side in (pixels.shape[1], pixels.shape[0]))
    shown = sorted({int(label) for mask in masks for label in np.unique(mask)} - {IGNORED})
    sheet_width = 3 * width + 2 * _GAP
    legend = _legend([(names[label], tuple(palette(len(names))[label])) for label in shown], sheet_width)
    sheet = Image.new("RGB", (sheet_width, _HEAD + height + legend.height), "white")
    canvas, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    for number, (panel, title) in enumerate(zip(panels, ("image", "truth", "predicted"), strict=True)):
        left = number * (width + _GAP)
        sheet.paste(Image.fromarray(panel).resize((width, height), Image.Resampling.BILINEAR), (left, _HEAD))
        canvas.text((left + 4, 3), title, fill="black", font=font)
    sheet.paste(legend, (0, _HEAD + height))
    sheet.save(path)


def coloured(pixels: np.ndarray, mask: np.ndarray, classes: int) -> np.ndarray:
    """The colour of each class, with a little of the image below: uint8 (H, W, 3), of an image and its mask (H, W)."""
    colours = np.full((IGNORED + 1, 3), _IGNORED_COLOUR, dtype=np.float32)
    colours[:classes] = palette(classes)
    mixed = (1 - _IMAGE_SHOWS) * colours[mask] + _IMAGE_SHOWS * pixels
    mixed[mask == IGNORED] = _IGNORED_COLOUR
    return mixed.round().astype(np.uint8)


def _legend(entries: Sequence[tuple[str, tuple[int, ...]]], width: int) -> Image.Image:
    """Names with their colours, as many lines as they need."""
    font, places = ImageFont.load_default(12), []
    left, top = 4, 4
    for name, colour in entries:
        needed = _SWATCH + 6 + round(font.getlength(name)) + 14
        if left > 4 and left + needed > width:
            left, top = 4, top + _LINE
        places.append((left, top, name, colour))
        left += needed
    picture = Image.new("RGB", (width, top + _LINE + 2), "white")
    canvas = ImageDraw.Draw(picture)
    for left, top, name, colour in places:
        canvas.rectangle([left, top, left + _SWATCH, top + _SWATCH], fill=colour, outline="black")
        canvas.text((left + _SWATCH + 6, top - 1), name, fill="black", font=font)
    return picture
