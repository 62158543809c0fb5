"""How a batch is laid over processes and passes; the batch itself never changes with the machine."""

from dataclasses import dataclass
from typing import Literal

from ladder_hub.errors import UserError


@dataclass(frozen=True)
class Layout:
    """One optimiser step: every process makes `accumulation` passes over `micro_batch` images each."""

    processes: int
    micro_batch: int
    """Images a pass on one process."""
    accumulation: int
    """Passes an optimiser step."""
    batch_norm: Literal["sync", "ghost"]
    """`sync`: statistics of a pass over all processes; `ghost`: of a pass on one process."""

    @property
    def batch_size(self) -> int:
        """Images an optimiser step, over all processes."""
        return self.processes * self.micro_batch * self.accumulation

    def __str__(self) -> str:
        """`8 processes x 2 x 256 (BatchNorm: sync, 2048 images)`."""
        several = f"{self.processes} processes x " if self.processes > 1 else ""
        norm = f"(BatchNorm: {self.batch_norm}, {self.statistics_of} images)"
        return f"{several}{self.accumulation} x {self.micro_batch} {norm}"

    @property
    def pass_size(self) -> int:
        """Images a pass, over all processes."""
        return self.processes * self.micro_batch

    @property
    def statistics_of(self) -> int:
        """Images that BatchNorm's statistics are of."""
        return self.pass_size if self.batch_norm == "sync" else self.micro_batch


def lay_out(*, batch_size: int, micro_batch: int, batch_norm: str, processes: int) -> Layout:
    """Divide a batch: passes as large as `micro_batch` allows, the same on every process.

    Args:
        batch_size: images an optimiser step, over all processes.
        micro_batch: at most so many images a pass on one process.
        batch_norm: sync, ghost, or auto (sync where there are several processes).
        processes: how many train together.

    Raises:
        UserError: the batch can't be divided so; the message names the nearest that can.
    """
    share, rest = divmod(batch_size, processes)
    if rest or share < 2:
        near = max(2, round(share + rest / processes)) * processes
        raise UserError(f"batch_size = {batch_size} can't be shared by {processes} processes; try batch_size={near}")
    passed = min(micro_batch, share)
    if share % passed:
        near = min((d for d in range(2, share + 1) if share % d == 0), key=lambda d: abs(d - micro_batch))
        raise UserError(
            f"micro_batch = {micro_batch} does not divide the {share} images of each process "
            f"(batch_size = {batch_size}, {processes} processes); try micro_batch={near}"
        )
    several = "sync" if processes > 1 else "ghost"
    mode = several if batch_norm == "auto" else batch_norm
    return Layout(processes, passed, share // passed, "sync" if mode == "sync" else "ghost")
