"""What judging costs beside computing: `python benchmarks/evaluation.py [NETWORK] [SIDE]`; nothing is kept.

Images a second of a bare forward pass (all four stages, one batch again and again) and of the whole evaluation loop
(JPEGs read, decoded, cropped, normalised, passed, pooled), by turns; exact kNN of 5,000 queries among 50,000 images;
one step of the linear classifiers, all in one product and one by one.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

from ladder_hub.backbone import STAGE_NAMES, build_backbone, pyramid, stage_channels
from ladder_hub.data.sources import open_source
from ladder_hub.downstream.features import Extractor, pooled
from ladder_hub.downstream.knn import neighbours
from ladder_hub.downstream.linear.probe import Probe

IMAGES, BATCH, TURNS = 512, 64, 3
BANK, QUERIES = 50_000, 5_000


def seconds(action: Callable[[], object]) -> float:
    """Wall time of a call."""
    begun = time.perf_counter()
    action()
    return time.perf_counter() - begun


def write_images(folder: Path, side: int) -> None:
    """JPEGs a third larger than the input, as smooth as photographs."""
    rng = np.random.default_rng(0)
    large = round(side * 4 / 3)
    for number in range(IMAGES):
        coarse = Image.fromarray(rng.integers(0, 256, (12, 12, 3), dtype=np.uint8))
        coarse.resize((large, large), Image.Resampling.BICUBIC).save(folder / f"{number:05}.jpg", quality=90)


def loop_against_forward(name: str, side: int) -> None:
    """The loop reads all that the forward pass finds ready."""
    backbone = build_backbone(name).eval().to(memory_format=torch.channels_last)
    batch = torch.randn(BATCH, 3, side, side).contiguous(memory_format=torch.channels_last)

    @torch.inference_mode()
    def forward() -> None:
        for _ in range(IMAGES // BATCH):
            maps = pyramid(backbone, batch)
            for stage, feature_map in maps.items():
                pooled(feature_map, stage, "gap")

    with tempfile.TemporaryDirectory() as folder:
        write_images(Path(folder), side)
        source = open_source(folder, split="val")
        extractor = Extractor(side, 0.875, torch.device("cpu"), batch_size=BATCH)
        forward()
        turns = [
            (seconds(forward), seconds(lambda: extractor.read(backbone, source, STAGE_NAMES))) for _ in range(TURNS)
        ]
    bare, loop = (IMAGES / statistics.median(column) for column in zip(*turns, strict=True))
    print(
        f"{name} at {side}: forward {bare:.0f} images/s, evaluation {loop:.0f} images/s, {loop / bare:.2f} of it",
        flush=True,
    )


def knn() -> None:
    """Of random vectors: exact search has no easy ones."""
    generator = torch.Generator().manual_seed(0)
    for width in (512, 2048):
        bank, queries = (F.normalize(torch.randn(n, width, generator=generator), dim=1) for n in (BANK, QUERIES))
        labels = torch.randint(0, 1000, (BANK,), generator=generator)

        def ask(bank: torch.Tensor = bank, labels: torch.Tensor = labels, queries: torch.Tensor = queries) -> None:
            near = neighbours(bank, labels, queries, k=200)
            for k in (20, 200):
                near.votes(classes=1000, k=k, temperature=0.07)

        took = statistics.median(seconds(ask) for _ in range(3))
        print(f"kNN, {QUERIES:,} queries among {BANK:,}, {width} channels, k = 20 and 200: {took:.1f} s", flush=True)


def probe_step(name: str) -> None:
    """Forward and backward, no optimiser."""
    shapes = {stage: (channels,) for stage, channels in stage_channels(build_backbone(name)).items()}
    probe = Probe(shapes, classes=100, rates=5, held_share=0.1)
    features = {stage: torch.randn(256, *shape) for stage, shape in shapes.items()}
    labels, held = torch.randint(0, 100, (256,)), torch.rand(256) < 0.1

    def together() -> None:
        torch.stack(list(probe(features, labels, held).values())).sum().backward()

    def one_by_one() -> None:
        for stage, classifiers in probe.classifiers.items():
            for weight, bias in zip(classifiers.weights, classifiers.biases, strict=True):
                F.cross_entropy(F.linear(features[stage], weight, bias), labels).backward()

    together()
    turns = [(seconds(together), seconds(one_by_one)) for _ in range(20)]
    one, many = (1000 * statistics.median(column) for column in zip(*turns, strict=True))
    print(f"{name}, 4 stages x 10 classifiers of 100 classes, 256 images: {one:.1f} ms together, {many:.1f} one by one")


def main() -> None:
    """All of it."""
    name, side = sys.argv[1] if len(sys.argv) > 1 else "resnet18", int(sys.argv[2]) if len(sys.argv) > 2 else 128
    print(f"{torch.get_num_threads()} threads")
    loop_against_forward(name, side)
    knn()
    probe_step(name)


if __name__ == "__main__":
    main()
