"""One process or eight: the same images with the same views, each exactly once."""

import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import policy

from ladder_hub.data.loader import TwoViews, order
from ladder_hub.data.shapes import ShapesSource

VIEWS = {
    "size": 8,
    "crop_scale": (0.2, 1.0),
    "crop_ratio": (0.75, 4 / 3),
    "flip": 0.5,
    "policies": (policy(), policy(blur=0.1)),
}


def views(source, **arguments):
    return TwoViews(source, **VIEWS, **({"seed": 0, "workers": 0} | arguments))


class Blank(ShapesSource):
    """Shapes without the drawing: the plan is what is looked at."""

    def image(self, index):
        return torch.full((3, 8, 8), index % 251, dtype=torch.uint8)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_ranks_together_are_one_process(data):
    processes = data.draw(st.sampled_from([1, 2, 3, 4, 8]), label="processes")
    batch_size = data.draw(st.integers(1, 4), label="batch_size")
    whole = processes * batch_size
    passes = data.draw(st.integers(0, 5), label="passes")
    start = whole * data.draw(st.integers(0, passes), label="start")
    seed, epoch = data.draw(st.integers(0, 2**40)), data.draw(st.integers(0, 9))
    source = Blank(passes * whole + data.draw(st.integers(1, 7), label="left over"), split="train")
    asked = {"samples": passes * whole, "start": start}
    alone = list(views(source, seed=seed, batch_size=whole).batches(epoch, **asked))
    ranks = [
        list(views(source, seed=seed, batch_size=batch_size, rank=rank, processes=processes).batches(epoch, **asked))
        for rank in range(processes)
    ]
    assert [len(batches) for batches in ranks] == [passes - start // whole] * processes
    for one, parts in zip(alone, zip(*ranks, strict=True), strict=True):
        assert torch.equal(torch.cat([part.indices for part in parts]), one.indices)
        for view in range(2):
            assert torch.equal(torch.cat([part.views[view] for part in parts]), one.views[view])
            assert torch.equal(torch.cat([part.photometric[view] for part in parts]), one.photometric[view])
    seen = np.concatenate([batch.indices.numpy() for batches in ranks for batch in batches] or [[]])
    assert sorted(seen) == sorted(order(len(source), seed=seed, epoch=epoch)[start : passes * whole])


def test_ranks_with_workers_of_their_own():
    source = Blank(48, split="train")
    alone = list(views(source, batch_size=8).batches(2, samples=48))
    ranks = [
        list(views(source, batch_size=4, rank=r, processes=2, workers=r + 1).batches(2, samples=48)) for r in (0, 1)
    ]
    for one, *parts in zip(alone, *ranks, strict=True):
        assert torch.equal(torch.cat([part.views[1] for part in parts]), one.views[1])


@pytest.mark.parametrize("asked", [{"samples": 12}, {"samples": 16, "start": 4}, {"samples": 56}])
def test_samples_that_do_not_divide_or_are_not_there_are_a_mistake_of_ours(asked):
    with pytest.raises(AssertionError):
        views(Blank(48, split="train"), batch_size=4, processes=2).batches(0, **asked)


def test_an_epoch_s_plan_takes_bytes_not_objects():
    """A million images: lists of tuples took some 130 bytes each, and the order alone is 8."""
    source = Blank(1_000_000, split="train")
    loader = views(source, batch_size=64)
    tracemalloc.start()
    try:
        batches = loader.batches(0, samples=1_000_000)
        next(batches)
        held, highest = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 12e6
    assert highest < 40e6
