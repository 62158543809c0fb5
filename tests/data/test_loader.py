"""The same numbers whatever the workers and the batch size; failures as one line."""

import gc
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pictures import jpeg, policy, write_tar

from ladder_hub.data.bad import image_or_stand_in
from ladder_hub.data.chance import view_generator, view_uniforms
from ladder_hub.data.crops import crop, draw_crop, evaluation_crop
from ladder_hub.data.loader import BadLedger, Batch, TwoViews, evaluation_batches, order
from ladder_hub.data.photometric import draw
from ladder_hub.data.shapes import ShapesSource
from ladder_hub.data.sources import BadImage, open_source
from ladder_hub.data.workers import BatchWorkers, worker_count
from ladder_hub.errors import RunError

POLICIES = (policy(blur=1.0, solarize=0.0), policy(blur=0.1))
VIEWS = {"size": 24, "crop_scale": (0.2, 1.0), "crop_ratio": (0.75, 4 / 3), "flip": 0.5, "policies": POLICIES}


def views(source, *, seed=0, batch_size=4, workers=0):
    return TwoViews(source, **VIEWS, seed=seed, batch_size=batch_size, workers=workers)


def joined(batches):
    batches = list(batches)
    return {
        "indices": torch.cat([b.indices for b in batches]),
        **{f"view {v}": torch.cat([b.views[v] for b in batches]) for v in (0, 1)},
        **{f"photometric {v}": torch.cat([b.photometric[v] for b in batches]) for v in (0, 1)},
    }


def same(a, b):
    return all(torch.equal(a[key], b[key]) for key in a)


class Broken(ShapesSource):
    """Shapes, some of which can't be decoded."""

    def __init__(self, count, bad):
        super().__init__(count, split="train")
        self.bad = set(bad)

    def image(self, index):
        if index in self.bad:
            raise BadImage(self.key(index), "truncated")
        return super().image(index)


# -- order --


def test_order_is_a_pure_permutation():
    first = order(1000, seed=3, epoch=5)
    assert first.dtype == np.int64
    assert sorted(first) == list(range(1000))
    assert (order(1000, seed=3, epoch=5) == first).all()
    for seed, epoch in ((3, 6), (4, 5), (5, 3)):
        assert (order(1000, seed=seed, epoch=epoch) != first).mean() > 0.9


def test_order_is_pinned():
    assert order(8, seed=0, epoch=0).tolist() == [0, 2, 1, 5, 4, 3, 6, 7]
    assert order(1, seed=2**63 - 1, epoch=10**6).tolist() == [0]


@given(
    count=st.integers(1, 40),
    seed=st.integers(-(2**63), 2**63 - 1),
    epoch=st.integers(0, 2**32),
    indices=st.lists(st.integers(0, 2**48), min_size=1, max_size=5),
    views=st.integers(1, 3),
)
def test_the_numbers_of_a_batch_are_those_of_numpys_generators(count, seed, epoch, indices, views):
    found = view_uniforms(count, seed=seed, epoch=epoch, indices=indices, views=views)
    assert found.shape == (len(indices), views, count)
    for row, index in zip(found, indices, strict=True):
        for view in range(views):
            assert (row[view] == view_generator(seed=seed, epoch=epoch, index=index, view=view).random(count)).all()


def test_views_have_streams_of_their_own():
    firsts = {
        view_generator(seed=seed, epoch=epoch, index=index, view=view).random()
        for seed in range(3)
        for epoch in range(3)
        for index in range(20)
        for view in range(2)
    }
    assert len(firsts) == 360


# -- two views --


def test_batch_is_what_its_parts_say():
    source = ShapesSource(10, split="train")
    batch = next(views(source, seed=7).batches(2, samples=4))
    assert isinstance(batch, Batch)
    assert batch.bad == []
    assert batch.indices.tolist() == order(10, seed=7, epoch=2)[:4].tolist()
    for view in range(2):
        assert batch.views[view].dtype == torch.uint8
        assert batch.views[view].shape == (4, 3, 24, 24)
        assert batch.photometric[view].dtype == torch.float32
        for place, index in enumerate(batch.indices.tolist()):
            numbers = view_generator(seed=7, epoch=2, index=index, view=view).random(36)
            box = draw_crop(iter(numbers), 64, 64, scale=VIEWS["crop_scale"], ratio=VIEWS["crop_ratio"])
            expected = crop(source.image(index), box, 24, numbers[22] < 0.5)
            assert torch.equal(batch.views[view][place], expected)
            assert (batch.photometric[view][place].numpy() == draw(POLICIES[view], numbers[23:])).all()


def test_workers_and_batch_size_do_not_matter(folder):
    source = open_source(str(folder), split="train")
    here = joined(views(source, batch_size=12).batches(1, samples=12))
    for workers, batch_size in ((2, 3), (1, 4), (0, 2)):
        assert same(joined(views(source, batch_size=batch_size, workers=workers).batches(1, samples=12)), here)


def test_epochs_and_seeds_differ_and_repeat():
    source = ShapesSource(12, split="train")
    a = views(source)
    first, second = joined(a.batches(0, samples=12)), joined(a.batches(1, samples=12))
    assert not same(first, second)
    assert same(joined(a.batches(0, samples=12)), first)
    assert same(joined(views(source).batches(1, samples=12)), second)
    assert not same(joined(views(source, seed=1).batches(0, samples=12)), first)


def test_resuming_in_the_middle_of_an_epoch():
    source = ShapesSource(12, split="train")
    whole = joined(views(source).batches(3, samples=12))
    rest = joined(views(source).batches(3, samples=12, start=8))
    assert same(rest, {key: value[8:] for key, value in whole.items()})
    assert list(views(source).batches(3, samples=12, start=12)) == []


def loader_threads():
    return {thread for thread in threading.enumerate() if thread.name.startswith("loader")}


def test_threads_stay_from_epoch_to_epoch_and_an_epoch_can_be_left():
    source = ShapesSource(24, split="train")
    others = loader_threads()
    loader = views(source, workers=2)
    next(loader.batches(0, samples=24))
    before = loader_threads() - others
    assert len(before) == 2
    assert same(joined(loader.batches(1, samples=24)), joined(views(source).batches(1, samples=24)))
    assert before == loader_threads() - others


@pytest.mark.parametrize("whole", [True, False])
def test_threads_end_with_the_last_reference(whole):
    others = loader_threads()
    loader = views(ShapesSource(24, split="train"), workers=2)
    batches = loader.batches(0, samples=24)
    for _ in batches if whole else [next(batches)]:
        pass
    mine = loader_threads() - others
    assert len(mine) == 2
    del loader, batches
    gc.collect()
    for thread in mine:
        thread.join(60)
        assert not thread.is_alive()


def test_batches_that_are_kept_stay_what_they_were():
    """Each has memory of its own: threads that go on write none that was given away."""
    source = ShapesSource(48, split="train")
    kept = list(views(source, workers=2).batches(0, samples=48))
    assert same(joined(kept), joined(views(source).batches(0, samples=48)))
    assert len({batch.views[0].data_ptr() for batch in kept}) == len(kept)


def test_no_more_is_made_than_can_be_held():
    """An epoch is not read to its end while its first batch is looked at."""
    made = []

    class Maker:
        def make(self, requests):
            made.append(requests)
            return requests

    batches = BatchWorkers(Maker(), workers=2).run([[number] for number in range(100)])
    assert next(batches) == [0]
    batches.close()
    assert len(made) <= 5


def test_whatever_a_thread_meets_is_raised_in_its_place():
    class Maker:
        def make(self, requests):
            if requests == [3]:
                raise ZeroDivisionError("as it is")
            return requests

    batches = BatchWorkers(Maker(), workers=2).run([[number] for number in range(9)])
    assert [next(batches) for _ in range(3)] == [[0], [1], [2]]
    with pytest.raises(ZeroDivisionError, match="^as it is$"):
        next(batches)


def test_threads_read_many_shards_at_once(tmp_path, monkeypatch):
    """More shards than may be open: a file that is put aside is not another's while somebody reads it."""
    monkeypatch.setattr("ladder_hub.data.shards._OPEN_FILES", 2)
    for shard in range(8):
        write_tar(tmp_path / f"{shard}.tar", [(f"{shard}-{i}.jpg", jpeg(10 * shard + i)) for i in range(6)])
    source = open_source(str(tmp_path / "{0..7}.tar"), split="train")
    alone = joined(views(source).batches(0, samples=48))
    for epoch in range(3):
        assert same(joined(views(source, workers=8).batches(0, samples=48)), alone), epoch


def test_it_works_inside_a_pool():
    """A daemonic process may start no other; threads it may."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(_a_batch, (2,)) == _a_batch(0)


def _a_batch(workers):
    return next(views(ShapesSource(8, split="train"), workers=workers).batches(0, samples=8)).indices.tolist()


def test_global_random_state_is_left_alone():
    torch.manual_seed(0)
    np.random.seed(0)
    state = torch.get_rng_state()
    list(views(ShapesSource(8, split="train"), workers=1).batches(0, samples=8))
    assert torch.equal(torch.get_rng_state(), state)


def test_worker_count(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(5)), raising=False)
    assert [worker_count(n) for n in (-1, 0, 3, 12)] == [5, 0, 3, 12]
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    assert worker_count(-1) == 8


def test_batch_pickles():
    batch = next(views(ShapesSource(4, split="train")).batches(0, samples=4))
    assert torch.equal(pickle.loads(pickle.dumps(batch)).views[1], batch.views[1])


# -- what goes wrong --


@pytest.mark.parametrize("workers", [0, 2])
def test_bad_image_is_replaced_by_the_next(workers):
    source = Broken(12, bad=[3, 7, 11])
    batches = list(views(source, workers=workers).batches(0, samples=12))
    asked = order(12, seed=0, epoch=0).tolist()
    used = torch.cat([b.indices for b in batches]).tolist()
    assert used == [{3: 4, 7: 8, 11: 0}.get(index, index) for index in asked]
    bad = [key for b in batches for key, reason in b.bad if reason == "truncated"]
    assert sorted(bad) == sorted(source.key(i) for i in (3, 7, 11))


def test_a_bad_folder_is_left_to_the_ledger():
    """A hundred neighbours, 5 % of the source: stand-ins come from all over the rest."""
    source = Broken(2000, bad=range(500, 600))
    used = []
    for index in range(500, 599):
        image, place, bad = image_or_stand_in(source, index)
        assert torch.equal(image, source.image(place))
        assert image_or_stand_in(source, index)[1:] == (place, bad)
        assert [key for key, _ in bad[:2]] == [source.key(index), source.key(index + 1)]
        assert len(set(bad)) == len(bad) < 16
        used.append(place)
    assert len(set(used)) > 90
    assert min(used) < 300
    assert max(used) > 1700


def test_every_image_of_a_small_source_is_tried():
    source = Broken(16, bad=set(range(16)) - {9})
    for index in range(16):
        _, place, bad = image_or_stand_in(source, index)
        assert place == 9
        assert len(set(bad)) == len(bad)


@pytest.mark.parametrize("workers", [0, 1])
def test_sixteen_bad_tries(workers):
    source = Broken(40, bad=range(40))
    first = int(order(40, seed=0, epoch=0)[0])
    with pytest.raises(RunError) as caught:
        list(views(source, workers=workers).batches(0, samples=40))
    said = str(caught.value)
    assert said.startswith(
        "16 images tried for one place in shapes:40 can't be decoded: "
        f"{source.key(first)} (truncated), {source.key((first + 1) % 40)} (truncated), "
    )
    assert said.endswith(" (truncated), ...")
    assert said.count("truncated") == 5


def test_pins_the_views_only(monkeypatch):
    pinned = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: pinned.append(self) or self)
    batch = next(views(ShapesSource(4, split="train")).batches(0, samples=4))
    again = batch.pin_memory()
    assert [id(tensor) for tensor in pinned] == [id(view) for view in batch.views]
    assert again == batch


LOADING = """
    import os, signal, sys
    from ladder_hub.data.loader import TwoViews
    from ladder_hub.data.photometric import Policy
    from ladder_hub.data.shapes import ShapesSource
    policy = Policy(0.8, 0.4, 0.4, 0.2, 0.1, 0.2, 0.5, (0.1, 2.0), 0.2)
    source = ShapesSource(400, split="train")
    loader = TwoViews(source, size=24, crop_scale=(0.2, 1.0), crop_ratio=(0.75, 1.5), flip=0.5,
                      policies=(policy, policy), seed=0, batch_size=4, workers=2)
    batches = loader.batches(0, samples=400)
"""


def started(program):
    """A process in a group of its own; its output ends when it and all its workers have ended."""
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(LOADING) + textwrap.dedent(program)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_ctrl_c_reaches_the_main_process_only():
    # Who is started in the background inherits that it is ignored; a terminal's process has Python's handler.
    process = started("""
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            for batch in batches:
                os.killpg(0, signal.SIGINT)
        except KeyboardInterrupt:
            sys.exit(7)
    """)
    assert process.communicate(timeout=120) == ("", "")
    assert process.returncode == 7


@pytest.mark.skipif(not hasattr(signal, "sigwaitinfo"), reason="this system does not tell who sent a signal")
@pytest.mark.parametrize("end", ["", "; del loader, batches"], ids=["left to the exit", "closed first"])
def test_termination_of_the_group_is_the_main_process_s_to_handle(end):
    process = started(f"""
        told = []
        signal.signal(signal.SIGTERM, lambda *_: told.append(1))
        next(batches)
        print("ready", flush=True)
        sys.stdin.readline()
        print(len(list(batches)), len(told)){end}
    """)
    assert process.stdout.readline() == "ready\n"
    os.killpg(process.pid, signal.SIGTERM)
    assert process.communicate("go on\n", timeout=120) == ("99 1\n", "")
    assert process.returncode == 0


def test_nothing_outlives_a_main_process_that_is_killed():
    process = started("""
        next(batches)
        print("ready", flush=True)
        sys.stdin.readline()
    """)
    assert process.stdout.readline() == "ready\n"
    process.kill()
    process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL


def test_ledger():
    ledger = BadLedger(total=100, max_bad=0.02)
    a, b, c = ("a.jpg", "truncated"), ("b.jpg", "not an image"), ("c.jpg", "empty file")
    assert ledger.add([a, b]) == [a, b]
    assert ledger.add([a, a]) == []
    assert len(ledger) == 2
    with pytest.raises(RunError) as caught:
        ledger.add([b, c])
    assert str(caught.value) == (
        "3 of 100 images can't be decoded, more than data.max_bad = 0.02: "
        "a.jpg (truncated), b.jpg (not an image), c.jpg (empty file)"
    )


def test_ledger_names_five_and_tolerates_none_where_asked():
    bad = [(f"{n}.jpg", "truncated") for n in range(7)]
    with pytest.raises(RunError, match=r"^7 of 10 .* = 0: 0.jpg .*, 4.jpg \(truncated\), \.\.\.$"):
        BadLedger(total=10, max_bad=0.0).add(bad)
    assert len(BadLedger(total=10, max_bad=1.0).add(bad)) == 7


# -- evaluation --


@pytest.mark.parametrize("workers", [0, 2])
def test_evaluation_batches(folder, workers):
    source = open_source(str(folder), split="val")
    batches = list(evaluation_batches(source, size=16, crop_pct=0.875, batch_size=5, workers=workers))
    assert [len(images) for images, _, _ in batches] == [5, 5, 2]
    images = torch.cat([images for images, _, _ in batches])
    labels = torch.cat([labels for _, labels, _ in batches])
    expected = torch.stack([evaluation_crop(source.image(i), 16, 0.875) for i in range(12)])
    assert images.dtype == torch.uint8
    assert torch.equal(images, expected)
    assert labels.tolist() == source.labels.tolist()
    assert not any(bad for _, _, bad in batches)


def test_evaluation_leaves_bad_images_out_and_names_them():
    source = Broken(6, bad=[1, 4, 5])
    got = list(
        evaluation_batches(source, indices=np.array([5, 1, 0, 2]), size=16, crop_pct=1.0, batch_size=2, workers=0)
    )
    assert [len(images) for images, _, _ in got] == [0, 2]
    assert got[1][1].tolist() == source.labels[[0, 2]].tolist()
    assert got[0][2] == [(source.key(5), "truncated"), (source.key(1), "truncated")]


def test_evaluation_without_labels(tmp_path):
    path = write_tar(tmp_path / "s.tar", [("a.jpg", jpeg(0))])
    (got,) = evaluation_batches(open_source(str(path), split="val"), size=16, crop_pct=1.0, batch_size=2, workers=0)
    assert got[1] is None
