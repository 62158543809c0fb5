"""A batch over processes and passes: always the same batch, or a refusal that names the nearest."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ladder_hub.errors import UserError
from ladder_hub.training.layout import Layout, lay_out


@pytest.mark.parametrize(
    ("batch", "micro", "processes", "expected"),
    [
        (4096, 256, 1, Layout(1, 256, 16, "ghost")),
        (4096, 256, 8, Layout(8, 256, 2, "sync")),
        (4096, 256, 16, Layout(16, 256, 1, "sync")),
        (4096, 256, 64, Layout(64, 64, 1, "sync")),
        (32, 256, 1, Layout(1, 32, 1, "ghost")),
    ],
)
def test_layouts(batch: int, micro: int, processes: int, expected: Layout) -> None:
    found = lay_out(batch_size=batch, micro_batch=micro, batch_norm="auto", processes=processes)
    assert found == expected
    assert found.batch_size == batch


def test_what_batch_norm_sees() -> None:
    eight = {"batch_size": 4096, "micro_batch": 256, "processes": 8}
    assert lay_out(**eight, batch_norm="auto").statistics_of == 2048
    assert lay_out(**eight, batch_norm="sync").statistics_of == 2048
    assert lay_out(**eight, batch_norm="ghost").statistics_of == 256
    assert lay_out(batch_size=512, micro_batch=64, processes=1, batch_norm="sync").statistics_of == 64


@given(st.integers(2, 5000), st.integers(2, 5000), st.integers(1, 70))
def test_the_whole_batch_or_a_hint_that_helps(batch: int, micro: int, processes: int) -> None:
    keys = {"batch_size": batch, "micro_batch": micro, "processes": processes, "batch_norm": "auto"}
    for _ in range(2):  # the first hint may be about the batch, the second about the micro-batch
        try:
            found = lay_out(**keys)
        except UserError as error:
            name, value = re.search(r"try (batch_size|micro_batch)=(\d+)", str(error)).groups()
            keys[name] = int(value)
            continue
        break
    else:
        found = lay_out(**keys)
    assert found.batch_size == keys["batch_size"]
    assert found.micro_batch <= keys["micro_batch"]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ((4096, 256, 3), "batch_size = 4096 can't be shared by 3 processes; try batch_size=4095"),
        ((8, 4, 8), "batch_size = 8 can't be shared by 8 processes; try batch_size=16"),
        (
            (4096, 100, 2),
            "micro_batch = 100 does not divide the 2048 images of each process (batch_size = 4096, 2 processes); "
            "try micro_batch=128",
        ),
    ],
)
def test_refusals(keys: tuple[int, int, int], message: str) -> None:
    with pytest.raises(UserError) as error:
        lay_out(batch_size=keys[0], micro_batch=keys[1], processes=keys[2], batch_norm="auto")
    assert str(error.value) == message
