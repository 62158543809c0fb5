"""Reading ahead changes nothing but the waiting; shuffling loses and repeats nothing."""

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ladder_hub.data.ahead import Ahead, in_turn, shuffled
from ladder_hub.errors import RunError


def numbers(first, last):
    yield from range(first, last)


def ahead(items, **changes):
    return Ahead(items, **({"depth": 2, "patience": 60, "what": "numbers"} | changes))


@settings(max_examples=50, deadline=None)
@given(lengths=st.lists(st.integers(0, 12), min_size=1, max_size=5))
def test_in_turn_gives_each_reader_s_items_in_order(lengths) -> None:
    readers = [ahead(numbers(100 * lane, 100 * lane + length)) for lane, length in enumerate(lengths)]
    found = list(in_turn(readers))
    for lane, length in enumerate(lengths):
        assert [n for n in found if n // 100 == lane] == list(range(100 * lane, 100 * lane + length))
    shortest = min(lengths)
    assert [n // 100 for n in found[: shortest * len(lengths)]] == list(range(len(lengths))) * shortest


def test_a_failure_comes_after_what_was_read_before_it() -> None:
    def broken():
        yield 1
        raise RunError("gone")

    items = iter(ahead(broken()))
    assert next(items) == 1
    with pytest.raises(RunError, match="gone"):
        next(items)


def test_nothing_within_the_patience_is_an_error() -> None:
    never = threading.Event()

    def silent():
        yield 1
        never.wait()

    items = iter(ahead(silent(), patience=0.05))
    assert next(items) == 1
    with pytest.raises(RunError, match=r"numbers gave nothing for timeout = 0\.05 s"):
        next(items)
    never.set()


def test_closing_ends_the_thread_and_closes_what_it_reads() -> None:
    closed = threading.Event()

    def endless():
        try:
            while True:
                yield 0
        finally:
            closed.set()

    found = in_turn([ahead(endless())])
    assert next(found) == 0
    found.close()
    assert closed.wait(60)


@settings(max_examples=100, deadline=None)
@given(count=st.integers(0, 300), size=st.integers(1, 64), seed=st.integers(0, 2**32))
def test_shuffled_gives_every_item_once_and_near_its_place(count, size, seed) -> None:
    found = list(shuffled(numbers(0, count), size=size, rng=np.random.default_rng(seed)))
    assert sorted(found) == list(range(count))
    # An item can't come before it was read: at most `size` of them are held, and two are read for one given.
    assert all(number <= 2 * place + size for place, number in enumerate(found))


def test_shuffled_is_a_function_of_its_generator() -> None:
    first, second, other = (
        list(shuffled(numbers(0, 200), size=32, rng=np.random.default_rng(seed))) for seed in (0, 0, 1)
    )
    assert first == second
    assert first != other
    assert first != list(range(200))
    assert np.corrcoef(first, range(200))[0, 1] > 0.8
