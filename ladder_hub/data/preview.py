"""A picture of what the network sees: originals and their two views, before normalisation."""

import contextlib
import os
import re
from pathlib import Path

import torch
import torchvision.transforms.v2.functional as F
from PIL import Image, ImageDraw, ImageFont

from ladder_hub.data.image_source import DataError, Source, expanded
from ladder_hub.data.loader import TwoViews
from ladder_hub.data.photometric import Policy, augment

_ROWS = ("original", "view 1", "view 2")
_COLUMNS, _BLOCKS = 8, 3
PREVIEWED = _COLUMNS * _BLOCKS
"""Images on a sheet."""
_TILE = 128
_GAP = 6
_MARGIN = 84
_HEAD = 20


def contact_sheet(
    source: Source,
    *,
    path: Path,
    size: int,
    crop_scale: tuple[float, float],
    crop_ratio: tuple[float, float],
    flip: float,
    policies: tuple[Policy, Policy],
    seed: int,
    columns: int = _COLUMNS,
) -> int:
    """Write a PNG of the first images of a run's first epoch, each with the two views that training will see.

    Args:
        source: Where the images come from.
        path: The file to write, `~` allowed; replaced whole or not at all. Folders above it are made.
        size: As in `TwoViews`, and so are the next five.
        crop_scale: Share of the area.
        crop_ratio: Width / height.
        flip: Probability.
        policies: Of view 1 and view 2.
        seed: Of the run.
        columns: Images side by side, in three blocks of three rows.

    Returns:
        How many images it shows.

    Raises:
        DataError: the file can't be written.
        RunError: sixteen images tried for one place can't be decoded.
    """
    path = expanded(path)
    if os.path.isdir(path):  # noqa: PTH112 - Path's raises for a name too long
        raise DataError(f"views.preview={path} is a folder; give the file to write: {path / 'views.png'}")
    columns = min(columns, len(source))
    count = min(columns * _BLOCKS, len(source))
    views = TwoViews(
        source,
        size=size,
        crop_scale=crop_scale,
        crop_ratio=crop_ratio,
        flip=flip,
        policies=policies,
        seed=seed,
        batch_size=count,
        workers=0,
    )
    batch = next(views.batches(0, samples=count))
    seen = [augment(view, params) for view, params in zip(batch.views, batch.photometric, strict=True)]
    tile = size * max(1, _TILE // size)
    sheet, pen = _blank(count, columns, tile)
    for number, index in enumerate(batch.indices.tolist()):
        x, y = _corner(number, columns, tile)
        pen.text((x, y - _HEAD + 3), _shortened(source.key(index), tile // 7), fill="black", font=_font())
        for row, tensor in enumerate((source.image(index), seen[0][number], seen[1][number])):
            sheet.paste(_tile(tensor, tile), (x, y + row * (tile + _GAP)))
    _write(sheet, path)
    return count


def _blank(count: int, columns: int, tile: int) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    blocks = -(-count // columns)
    width, height = (
        _corner(columns - 1, columns, tile)[0] + tile + _GAP,
        _corner(blocks * columns, columns, tile)[1],
    )
    sheet = Image.new("RGB", (width, height - _HEAD), "white")
    pen = ImageDraw.Draw(sheet)
    for block in range(blocks):
        y = _corner(block * columns, columns, tile)[1]
        for row, name in enumerate(_ROWS):
            pen.text((_GAP, y + row * (tile + _GAP) + tile // 2 - 7), name, fill="black", font=_font())
    return sheet, pen


def _corner(number: int, columns: int, tile: int) -> tuple[int, int]:
    block, column = divmod(number, columns)
    block_height = len(_ROWS) * (tile + _GAP) + _HEAD + _GAP
    return _MARGIN + column * (tile + _GAP), _HEAD + _GAP + block * block_height


def _tile(image: torch.Tensor, tile: int) -> Image.Image:
    """Shown whole, centred on light grey; small views are enlarged pixel by pixel."""
    picture = F.to_pil_image(image)
    scale = min(tile / picture.width, tile / picture.height)
    shape = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    picture = picture.resize(shape, Image.Resampling.NEAREST if scale >= 1 else Image.Resampling.LANCZOS)
    out = Image.new("RGB", (tile, tile), (225, 225, 225))
    out.paste(picture, ((tile - shape[0]) // 2, (tile - shape[1]) // 2))
    return out


def _font() -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    return ImageFont.load_default(12)


def _shortened(key: str, letters: int) -> str:
    """The end of a key says most."""
    while len(key) > letters and re.search("[/:]", key):
        key = re.split("[/:]", key, maxsplit=1)[1]
    return key if len(key) <= letters else "..." + key[3 - letters :]


def _write(sheet: Image.Image, path: Path) -> None:
    # Not from tempfile: its files can be read by their owner only, whatever the umask.
    part = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        sheet.save(part, format="PNG")
        part.replace(path)
    except OSError as error:
        raise DataError(f"can't write views.preview={path}: {error.strerror or error}") from None
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
