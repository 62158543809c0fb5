"""Small pictures, shards and policies that tests of the data room share."""

import io
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

from ladder_hub.data.photometric import Policy


def jpeg(seed: int, width: int = 40, height: int = 32, kind: str = "JPEG") -> bytes:
    """A smooth random picture."""
    small = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC).save(file, kind)
    return file.getvalue()


def write_tar(path: Path, members: list[tuple[str, bytes]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def policy(**changes: object) -> Policy:
    keys: dict = {
        "jitter": 0.8,
        "brightness": 0.4,
        "contrast": 0.4,
        "saturation": 0.2,
        "hue": 0.1,
        "grey": 0.2,
        "blur": 0.5,
        "blur_sigma": (0.1, 2.0),
        "solarize": 0.2,
    }
    return Policy(**(keys | changes))
