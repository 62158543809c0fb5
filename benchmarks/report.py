"""What every benchmark here prints and keeps: an aligned table, and JSON with the machine in `benchmarks/results/`."""

import json
import os
import platform
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("torch", "torchvision", "timm", "numpy", "pillow", "simplejpeg", "lightly")


def machine() -> dict[str, Any]:
    """Processor, cores, accelerator and the load when asked."""
    import torch

    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "cpu": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "load": os.getloadavg()[0],
    }


def versions() -> dict[str, str | None]:
    """Of what is measured; None: not installed."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


def steps(items: Sequence[Any], what: str) -> Iterator[Any]:
    """The items, with what is done and the time left on standard error before each but the first."""
    begun = time.monotonic()
    for done, item in enumerate(items):
        if done:
            left = (time.monotonic() - begun) / done * (len(items) - done)
            print(f"{what} {done}/{len(items)}, left {left / 60:.1f} min", file=sys.stderr, flush=True)
        yield item


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """The first column to the left, figures to the right."""
    cells = [[str(cell) for cell in row] for row in (head, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    lines = []
    for row in cells:
        first, *rest = (cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        lines.append("  ".join([first.strip().ljust(widths[0]), *rest]))
    return "\n".join(lines)


def keep(name: str, facts: Mapping[str, Any]) -> Path:
    """Write `facts` with date, machine and versions to results/NAME.json."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    whole = {"date": datetime.now(UTC).isoformat("T", "minutes"), "machine": machine(), "versions": versions(), **facts}
    path.write_text(json.dumps(whole, indent=1) + "\n")
    return path
