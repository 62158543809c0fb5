"""What does it cost to know which images of val are in train? `python benchmarks/overlap.py --images 100000`.

Folders of small JPEGs as Tiny-ImageNet's, where nearly every size occurs in both sets: the worst case. Beside it what a
pass over the same images costs, read and decoded. Processor time on one thread.
"""

import argparse
import io
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from report import keep, table

from ladder_hub.data.overlap import repeated_images, shared_images
from ladder_hub.data.sources import open_source


def write(root: Path, count: int, seed: int, side: int) -> Path:
    """Images of noise, a hundred a folder; no two files are equal."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        noise = rng.integers(0, 255, (16, 16, 3), dtype=np.uint8)
        file = io.BytesIO()
        Image.fromarray(noise).resize((side, side)).save(file, "JPEG", quality=int(rng.integers(70, 95)))
        folder = root / f"{number // 100:05}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number:07}.jpg").write_bytes(file.getvalue())
    return root


def seconds(call: Callable[[], object], rounds: int) -> float:
    """The median of the processor time."""
    took = []
    for _ in range(rounds):
        begun = time.process_time()
        call()
        took.append(time.process_time() - begun)
    return statistics.median(took)


def main() -> None:
    """The table and the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--name", default="overlap", help="of the JSON in results/")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        parts = {"train": args.images, "val": args.images // 20}
        roots = {split: write(Path(folder) / split, count, len(split), args.side) for split, count in parts.items()}
        train, val = (open_source(str(root), split="val") for root in roots.values())
        some = range(min(5000, len(train)))
        calls: dict[str, tuple[Callable[[], object], int]] = {
            "images of val in train": (lambda: shared_images(train, val), len(train)),
            "equal images in train": (lambda: repeated_images(train), len(train)),
            "read": (lambda: [train.content(index) for index in range(len(train))], len(train)),
            "read and decode": (lambda: [train.image(index) for index in some], len(some)),
        }
        found = {name: seconds(call, args.rounds) / count for name, (call, count) in calls.items()}
    rows = [(name, f"{1e6 * value:.1f}") for name, value in found.items()]
    print(table(("one core", "us/image"), rows))
    print(f"-> {keep(args.name, {'arguments': vars(args), 'seconds_an_image': found})}")


if __name__ == "__main__":
    main()
