"""For gpu.sh: the kernels of the photometric part, a real run from JPEG shards, and the table of all.

`python benchmarks/gpu_run.py BACKBONE SIZE BATCH [SHARDS]`, or `--summary` for the table of what lies in results/.
"""

import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from report import RESULTS, keep, table

METHODS = ("byol", "ladder_byol", "ladder_dense")


def photometric(size: int, count: int) -> dict[str, Any]:
    """Milliseconds for both views of a batch: copied, augmented and normalised; and its kernels by time."""
    from step import some_batch
    from torch.profiler import ProfilerActivity, profile

    from ladder_hub.training.prefetch import Prefetch

    cuda = torch.cuda.is_available()
    device = torch.device("cuda" if cuda else "cpu")
    prefetch = Prefetch(device, torch.float32)
    batch = some_batch(count, size, augmented=True, pin=cuda)

    def ready() -> float:
        begun = time.perf_counter()
        list(prefetch([batch]))
        if cuda:
            torch.cuda.synchronize()
        return (time.perf_counter() - begun) * 1e3

    ready()
    times = [ready() for _ in range(5)]
    activities = [ProfilerActivity.CUDA] if cuda else [ProfilerActivity.CPU]
    with profile(activities=activities) as found:
        ready()
    key = "self_device_time_total" if cuda else "self_cpu_time_total"
    longest = sorted(found.key_averages(), key=lambda event: -getattr(event, key))[:8]
    kernels = [(event.key[:60], round(getattr(event, key) / 1e3, 3), event.count) for event in longest]
    print(f"photometric part of {count} images, both views: {statistics.median(times):.2f} ms")
    print(table(("kernel", "ms", "calls"), kernels))
    return {"ms": statistics.median(times), "kernels": kernels}


def pipeline(backbone: str, size: int, batch: int, shards: str) -> dict[str, Any]:
    """A run of ladder_byol as a user starts it, some 60 steps long; medians of its log's later lines."""
    from rich.console import Console

    from ladder_hub.data.sources import open_source
    from ladder_hub.training.run import train

    steps = 60 if torch.cuda.is_available() else 6
    data = shards or f"shapes:{batch * 4}"
    an_epoch = len(open_source(data, split="train")) // batch
    if not an_epoch:
        raise SystemExit(f"{data} has fewer images than a batch of {batch}")
    epochs = max(2, -(-steps // an_epoch))
    with tempfile.TemporaryDirectory() as folder:
        keys = [
            f"data.train={data}", f"out={folder}/run", f"model.backbone={backbone}", f"data.image_size={size}",
            f"batch_size={batch}", f"micro_batch={batch}", f"epochs={epochs}", f"log.every={max(1, steps // 6)}",
            "optim.warmup_epochs=1", f"log.checkpoint={epochs}", "knn.every=0",
        ]  # fmt: skip
        run = train("ladder_byol_200e", keys, console=Console(file=sys.stdout, quiet=True))
        assert run is not None
        lines = [json.loads(line) for line in (run.folder / "log.jsonl").read_text().splitlines()]
    told = [line for line in lines if "samples_per_second" in line][1:]
    found = {key: statistics.median(line[key] for line in told) for key in ("samples_per_second", "data_wait")}
    peak = torch.cuda.max_memory_allocated() / 1e9 if torch.cuda.is_available() else 0.0
    speed, wait = found["samples_per_second"], found["data_wait"]
    print(f"ladder_byol from {data}: {speed:.0f} samples/s, data wait {wait:.1%}, peak {peak:.1f} GB")
    return {**found, "peak_gb": peak, "data": Path(data).name, "batch": batch, "images": an_epoch * batch}


def summary() -> None:
    """One row a figure, of what is in results/gpu-*.json."""
    rows: list[tuple[str, ...]] = []
    for path in sorted(RESULTS.glob("gpu-step-*.json"), key=lambda path: (len(path.name), path.name)):
        facts = json.loads(path.read_text())
        byol = facts["found"].get("byol")
        for name, row in facts["found"].items():
            over = [f"{row[key] / byol[key]:.2f}" if byol else "-" for key in ("seconds", "peak_gb")]
            what = f"{name} x {facts['arguments']['batch']}{' compiled' if 'compiled' in path.name else ''}"
            figures = (f"{row['seconds'] * 1e3:.0f}", f"{row['samples_per_second']:.0f}", f"{row['peak_gb']:.2f}")
            rows.append((what, *figures, *over))
    print(table(("step", "ms", "samples/s", "peak GB", "time / byol", "peak / byol"), rows))
    run = RESULTS / "gpu-run.json"
    if run.exists():
        facts = json.loads(run.read_text())["found"]
        row = facts["pipeline"]
        print(
            f"real pipeline: {row['samples_per_second']:.0f} samples/s, data wait {row['data_wait']:.1%}, "
            f"peak {row['peak_gb']:.1f} GB; photometric part {facts['photometric']['ms']:.2f} ms a batch"
        )
    match = RESULTS / "gpu-correspondence.json"
    if match.exists():
        found = json.loads(match.read_text())["found"]
        first, ours = found["all at once"], found["ours"]
        time_ratio, memory = (ours[key] / first[key] for key in ("seconds", "extra_bytes"))
        print(f"correspondence: {time_ratio:.2f} of the time, {memory:.3f} of the extra memory")


def main() -> None:
    """Measure, or show."""
    if sys.argv[1] == "--summary":
        summary()
        return
    backbone, size, batch = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    shards = sys.argv[4] if len(sys.argv) > 4 else ""
    found = {"photometric": photometric(size, batch), "pipeline": pipeline(backbone, size, batch, shards)}
    keep("gpu-run", {"found": found})


if __name__ == "__main__":
    main()
