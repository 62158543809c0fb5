"""Randomness as a pure function: of (seed, epoch) for an order, (seed, epoch, index, view) for a view.

Philox is a counter-based generator: the tuple is the counter's place, so no state is kept anywhere and a
resumed run, another number of workers or another world size sees the same numbers.
"""

import numpy as np

_ORDER, _VIEW, _STAND_IN, _STREAM = 0, 1, 2, 3
_MASK = 2**64 - 1


def order(n: int, *, seed: int, epoch: int) -> np.ndarray:
    """The order of an epoch: a permutation of range(n), int64 (n,)."""
    philox = _philox(seed, _ORDER, (epoch, 0, 0))
    # Raw 64-bit words, sorted: numpy promises their stream for ever, which it does not for `permutation`.
    return np.argsort(philox.random_raw(n), kind="stable").astype(np.int64, copy=False)


def view_generator(*, seed: int, epoch: int, index: int, view: int) -> np.random.Generator:
    """The generator of one image's one view in one epoch."""
    return np.random.Generator(_philox(seed, _VIEW, (epoch, index, view)))


def stream_generator(*, seed: int, epoch: int, rank: int) -> np.random.Generator:
    """The generator that shuffles what one process reads of a stream in one epoch."""
    return np.random.Generator(_philox(seed, _STREAM, (epoch, rank, 0)))


def stand_in(n: int, *, index: int, number: int) -> int:
    """Which of n images, anywhere among them, is the number-th to stand in for the one at `index`."""
    return int(_philox(0, _STAND_IN, (index, number, 0)).random_raw()) % n


def _philox(seed: int, purpose: int, place: tuple[int, int, int]) -> np.random.Philox:
    # The lowest word of the counter is left to the generator, which counts blocks of numbers there.
    counter = np.array([0, *place], dtype=np.uint64)
    return np.random.Philox(counter=counter, key=np.array([seed & _MASK, purpose], dtype=np.uint64))
