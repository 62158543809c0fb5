"""Whole batches made by threads, in order; what a maker raises is raised where its batch is awaited.

Decoding, resizing and the photometric operations let go of the interpreter's lock, so threads share the cores as
processes would, and there is one copy of the index, nothing to send and no process to lose.
"""

import os
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Generic, Protocol, TypeVar

import torch

Made = TypeVar("Made")
MadeCo = TypeVar("MadeCo", covariant=True)

_MOST = 8
_AHEAD = 2
"""Batches a thread that are made before they are asked for."""


class Plan(Protocol):
    """Lists of requests, one a batch, made while they are iterated: a million requests would fill memory."""

    def __iter__(self) -> Iterator[list[Any]]: ...

    def __len__(self) -> int: ...


class Maker(Protocol[MadeCo]):
    """Makes a batch from a list of requests, in several threads at once: what it holds may not change."""

    def make(self, requests: list[Any]) -> MadeCo:
        """One batch, of memory of its own: whoever gets it may keep it."""
        ...


class BatchWorkers(Generic[Made]):
    """Runs a maker over lists of requests, in order; the threads stay for the next `run`.

    Args:
        maker: Makes the batches.
        workers: Threads; 0 works in this one; -1 is one a core, at most 8.
        pin: Put batches into page-locked memory (for a CUDA device).
    """

    def __init__(self, maker: Maker[Made], *, workers: int, pin: bool = False) -> None:
        self.workers = worker_count(workers)
        self._maker, self._pin = maker, pin
        self._pool = ThreadPoolExecutor(self.workers, "loader", _alone) if self.workers else None

    def run(self, plan: Plan) -> Iterator[Made]:
        """One batch for each list of requests, in their order.

        Raises:
            UserError, RunError: whatever the maker raised.
        """
        if self._pool is None:
            yield from map(self._made, plan)
            return
        given_up = threading.Event()
        requests, coming = iter(plan), deque[Future[Made | None]]()
        try:
            while True:
                while len(coming) < _AHEAD * self.workers and (some := next(requests, None)) is not None:
                    coming.append(self._pool.submit(self._unless, given_up, some))
                if not coming:
                    return
                made = coming.popleft().result()
                assert made is not None
                yield made
        finally:
            # Who leaves in the middle waits for no batch but those that are being made.
            given_up.set()
            for future in coming:
                future.cancel()
            if close := getattr(requests, "close", None):
                close()

    def _unless(self, given_up: threading.Event, requests: list[Any]) -> Made | None:
        return None if given_up.is_set() else self._made(requests)

    def _made(self, requests: list[Any]) -> Made:
        made: Any = self._maker.make(requests)
        return _pinned(made) if self._pin else made


def worker_count(workers: int) -> int:
    """Threads for `data.workers`: -1 is one for each core this process may use, at most 8."""
    if workers >= 0:
        return workers
    # macOS and Windows have no affinity: all cores count there.
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, _MOST)


def _alone() -> None:
    """A loader thread's own operations take no others: this holds for the thread that calls it."""
    torch.set_num_threads(1)


def _pinned(made: Any) -> Any:
    """A batch in page-locked memory: itself if it knows how, else its tensors, as torch's loader does."""
    from torch.utils.data._utils.pin_memory import pin_memory

    return pin_memory(made)
