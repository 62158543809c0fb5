"""Is the input pipeline faster than what users would pick? `python benchmarks/pipeline.py [data=FOLDER] [rounds=9]`.

FOLDER holds tar shards of photos (JPEG); by default it is $LADDER_HUB_TEST_DATA/imagenet-photos. One after the other,
round by round, the contenders take the same 32 photos; a ratio is that of one round, the table holds the medians. Time
is that of the processor, on one thread: what else runs on the machine counts little. The loader alone is measured by
the clock, and needs two idle cores. Prints tables and writes benchmarks/results/pipeline.json.
"""

import io
import os
import statistics
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import torch
from PIL import Image
from report import keep, table
from torchvision.transforms.v2 import functional as F

from ladder_hub.data.blur import kernel_size
from ladder_hub.data.crops import crop
from ladder_hub.data.decode import Encoded, decode
from ladder_hub.data.loader import TwoViews
from ladder_hub.data.photometric import PHOTOMETRIC_NUMBERS, Policy, augment, draw, normalise
from ladder_hub.data.sources import open_source
from ladder_hub.data.views import Batch, ViewCutter

SIDE, PART, LARGE = 224, 32, 2048
POLICIES = tuple(
    Policy(
        jitter=0.8, brightness=0.4, contrast=0.4, saturation=0.2, hue=0.1, grey=0.2, blur=blur, blur_sigma=(0.1, 2.0),
        solarize=solarize,
    )
    for blur, solarize in ((1.0, 0.0), (0.1, 0.2))
)  # fmt: skip
VIEWS = {"crop_scale": (0.08, 1.0), "crop_ratio": (3 / 4, 4 / 3), "flip": 0.5, "policies": POLICIES, "seed": 0}
CUTTER = ViewCutter(size=SIDE, **VIEWS)
Contender = Callable[[list[bytes]], object]


def cpu_part(photos: list[bytes]) -> Batch:
    """What a loader thread does: decode once, two crops, a batch."""
    chance = CUTTER.chance(0, range(len(photos)))
    cuts = ((CUTTER.cut(chance[place], Encoded(photo)), place) for place, photo in enumerate(photos))
    return CUTTER.batch(chance, cuts, bad=[])


def whole(photos: list[bytes]) -> None:
    """And what is left for the device, on the CPU."""
    batch = cpu_part(photos)
    for views, params in zip(batch.views, batch.photometric, strict=True):
        normalise(augment(views, params))


def exact(photos: list[bytes]) -> None:
    """The CPU part with every pixel decoded."""
    chance = CUTTER.chance(0, range(len(photos))).tolist()
    for numbers, photo in zip(chance, photos, strict=True):
        pixels = decode(photo)
        for view in range(2):
            box, flip = CUTTER._place(numbers[view], *pixels.shape[-2:])
            crop(pixels, box, SIDE, flip)


def plain_torchvision() -> Contender:
    """Decoder and crop of torchvision, the crop twice."""
    import torchvision.transforms.v2 as T
    from torchvision.io import ImageReadMode, decode_jpeg

    view = T.Compose(
        [
            T.RandomResizedCrop(SIDE, scale=VIEWS["crop_scale"], interpolation=T.InterpolationMode.BICUBIC),
            T.RandomHorizontalFlip(),
        ]
    )

    def run(photos: list[bytes]) -> None:
        for photo in photos:
            pixels = decode_jpeg(torch.frombuffer(bytearray(photo), dtype=torch.uint8), mode=ImageReadMode.RGB)
            view(pixels), view(pixels)

    return run


def lightly() -> Contender | None:
    """Its BYOL transform with its defaults, on what Pillow decodes."""
    try:
        from lightly.transforms.byol_transform import BYOLTransform, BYOLView1Transform, BYOLView2Transform
    except ImportError:
        print("lightly is not installed (pip install 'ladder-hub[bench]'): left out")
        return None
    transform = BYOLTransform(BYOLView1Transform(input_size=SIDE), BYOLView2Transform(input_size=SIDE))

    def run(photos: list[bytes]) -> None:
        for photo in photos:
            transform(Image.open(io.BytesIO(photo)).convert("RGB"))

    return run


def alternate(contenders: dict[str, Contender], photos: list[bytes], rounds: int) -> dict[str, list[float]]:
    """Milliseconds an image of each contender in each round; a round before them warms up."""
    parts = [photos[start : start + PART] for start in range(0, len(photos) - PART + 1, PART)] or [photos]
    found: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(-1, rounds):
        part = parts[number % len(parts)]
        for name, run in contenders.items():
            begun = time.process_time()
            run(part)
            found[name].append((time.process_time() - begun) / len(part) * 1e3)
        print(f"\rround {number + 1} of {rounds} ", end="", file=sys.stderr, flush=True)
    print("\r" + " " * 20 + "\r", end="", file=sys.stderr, flush=True)
    return {name: values[1:] for name, values in found.items()}


def torchvision_bytes(image: torch.Tensor, row: list[float]) -> torch.Tensor:
    """The photometric operations of torchvision for uint8 images, by a row of `photometric.draw`."""
    jitters = (F.adjust_brightness, F.adjust_contrast, F.adjust_saturation, F.adjust_hue)
    for number in map(int, row[5:9]) if row[0] else ():
        image = jitters[number](image, row[1 + number])
    if row[9]:
        image = F.rgb_to_grayscale(image, num_output_channels=3)
    if row[10]:
        image = F.gaussian_blur(image, [kernel_size(image.shape[-1])] * 2, [row[10]] * 2)
    return F.solarize(image, 128) if row[11] else image


def photometric_part(photos: list[bytes], side: int, rounds: int) -> tuple[list[dict[str, object]], float]:
    """Both views of the same crops, by torchvision and by us; and how far apart they are, of 255, on average."""
    cutter = ViewCutter(size=side, **VIEWS)
    chance = cutter.chance(0, range(len(photos)))
    cuts = ((cutter.cut(numbers, Encoded(photo)), 0) for numbers, photo in zip(chance, photos, strict=True))
    batch = cutter.batch(chance, cuts, bad=[])
    drawn = list(zip(batch.views, batch.photometric, strict=True))

    def theirs(_: object) -> list[torch.Tensor]:
        return [torch.stack(list(map(torchvision_bytes, views, rows.tolist()))) for views, rows in drawn]

    def ours(_: object) -> list[torch.Tensor]:
        return [augment(views, rows) for views, rows in drawn]

    apart = [(a.float() - b.float()).abs().mean().item() for a, b in zip(theirs(None), ours(None), strict=True)]
    times = alternate(
        {f"torchvision, uint8, {side} pixels": theirs, f"ladder-hub, {side} pixels": ours}, photos, rounds
    )
    base = next(iter(times))
    return [row(name, found, times[base]) for name, found in times.items()], statistics.mean(apart)


def draws(photos: list[bytes], rounds: int) -> dict[str, object]:
    """What is drawn for both views of an image: it holds the interpreter's lock."""

    def run(part: list[bytes]) -> None:
        chance = CUTTER.chance(0, range(len(part)))
        for numbers in chance:
            for view in numbers.tolist():
                CUTTER._place(view, 375, 500)
        for view, policy in enumerate(POLICIES):
            draw(policy, chance[:, view, -PHOTOMETRIC_NUMBERS:])

    return row("draws", alternate({"draws": run}, photos, rounds)["draws"], None)


def enlarged(photo: bytes) -> bytes:
    """As a camera would store it: the longer side 2,048 pixels."""
    image = Image.open(io.BytesIO(photo)).convert("RGB")
    scale = LARGE / max(image.size)
    file = io.BytesIO()
    size = (round(image.width * scale), round(image.height * scale))
    image.resize(size, Image.Resampling.LANCZOS).save(file, "JPEG", quality=90)
    return file.getvalue()


def loaders(shard: Path, rounds: int) -> dict[str, list[float]]:
    """Milliseconds an image by the clock, in this process and with two workers."""
    source = open_source(str(shard), split="train")
    samples = len(source) // 32 * 32
    found: dict[str, list[float]] = {"this process": [], "2 workers": []}
    views = {
        name: TwoViews(source, size=SIDE, **VIEWS, batch_size=32, workers=workers)
        for name, workers in zip(found, (0, 2), strict=True)
    }
    for epoch in range(-1, rounds):
        for name, loader in views.items():
            begun = time.perf_counter()
            for batch in loader.batches(epoch + 1, samples=samples):
                assert len(batch.indices) == 32
            found[name].append((time.perf_counter() - begun) / samples * 1e3)
    return {name: values[1:] for name, values in found.items()}


def row(name: str, times: list[float], base: list[float] | None) -> dict[str, object]:
    """One line of the table: medians of time, and of the base's time over it, round by round."""
    figures: dict[str, object] = {"what": name, "ms": statistics.median(times), "per_s": 1e3 / statistics.median(times)}
    if base:
        ratios = sorted(b / t for b, t in zip(base, times, strict=True))
        figures |= {"ratio": statistics.median(ratios), "lowest": ratios[0], "highest": ratios[-1]}
    return figures


def show(title: str, base: str, rows: list[dict[str, object]]) -> None:
    """An aligned table; ratios are how many times faster than the base."""
    head = (title, "ms/image", "images/s", f"times {base}", "lowest..highest")
    lines = []
    for line in rows:
        keys = ("ratio", "lowest", "highest")
        ratio, lowest, highest = (f"{line[key]:.2f}" if key in line else "" for key in keys)
        lines.append((line["what"], f"{line['ms']:.2f}", f"{line['per_s']:.0f}", ratio, f"{lowest}..{highest}"))
    print(f"\n{table(head, lines)}")


def main() -> None:
    """All tables."""
    options = dict(word.split("=", 1) for word in sys.argv[1:])
    rounds = int(options.get("rounds", 9))
    default = f"{os.environ.get('LADDER_HUB_TEST_DATA', '.')}/imagenet-photos"
    shards = sorted(Path(options.get("data", default)).glob("*.tar"))
    if not shards:
        sys.exit("no photos: give data=FOLDER, a folder of tar shards, or set LADDER_HUB_TEST_DATA")
    with tarfile.open(shards[0]) as tar:
        photos = [tar.extractfile(m).read() for m in tar if m.name.lower().endswith((".jpg", ".jpeg"))]
    torch.set_num_threads(1)
    results: dict[str, object] = {"photos": len(photos), "rounds": rounds}

    peer = lightly()
    contenders: dict[str, Contender] = {"lightly BYOLTransform, Pillow": peer} if peer else {}
    contenders |= {
        "torchvision: decode, two crops": plain_torchvision(),
        "ladder-hub: decode alone": lambda part: [decode(photo) for photo in part],
        "ladder-hub: CPU part (decode, two crops)": cpu_part,
        "ladder-hub: augmentation on the CPU too": whole,
    }
    times = alternate(contenders, photos, rounds)
    base = next(iter(times))
    results["pipeline"] = [row(name, found, times[base]) for name, found in times.items()]
    show("One core, 224 pixels, two views of each photo", base, results["pipeline"])

    results["draws"] = [draws(photos, rounds)]
    show("Draws of both views", "", results["draws"])
    for side in (64, SIDE):
        rows, apart = photometric_part(photos[:PART], side, rounds)
        results[f"photometric {side}"], results[f"apart {side}"] = rows, apart
        show(f"Photometric part, both views, {apart:.2f} of 255 apart on average", rows[0]["what"], rows)

    large = [enlarged(photo) for photo in photos[:PART]]
    times = alternate({"every pixel decoded": exact, "ladder-hub: CPU part": cpu_part}, large, rounds)
    base = next(iter(times))
    results["large"] = [row(name, found, times[base]) for name, found in times.items()]
    show(f"One core, photos enlarged to {LARGE} pixels", base, results["large"])

    if os.getloadavg()[0] > (os.cpu_count() or 1):
        print("\nthe machine is busy: the loader, measured by the clock, is left out")
    else:
        times = loaders(shards[0], rounds)
        base = next(iter(times))
        results["loader"] = [row(name, found, times[base]) for name, found in times.items()]
        show(f"Loader, by the clock (load of the machine {os.getloadavg()[0]:.1f})", base, results["loader"])

    print(f"-> {keep('pipeline', results)}")


if __name__ == "__main__":
    main()
