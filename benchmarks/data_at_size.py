"""Does opening a set of images cost more time or memory as it grows? `python benchmarks/data_at_size.py [RECORDS ...]`.

Writes shards of 1,280 tiny PNGs into a temporary folder, then measures in fresh processes: opening them for the first
time (the index is built), opening them again (it is cached), the fingerprint, and the memory of the main process before
and after 2,000 batches of 32 with two loader threads. Nothing is kept.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

A_SHARD = 1280
RECORDS = (10_240, 102_400, 1_280_000)
BATCHES = 2_000


def write_shards(folder: Path, records: int) -> str:
    """Tar shards block by block; only names differ."""
    import io
    import tarfile

    from PIL import Image

    file = io.BytesIO()
    Image.new("RGB", (8, 8), (200, 90, 30)).save(file, "PNG")
    image = file.getvalue()
    padded = image + bytes(-len(image) % 512)
    shards = records // A_SHARD
    for shard in range(shards):
        with (folder / f"s-{shard:06}.tar").open("wb") as out:
            for number in range(A_SHARD):
                member = tarfile.TarInfo(f"{shard:06}_{number:06}.png")
                member.size = len(image)
                out.write(member.tobuf(tarfile.USTAR_FORMAT) + padded)
            out.write(bytes(1024))
    return f"{folder}/s-{{000000..{shards - 1:06}}}.tar"


def measure(spec: str, batches: int) -> dict[str, float]:
    """In this process: seconds to open and to fingerprint, MiB before and after so many batches."""
    from ladder_hub.data.loader import TwoViews
    from ladder_hub.data.photometric import Policy
    from ladder_hub.data.sources import open_source

    empty = resident()
    begun = time.perf_counter()
    source = open_source(spec, split="train")
    opened = time.perf_counter()
    source.fingerprint()
    done = time.perf_counter()
    found = {"open": opened - begun, "fingerprint": done - opened, "opened": resident() - empty}
    if batches:
        off = Policy(
            jitter=0, brightness=0, contrast=0, saturation=0, hue=0, grey=0, blur=0, blur_sigma=(0.1, 2), solarize=0
        )
        views = TwoViews(
            source, size=32, crop_scale=(0.5, 1.0), crop_ratio=(1.0, 1.0), flip=0.0, policies=(off, off), seed=0,
            batch_size=32, workers=2,
        )  # fmt: skip
        peaks, epoch = [], 0
        while len(peaks) < batches:
            for _ in views.batches(epoch, samples=len(source) // 32 * 32):
                peaks.append(resident())
                if len(peaks) == batches:
                    break
            epoch += 1
        found |= {"first": peaks[9] - empty, "last": peaks[-1] - empty}
    return found


def resident() -> float:
    """MiB of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def fresh(spec: str, cache: Path, batches: int) -> dict[str, float]:
    """`measure` in a process of its own."""
    answer = subprocess.run(
        [sys.executable, __file__, "--measure", spec, str(batches)],
        env={**os.environ, "LADDER_HUB_CACHE": str(cache)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return json.loads(answer.stdout.splitlines()[-1])


def main() -> None:
    """The whole table, or one measurement for it."""
    if sys.argv[1:2] == ["--measure"]:
        sys.stdout.write(json.dumps(measure(sys.argv[2], int(sys.argv[3]))) + "\n")
        sys.stdout.flush()
        os._exit(0)
    sizes = [int(word) for word in sys.argv[1:]] or RECORDS
    head = (
        "records",
        "shards",
        "index s",
        "cached s",
        "digest s",
        "opened MiB",
        "batch 10 MiB",
        f"batch {BATCHES} MiB",
    )
    print("  ".join(f"{name:>14}" for name in head))
    for records in sizes:
        with tempfile.TemporaryDirectory() as folder:
            spec = write_shards(Path(folder), records)
            cold = fresh(spec, Path(folder) / "cache", 0)
            warm = fresh(spec, Path(folder) / "cache", BATCHES)
        figures = (cold["open"], warm["open"], warm["fingerprint"], warm["opened"], warm["first"], warm["last"])
        row = [f"{records:,}", f"{records // A_SHARD:,}", *(f"{value:.2f}" for value in figures)]
        print("  ".join(f"{cell:>14}" for cell in row), flush=True)


if __name__ == "__main__":
    main()
