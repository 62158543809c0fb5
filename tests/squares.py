"""Pairs for tests: a bright square (class 1) and a dark disc (class 2) on grey noise, 255 around each."""

import io
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

NAMES = ["background", "square", "disc"]


def pair(seed: int, width: int = 48, height: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """uint8 image (H, W, 3) and mask (H, W)."""
    rng = np.random.default_rng(seed)
    mask = np.zeros((height, width), dtype=np.uint8)
    rows, columns = np.mgrid[:height, :width]
    for label, inside in ((1, np.maximum), (2, np.hypot)):
        top, left = rng.integers(8, height - 8), rng.integers(8, width - 8)
        distance = inside(abs(rows - top), abs(columns - left))
        mask[distance < 8] = 255
        mask[distance < 7] = label
    shade = np.array([120.0] * 256)
    shade[1], shade[2] = 230, 20
    image = (shade[mask] + rng.normal(0, 12, mask.shape))[..., None].repeat(3, axis=2)
    return image.clip(0, 255).astype(np.uint8), mask


def png(array: np.ndarray, *, palette: bool = False) -> bytes:
    picture = Image.fromarray(array)
    if palette:
        picture.putpalette(bytes(np.random.default_rng(0).integers(0, 256, 768, dtype=np.uint8)))
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def jpeg(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(array).save(file, "JPEG", quality=95)
    return file.getvalue()


def members(count: int, *, first: int = 0, palette: bool = False) -> list[tuple[str, bytes]]:
    found = []
    for seed in range(first, first + count):
        image, mask = pair(seed, width=48 + 4 * (seed % 3))
        found += [(f"s{seed:03}.jpg", jpeg(image)), (f"s{seed:03}.png", png(mask, palette=palette))]
    return found


def write_shard(path: Path, files: list[tuple[str, bytes]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, data in files:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def write_folder(root: Path, count: int, *, first: int = 0) -> Path:
    """`images`, `masks` and `classes.txt`."""
    for name, data in members(count, first=first):
        file = root / ("images" if name.endswith("jpg") else "masks") / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    (root / "classes.txt").write_text("\n".join(NAMES))
    return root
