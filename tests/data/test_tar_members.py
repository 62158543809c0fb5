"""A shard read forwards, from what can't be sought, gives what random access gives."""

import io
import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import jpeg, write_tar

from ladder_hub.data.image_source import DataError
from ladder_hub.data.tar_members import CutShortError, LostError, TarReader, members, samples


class Forward:
    """A stream that gives at most `most` bytes at once, and can't go back."""

    def __init__(self, data: bytes, most: int = 2**20) -> None:
        self._file = io.BytesIO(data)
        self._most = most

    def seekable(self) -> bool:
        return False

    def read(self, size: int) -> bytes:
        return self._file.read(min(size, self._most))


def read(stream) -> list[tuple[str, str, bytes, int]]:
    reader = TarReader(stream, "s.tar")

    def keep(sample, member) -> None:
        sample.data = reader.content(member, 2**20)

    def label(sample, member) -> None:
        sample.label = int(reader.content(member, 32))

    found = samples(members(reader), on_image=keep, on_class=label)
    return [(sample.key, sample.image.name, sample.data, sample.label) for sample in found]


names = st.sampled_from(["a.jpg", "a.cls", "a.depth.png", "b.png", "b.txt", "c.jpg", "c.cls", "x/d.jpg", "README"])


@settings(max_examples=60, deadline=None)
@given(members=st.lists(st.tuples(names, st.integers(0, 1600)), max_size=8), most=st.sampled_from([1, 100, 512, 2**20]))
def test_forwards_is_as_at_random(members, most, tmp_path_factory) -> None:
    held = [(name, b"7" if name.endswith("cls") else bytes([size % 251]) * size) for name, size in members]
    path = write_tar(tmp_path_factory.mktemp("shard") / "s.tar", held)
    with path.open("rb") as file:
        expected = read(file)
    assert read(Forward(path.read_bytes(), most)) == expected
    assert len(expected) == len(read(io.BytesIO(path.read_bytes())))
    for _, name, data, _ in expected:
        assert (name, data) in held


def test_a_plain_image_wins_over_one_with_more_endings(tmp_path) -> None:
    path = write_tar(tmp_path / "s.tar", [("a.depth.png", b"1"), ("a.jpg", b"2"), ("a.png", b"3"), ("a.cls", b"4")])
    assert read(Forward(path.read_bytes())) == [("a", "a.jpg", b"2", 4)]


@pytest.mark.parametrize("length", range(0, 3584, 256))
def test_a_stream_that_ends_early(tmp_path, length) -> None:
    whole = write_tar(tmp_path / "s.tar", [("a.jpg", b"x" * 600), ("b.jpg", b"y" * 600)]).read_bytes()
    with pytest.raises(DataError) as caught:
        read(Forward(whole[:length]))
    assert isinstance(caught.value, CutShortError) == (length >= 512)  # shorter ones are no tar at all
    assert "\n" not in str(caught.value)


def test_the_padding_of_a_whole_shard_may_be_missing(tmp_path) -> None:
    whole = write_tar(tmp_path / "s.tar", [("a.jpg", jpeg(0))]).read_bytes()
    assert len(whole) == 10240
    end = len(whole.rstrip(b"\0")) // 512 * 512 + 1024
    assert read(Forward(whole[:end])) == read(Forward(whole))


def test_a_stream_that_breaks_off_says_so_itself(tmp_path) -> None:
    class Broken(Forward):
        def read(self, size: int) -> bytes:
            if self._file.tell() > 1000:
                raise LostError("connection reset")
            return super().read(size)

    whole = write_tar(tmp_path / "s.tar", [("a.jpg", b"x" * 600), ("b.jpg", b"y" * 600)]).read_bytes()
    with pytest.raises(LostError, match="connection reset"):
        read(Broken(whole))


def test_an_absurd_size_takes_no_memory() -> None:
    info = tarfile.TarInfo("a.jpg")
    info.size = 2**60
    reader = TarReader(Forward(info.tobuf(tarfile.GNU_FORMAT) + b"x" * 2000), "s.tar")

    def keep(sample, member) -> None:
        sample.data = reader.content(member, 2**28)

    with pytest.raises(CutShortError, match="cut short"):
        list(samples(members(reader), on_image=keep))
    info.size = 2**63
    with pytest.raises(DataError, match=r"s\.tar is damaged after byte 0: a size of 9223372036854775808 bytes"):
        list(members(TarReader(Forward(info.tobuf(tarfile.GNU_FORMAT) + b"x" * 2000), "s.tar")))
