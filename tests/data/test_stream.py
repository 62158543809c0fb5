"""Streams of shards: every image once, the same ones for the same epoch, and what happens when one breaks off."""

from collections import Counter
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from pictures import jpeg, policy, write_tar

from ladder_hub.data import stream
from ladder_hub.data.addresses import CONSENT
from ladder_hub.data.sources import DataError, is_stream, open_source, open_stream
from ladder_hub.data.stream import Stored, StreamSource
from ladder_hub.data.stream_views import StreamedViews
from ladder_hub.data.tar_members import LostError
from ladder_hub.errors import RunError

SHARDS, EACH = 6, 5
ALL = {f"train-{shard:06d}.tar:{n}.jpg" for shard in range(SHARDS) for n in range(EACH)}


@pytest.fixture(scope="module")
def pattern(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("shards")
    for shard in range(SHARDS):
        members = [(f"{n}.jpg", jpeg(shard * EACH + n)) for n in range(EACH)]
        write_tar(folder / f"train-{shard:06d}.tar", members)
    return f"{folder.as_uri()}/train-{{000000..{SHARDS - 1:06d}}}.tar"


def opened(spec: str, samples: int = SHARDS * EACH, buffer: int = 8) -> StreamSource:
    return open_stream(spec, samples=samples, buffer=buffer, patience=60)


def views(source: StreamSource, **changes) -> StreamedViews:
    keys = {
        "size": 32,
        "crop_scale": (0.3, 1.0),
        "crop_ratio": (0.75, 4 / 3),
        "flip": 0.5,
        "policies": (policy(), policy()),
        "seed": 0,
        "batch_size": 4,
        "workers": 0,
    }
    return StreamedViews(source, **(keys | changes))


@pytest.mark.parametrize("processes", [1, 2, 4, 6])
def test_every_image_once_over_all_processes(pattern, processes) -> None:
    source = opened(pattern)
    for epoch in range(2):
        found = [
            image.key
            for rank in range(processes)
            for image in source.read(seed=3, epoch=epoch, rank=rank, processes=processes)
        ]
        assert Counter(found) == Counter(ALL)


def test_the_order_is_a_function_of_seed_and_epoch(pattern) -> None:
    source = opened(pattern)

    def keys(**place) -> list[str]:
        return [image.key for image in source.read(**place)]

    assert keys(seed=0, epoch=0) == keys(seed=0, epoch=0)
    assert keys(seed=0, epoch=0) != keys(seed=0, epoch=1)
    assert keys(seed=0, epoch=0) != keys(seed=1, epoch=0)


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_do_not_depend_on_the_workers(pattern, workers) -> None:
    source = opened(pattern)
    expected = list(views(source).batches(1, samples=24))
    found = list(views(source, workers=workers).batches(1, samples=24))
    assert [len(batch.indices) for batch in found] == [4] * 6
    for one, other in zip(expected, found, strict=True):
        assert torch.equal(one.indices, other.indices)
        assert all(torch.equal(a, b) for a, b in zip(one.views, other.views, strict=True))
        assert all(torch.equal(a, b) for a, b in zip(one.photometric, other.photometric, strict=True))
    assert len(torch.cat([batch.indices for batch in found]).unique()) == 24


@pytest.mark.parametrize("processes", [1, 2])
def test_going_on_in_the_middle(pattern, processes) -> None:
    source = opened(pattern)
    for rank in range(processes):
        place = {"batch_size": 2, "rank": rank, "processes": processes}
        whole = [batch.indices for batch in views(source, **place).batches(0, samples=24)]
        rest = [batch.indices for batch in views(source, **place).batches(0, samples=24, start=8)]
        assert torch.equal(torch.cat(whole)[8 // processes :], torch.cat(rest))


def test_views_are_a_function_of_the_image_and_the_epoch(pattern) -> None:
    """Whoever reads it: another number of processes cuts an image the same."""
    source = opened(pattern)

    def cuts(processes: int) -> dict[int, np.ndarray]:
        found = {}
        for rank in range(processes):
            for batch in views(source, batch_size=2, rank=rank, processes=processes).batches(0, samples=20):
                found |= {
                    index: view.numpy() for index, view in zip(batch.indices.tolist(), batch.views[0], strict=True)
                }
        return found

    one, two = cuts(1), cuts(2)
    both = one.keys() & two.keys()
    assert len(both) > 8
    for index in both:
        assert np.array_equal(one[index], two[index])


def test_fewer_shards_than_processes(pattern) -> None:
    with pytest.raises(DataError, match=r"has 6 shard\(s\), fewer than the 7 processes"):
        views(opened(pattern), processes=7)


def test_fewer_images_than_promised(pattern) -> None:
    batches = views(opened(pattern, samples=40)).batches(0, samples=40)
    with pytest.raises(RunError, match=r"finds 30 images .* not the 40 .* data\.samples=30"):
        list(batches)


def test_an_image_that_cannot_be_decoded(tmp_path) -> None:
    path = write_tar(tmp_path / "s.tar", [("a.jpg", jpeg(0)), ("b.jpg", b"no image"), ("c.jpg", jpeg(1))])
    source = opened(path.as_uri(), samples=3, buffer=1)
    (batch,) = views(source, batch_size=3).batches(0, samples=3)
    assert batch.bad == [("s.tar:b.jpg", "not an image")]
    assert len(batch.indices) == 3
    assert len(batch.indices.unique()) == 2
    path = write_tar(tmp_path / "t.tar", [("a.jpg", b"x"), ("b.jpg", b"y")])
    with pytest.raises(RunError, match=r"none of 2 images in a row of file://.* can be decoded: t\.tar:"):
        list(views(opened(path.as_uri(), samples=2), batch_size=2).batches(0, samples=2))


class Flaky:
    """A shard that breaks off `failures` times, always after the image before which it did not yet."""

    name = "flaky"

    def __init__(self, failures: int) -> None:
        self.failures = failures

    def read(self):
        for number in range(6):
            if self.failures and number == 3:
                self.failures -= 1
                raise LostError("connection reset")
            yield Stored(str(number), b"")


def test_a_shard_that_breaks_off_is_read_again(monkeypatch) -> None:
    monkeypatch.setattr(stream, "_PAUSES", (0, 0, 0))

    def read(failures: int) -> list[str]:
        source = StreamSource("flaky", [Flaky(failures)], 6, 1, 60, {})
        return sorted(image.key for image in source.read(seed=0, epoch=0))

    assert read(0) == read(3) == [str(number) for number in range(6)]
    with pytest.raises(RunError, match="can't read flaky, in 4 tries: connection reset"):
        read(4)


def test_opening(pattern, tmp_path, monkeypatch) -> None:
    assert is_stream(pattern)
    with pytest.raises(DataError, match=r"whose length is not known: give data\.samples"):
        opened(pattern, samples=0)
    with pytest.raises(DataError, match="can't open file:///.*none"):
        opened(f"file://{tmp_path}/none.tar")
    empty = write_tar(tmp_path / "e.tar", [("a.txt", b"x")])
    with pytest.raises(DataError, match=r"no image in file:///.*e\.tar, the first shard"):
        opened(empty.as_uri())
    for split in ("train", "val"):
        with pytest.raises(DataError, match="a stream, which only"):
            open_source(pattern, split=split)
    monkeypatch.setenv(CONSENT, "1")
    with pytest.raises(DataError, match=r"can't read pipe:… none\.tar: its command ended with status 1"):
        opened(f"pipe:cat {tmp_path}/none.tar")


def test_what_provenance_records_holds_no_secret(pattern) -> None:
    facts = opened(pattern).fingerprint()
    assert (facts["source"], facts["name"], facts["count"]) == ("stream", "train-{000000..000005}.tar", 30)
    assert len(facts["digest"]) == 64
    assert "//" not in str(facts)


def test_a_few_images_at_random(pattern) -> None:
    held = opened(pattern).first(3)
    assert [held.key(index) for index in range(len(held))] == [f"train-000000.tar:{n}.jpg" for n in range(3)]
    assert held.image(0).shape == (3, 32, 40)


def test_nothing_is_read_ahead_of_need(pattern) -> None:
    """Lanes hold a bounded number of images, the buffer its size."""
    read = Counter()

    class Counted:
        name = "counted"

        def read(self):
            for number in range(10_000):
                read["images"] += 1
                yield Stored(str(number), b"")

    source = StreamSource("counted", [Counted(), Counted()], 20_000, 16, 60, {})
    images = source.read(seed=0, epoch=0)
    list(islice(images, 10))
    images.close()
    assert read["images"] <= 2 * (stream._DEPTH + 2) + 2 * 16 + 20


def test_paths_stay_paths(tmp_path) -> None:
    assert not is_stream(str(Path(tmp_path) / "train-{0..1}.tar"))
