"""The dense correspondence, block by block, against all similarities at once: `python benchmarks/correspondence.py`.

The other one is what a user would write: einsum of unit vectors, then argmax. Both take turns in one process; the extra
memory is the peak of what operations allocate beside their arguments.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from report import keep, table
from torch import Tensor
from torch.nn import functional as F

from ladder_hub.siamese.losses import correspondence
from ladder_hub.training.memory import Ledger


@torch.no_grad()
def whole(projection: Tensor, target: Tensor) -> Tensor:
    """Every similarity of every image at once."""
    similarity = torch.einsum("bnd,bmd->bnm", F.normalize(projection, dim=-1), F.normalize(target, dim=-1))
    return similarity.argmax(-1)


def extra_memory(find: Callable[[Tensor, Tensor], Tensor], a: Tensor, b: Tensor) -> int:
    """Bytes at the peak beside the arguments; on a GPU by its allocator, workspaces included."""
    if a.device.type == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        find(a, b)
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
    with Ledger() as ledger:
        find(a, b)
    return ledger.peak


def timed(find: Callable[[Tensor, Tensor], Tensor], a: Tensor, b: Tensor) -> tuple[float, float]:
    """Seconds, and CPU seconds."""
    begun, cpu = time.perf_counter(), time.process_time()
    find(a, b)
    if a.device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - begun, time.process_time() - cpu


def main() -> None:
    """The table and the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--side", type=int, default=56, help="cells a side")
    parser.add_argument("--width", type=int, default=256, help="of the projections")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=0, help="of a CPU; 0: all cores")
    parser.add_argument("--name", default="correspondence", help="of the JSON in results/")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    generator = torch.Generator().manual_seed(0)
    shape = (args.batch, args.side**2, args.width)
    a, b = (torch.randn(shape, generator=generator).to(device) for _ in range(2))
    finders = {"all at once": whole, "ours": correspondence}
    equal = float((whole(a, b) == correspondence(a, b)).float().mean())
    memory = {name: extra_memory(find, a, b) for name, find in finders.items()}
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in finders}
    for _ in range(args.rounds):
        for name, find in finders.items():
            times[name].append(timed(find, a, b))
    found = {
        name: {
            "seconds": statistics.median(wall for wall, _ in times[name]),
            "cpu_seconds": statistics.median(cpu for _, cpu in times[name]),
            "extra_bytes": memory[name],
        }
        for name in finders
    }
    first = found["all at once"]
    rows = [
        (
            name,
            f"{row['seconds']:.3f}",
            f"{row['cpu_seconds']:.3f}",
            f"{row['extra_bytes'] / 2**20:.0f}",
            *(f"{row[key] / first[key]:.3f}" for key in ("seconds", "cpu_seconds", "extra_bytes")),
        )
        for name, row in found.items()
    ]
    print(f"{args.batch} images, {args.side}x{args.side} cells, {args.width} channels, on {device}")
    print(table(("correspondence", "s", "CPU s", "extra MiB", "s ratio", "CPU ratio", "memory ratio"), rows))
    print(f"the same cell chosen: {equal:.4%}")
    print(f"-> {keep(args.name, {'arguments': vars(args), 'found': found, 'equal': equal})}")


if __name__ == "__main__":
    main()
