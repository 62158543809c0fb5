"""Randomness as a pure function: of (seed, epoch) for an order, (seed, epoch, index, view) for a view.

Philox is a counter-based generator: the tuple is the counter's place, so no state is kept anywhere and a
resumed run, another number of workers or another world size sees the same numbers. For a batch it is computed here for
all views at once: one `numpy.random.Philox` for each view takes longer than cutting it out does.
"""

from collections.abc import Sequence

import numpy as np

_ORDER, _VIEW, _STAND_IN, _STREAM = 0, 1, 2, 3
_MASK = 2**64 - 1
_WORDS = 4
_ROUNDS = 10
# Philox4x64's constants: Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3" (2011).
_MULTIPLIERS = (0xD2E7470EE14C6C93, 0xCA5A826395121157)
_WEYL = (0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B)
_HALF, _LOW = np.uint64(32), np.uint64(0xFFFFFFFF)


def order(n: int, *, seed: int, epoch: int) -> np.ndarray:
    """The order of an epoch: a permutation of range(n), int64 (n,)."""
    philox = _philox(seed, _ORDER, (epoch, 0, 0))
    # Raw 64-bit words, sorted: numpy promises their stream for ever, which it does not for `permutation`.
    return np.argsort(philox.random_raw(n), kind="stable").astype(np.int64, copy=False)


def view_generator(*, seed: int, epoch: int, index: int, view: int) -> np.random.Generator:
    """The generator of one image's one view in one epoch."""
    return np.random.Generator(_philox(seed, _VIEW, (epoch, index, view)))


def view_uniforms(count: int, *, seed: int, epoch: int, indices: Sequence[int] | np.ndarray, views: int) -> np.ndarray:
    """The first `count` numbers of every view's generator: `view_generator(...).random(count)`, all at once.

    Args:
        count: Numbers a view.
        seed: Of the run.
        epoch: Which one.
        indices: n images.
        views: Of each image; they are numbered from 0.

    Returns:
        float64 (n, views, count) in [0, 1), in steps of 2^-53.
    """
    blocks = -(-count // _WORDS)
    # numpy's generator counts up before it makes a block, so its first one is number 1.
    numbers = np.arange(1, blocks + 1, dtype=np.uint64)
    places = np.asarray(indices, dtype=np.uint64)[:, None, None], np.arange(views, dtype=np.uint64)[:, None]
    counter = np.broadcast_arrays(numbers, np.uint64(epoch), *places)
    words = np.stack(_philox_blocks(counter, (seed & _MASK, _VIEW)), axis=-1)
    return (words.reshape(len(indices), views, -1)[..., :count] >> np.uint64(11)) * 2.0**-53


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


def _philox_blocks(counter: Sequence[np.ndarray], key: tuple[int, int]) -> list[np.ndarray]:
    """Philox4x64-10: four words, uint64, for every place of a counter of four words and a key of two."""
    a, b, c, d = counter
    for step in range(_ROUNDS):
        key_a, key_b = (np.uint64((word + step * weyl) & _MASK) for word, weyl in zip(key, _WEYL, strict=True))
        (high_a, low_a), (high_c, low_c) = _product(a, _MULTIPLIERS[0]), _product(c, _MULTIPLIERS[1])
        a, b, c, d = high_c ^ b ^ key_a, low_c, high_a ^ d ^ key_b, low_a
    return [a, b, c, d]


def _product(words: np.ndarray, by: int) -> tuple[np.ndarray, np.ndarray]:
    """The high and the low 64 bits of words * by, by halves of 32 bits."""
    low, high = np.uint64(by) & _LOW, np.uint64(by) >> _HALF
    words_low, words_high = words & _LOW, words >> _HALF
    crossed = words_high * low + (words_low * low >> _HALF)
    carried = words_low * high + (crossed & _LOW)
    return words_high * high + (crossed >> _HALF) + (carried >> _HALF), words * np.uint64(by)
