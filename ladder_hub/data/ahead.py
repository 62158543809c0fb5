"""Items read ahead by a thread, several such readers side by side, and their shuffling."""

import contextlib
import queue
import threading
from collections.abc import Generator, Iterator
from typing import Generic, TypeVar

import numpy as np

from ladder_hub.errors import RunError

Item = TypeVar("Item")

_POLL = 0.2


class Ahead(Generic[Item]):
    """Iterates over `items` while a thread reads up to `depth` of them ahead; what it raises is raised here.

    Args:
        items: what the thread reads; closed by it.
        depth: items that are held at most.
        patience: seconds to wait for one.
        what: where they come from, for a message.
    """

    def __init__(self, items: Generator[Item, None, None], *, depth: int, patience: float, what: str) -> None:
        self._items = items
        self._patience, self._what = patience, what
        self._ready: queue.Queue[tuple[Item | None, BaseException | None]] = queue.Queue(depth)
        self._left = threading.Event()
        threading.Thread(target=self._read, daemon=True).start()

    def __iter__(self) -> Iterator[Item]:
        while True:
            try:
                item, failure = self._ready.get(timeout=self._patience)
            except queue.Empty:
                raise RunError(f"{self._what} gave nothing for timeout = {self._patience:g} s") from None
            if failure:
                raise failure
            if item is None:
                return
            yield item

    def close(self) -> None:
        """The thread ends as soon as it has its next item."""
        self._left.set()

    def _read(self) -> None:
        failure: BaseException | None = None
        try:
            for item in self._items:
                if not self._hand_over(item, None):
                    break
        except BaseException as error:
            failure = error
        finally:
            self._items.close()
        self._hand_over(None, failure)

    def _hand_over(self, item: Item | None, failure: BaseException | None) -> bool:
        while not self._left.is_set():
            try:
                self._ready.put((item, failure), timeout=_POLL)
            except queue.Full:
                continue
            return True
        return False


def in_turn(readers: list[Ahead[Item]]) -> Generator[Item, None, None]:
    """One item of each in turn, until none has more; all are closed at the end."""
    left = [iter(reader) for reader in readers]
    try:
        while left:
            for reader in list(left):
                try:
                    yield next(reader)
                except StopIteration:
                    left.remove(reader)
    finally:
        for closing in readers:
            closing.close()


def shuffled(items: Generator[Item, None, None], *, size: int, rng: np.random.Generator) -> Generator[Item, None, None]:
    """All items, each drawn at random from the next `size` that are held.

    It begins with an eighth of them in hand and takes two for each that it gives until all are.
    """
    held: list[Item] = []
    with contextlib.closing(items):
        for item in items:
            held.append(item)
            if len(held) < size and (extra := next(items, None)) is not None:
                held.append(extra)
            if len(held) > size // 8:
                yield _drawn(held, rng)
        while held:
            yield _drawn(held, rng)


def _drawn(held: list[Item], rng: np.random.Generator) -> Item:
    place = int(rng.random() * len(held))
    held[place], held[-1] = held[-1], held[place]
    return held.pop()
