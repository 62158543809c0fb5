"""The door to torch's DataLoader: whole batches made in worker processes, failures as one line."""

import multiprocessing
import os
import sys
from collections.abc import Iterator
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset

from ladder_hub.data.signals import child_signal_kept, leave_signals_to_main, termination_held
from ladder_hub.errors import RunError, UserError

Made = TypeVar("Made")
MadeCo = TypeVar("MadeCo", covariant=True)

_MOST = 8


class Plan(Protocol):
    """Lists of requests, one a batch, made while they are iterated: a million requests would fill memory."""

    def __iter__(self) -> Iterator[list[Any]]: ...

    def __len__(self) -> int: ...


class Maker(Protocol[MadeCo]):
    """Makes a batch from a list of requests; is pickled into the workers."""

    def make(self, requests: list[Any]) -> MadeCo:
        """One batch."""
        ...


class _Requests(Dataset[Any], Generic[Made]):
    """The loader's idea of a data set: a list of requests in, a batch (or a failure) out."""

    def __init__(self, maker: Maker[Made]) -> None:
        self._maker = maker

    def __getitems__(self, requests: list[Any]) -> Made | Exception:
        # The loader would wrap what a worker raises into a traceback: failures with a line of their own
        # travel as values.
        try:
            return self._maker.make(requests)
        except (UserError, RunError) as error:
            return error

    def __getitem__(self, request: Any) -> Made | Exception:
        return self.__getitems__([request])


class BatchWorkers(Generic[Made]):
    """Runs a maker over lists of requests, in order; the processes stay for the next `run`.

    Args:
        maker: Makes the batches.
        workers: Processes; 0 works in this one; -1 is one a core, at most 8.
        pin: Put batches into page-locked memory (for a CUDA device).
    """

    def __init__(self, maker: Maker[Made], *, workers: int, pin: bool = False) -> None:
        self.workers = worker_count(workers)
        self._plan = _CurrentPlan()
        self._loader: DataLoader[Any] = DataLoader(
            _Requests(maker),
            batch_sampler=self._plan,
            num_workers=self.workers,
            persistent_workers=self.workers > 0,
            collate_fn=_as_made,
            worker_init_fn=_start_worker,
            pin_memory=pin,
            multiprocessing_context=_context() if self.workers else None,
            # Its own generator: otherwise the loader draws from torch's global one, and shifts others' draws.
            generator=torch.Generator(),
        )

    def run(self, plan: Plan) -> Iterator[Made]:
        """One batch for each list of requests; the n-th is made by process n modulo their number.

        Raises:
            UserError, RunError: whatever the maker raised.
            RunError: a worker process died.
        """
        self._plan.current = plan
        if not len(plan):
            return
        with child_signal_kept(), termination_held():
            batches = iter(self._loader)
        for _ in range(len(plan)):
            try:
                made = next(batches)
            except (RuntimeError, EOFError, ConnectionError, FileNotFoundError) as error:
                raise _died(error, self.workers) from None
            if isinstance(made, Exception):
                raise made
            yield made


class _CurrentPlan:
    """The loader's sampler: this run's plan.

    It must not lead back to the loader: a loader that only the cycle collector frees waits 5 s for each worker.
    """

    def __init__(self) -> None:
        self.current: Plan = []

    def __iter__(self) -> Iterator[list[Any]]:
        return iter(self.current)

    def __len__(self) -> int:
        return len(self.current)


def worker_count(workers: int) -> int:
    """Processes for `data.workers`: -1 is one for each core this process may use, at most 8."""
    if workers >= 0:
        return workers
    # macOS and Windows have no affinity: all cores count there.
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, _MOST)


def _context() -> str:
    """Forked workers share the index of a million images, and see the main process die; Python 3.14 would spawn.

    Where there is no fork (Windows) or it is unsafe (macOS), what Python does there.
    """
    return "fork" if sys.platform == "linux" else multiprocessing.get_start_method()


def _as_made(made: Made) -> Made:
    return made


def _start_worker(_: int) -> None:
    torch.set_num_threads(1)
    leave_signals_to_main()


def _died(error: Exception, workers: int) -> Exception:
    """A line about a dead worker, or the error itself where it is something else.

    A worker that dies between sending a batch and its being read shows as a broken connection.
    """
    broken = not isinstance(error, RuntimeError)
    if not workers or not (broken or "DataLoader worker" in str(error)):
        return error
    what = "its connection broke" if broken else " ".join(str(error).split()).partition(".")[0]
    return RunError(
        f"a loader process died ({what}); memory or /dev/shm may be short: "
        f"fewer than data.workers={workers}, or 0, needs less"
    )
