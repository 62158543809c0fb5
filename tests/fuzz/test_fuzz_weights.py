"""Weights and checkpoints: tensors, or one line that names the file; nothing is run, and no memory taken on trust."""

import json
import os
import pickle
import struct
import zipfile

import pytest
import torch
from fuzzing import Tally, at_most_megabytes, at_most_seconds, bounded, check_message, make_odd
from hypothesis import given
from hypothesis import strategies as st

from ladder_hub.runtime.checkpoint import CheckpointError, load_checkpoint, newest_checkpoint, save_checkpoint
from ladder_hub.weights import WeightsError, load_tensors, read_header, save_canonical, tensor_digest

TENSORS = {
    "conv.weight": torch.arange(24, dtype=torch.float32).reshape(2, 3, 2, 2),
    "bn.num_batches_tracked": torch.tensor(7),
    "bn.bias": torch.arange(5).half(),
    "mask": torch.ones(3, dtype=torch.bool),
}


@pytest.fixture
def good(tmp_path):
    path = tmp_path / "model.safetensors"
    save_canonical(TENSORS, path, {"made": "here"})
    return path


def raw(header: bytes, data: bytes = b"") -> bytes:
    return struct.pack("<Q", len(header)) + header + data


def check_file(tally: Tally, path) -> None:
    """What the header promises is what the library gives; and the digest of what was loaded can be taken."""
    header = tally.run(lambda: read_header(path), path)
    tensors = tally.run(lambda: load_tensors(path), path)
    if tensors is not None:
        assert tensors.keys() == header.keys() - {"__metadata__"}
        assert all(list(tensors[name].shape) == header[name]["shape"] for name in tensors)
        assert len(tensor_digest(tensors)) == 64


# -- safetensors --

NUMBERS = st.one_of(
    st.integers(-2, 40),
    st.sampled_from([2**31, 2**32, 2**62, 2**63, 2**64, 10**30, True, False, 1.0, 1e300, None, "4", [], float("nan")]),
)
DTYPES = st.one_of(
    st.sampled_from(
        ["F32", "F64", "F16", "BF16", "I64", "U8", "BOOL", "U16", "U64", "F8_E4M3", "F8_E5M2", "C64", "F4", ""]
    ),
    st.sampled_from([None, 3, [], {}, "x" * 3000, "a\nb"]),
)
ENTRIES = st.one_of(
    st.fixed_dictionaries(
        {
            "dtype": DTYPES,
            "shape": st.one_of(st.lists(NUMBERS, max_size=4), NUMBERS),
            "data_offsets": st.one_of(
                st.lists(NUMBERS, min_size=2, max_size=2), st.lists(NUMBERS, max_size=3), NUMBERS
            ),
        },
        optional={"more": NUMBERS},
    ),
    st.sampled_from([None, 3, [], {}, "x", {"dtype": "F32"}]),
)
NAMES = st.one_of(st.sampled_from(["a", "b", "__metadata__", "", "\ud800", "a\nb", "x" * 3000]), st.text(max_size=5))
METADATA = st.sampled_from(
    [None, 3, [], {}, {"format": "pt"}, {"format": 3}, {"a": None}, {"a": {"b": "c"}}, {"a\n": "\n"}]
)


def test_any_header(tmp_path):
    path, tally = tmp_path / "m.safetensors", Tally()

    @bounded(500)
    @given(st.dictionaries(NAMES, ENTRIES, max_size=3), st.one_of(st.none(), METADATA), st.integers(0, 40))
    def run(header, metadata, size):
        table = header if metadata is None else header | {"__metadata__": metadata}
        path.write_bytes(raw(json.dumps(table).encode(), bytes(size)))
        check_file(tally, path)

    run()
    assert tally.refused > 300


def test_headers_that_are_nearly_right(tmp_path):
    """Consistent ones of every kind, so that much is taken, with at most one number changed."""
    path, tally = tmp_path / "m.safetensors", Tally()
    sizes = {
        "F32": 4,
        "F16": 2,
        "BF16": 2,
        "I64": 8,
        "U8": 1,
        "BOOL": 1,
        "U16": 2,
        "U32": 4,
        "U64": 8,
        "F8_E4M3": 1,
        "F8_E5M2": 1,
    }
    plans = st.lists(st.tuples(st.sampled_from(sorted(sizes)), st.lists(st.integers(0, 3), max_size=3)), max_size=4)

    @bounded(400)
    @given(plans, st.booleans(), st.data())
    def run(plan, whole, data):
        header, end = {}, 0
        for number, (dtype, shape) in enumerate(plan):
            start, end = end, end + sizes[dtype] * torch.Size(shape).numel()
            header[f"t{number}"] = {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}
        if header and not whole:
            entry = header[data.draw(st.sampled_from(sorted(header)))]
            numbers = entry[data.draw(st.sampled_from(["shape", "data_offsets"]))]
            if numbers:
                numbers[data.draw(st.integers(0, len(numbers) - 1))] = data.draw(NUMBERS)
        path.write_bytes(raw(json.dumps(header).encode(), bytes(end)))
        check_file(tally, path)

    run()
    assert tally.accepted > 100
    assert tally.refused > 50


def test_bits_flipped_and_bytes_replaced(good):
    whole, tally = good.read_bytes(), Tally()

    @bounded(300)
    @given(st.integers(0, 8 * len(whole) - 1), st.one_of(st.none(), st.binary(max_size=20)))
    def run(bit, data):
        place = bit // 8
        new = bytes([whole[place] ^ 1 << bit % 8]) if data is None else data
        good.write_bytes(whole[:place] + new + whole[place + len(new) :])
        check_file(tally, good)

    run()
    assert tally.accepted > 20
    assert tally.refused > 100


def test_cut_at_every_byte(good):
    whole, tally = good.read_bytes(), Tally()
    for length in range(len(whole)):
        good.write_bytes(whole[:length])
        tally.run(lambda: load_tensors(good), good)
    assert tally.refused == len(whole) > 400


@pytest.mark.parametrize("length", [10**8, 10**8 + 1, 10**10, 2**63 - 1, 2**63, 2**64 - 1])
@pytest.mark.parametrize("real", [False, True])
def test_a_header_of_absurd_length_is_not_read(tmp_path, length, real):
    path = tmp_path / "m.safetensors"
    path.write_bytes(struct.pack("<Q", length) + b"{}")
    if real and length < 10**9:
        with path.open("r+b") as file:  # a hole: the file has these bytes, the disk does not
            file.truncate(length + 100)
    with at_most_megabytes(4), pytest.raises(WeightsError) as error:
        load_tensors(path)
    check_message(str(error.value), path)


BOMBS = {
    "deep lists": b"[" * 100_000,
    "deep tables": b'{"a":' * 50_000,
    "deep and closed": b'{"a":' + b"[" * 500 + b"]" * 500 + b"}",
    "a shape of a hundred thousand dimensions": b'{"a":{"dtype":"F32","shape":[%s9],"data_offsets":[0,4]}}'
    % (b"9999999999," * 10**5),
    "dimensions that overflow": b'{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}}',
    "nothing times much": b'{"a":{"dtype":"F32","shape":[0%s],"data_offsets":[0,0]}}' % (b",9223372036854775807" * 2),
    "a number of thousands of digits": b'{"a":{"dtype":"F32","shape":[%s],"data_offsets":[0,4]}}' % (b"9" * 100_000),
    "UTF-16": '{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}'.encode("utf-16"),
    "a byte order mark": b'\xef\xbb\xbf{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}',
    "not a number": b'{"a":{"dtype":"U8","shape":[NaN],"data_offsets":[0,0]}}',
    "metadata twice": b'{"__metadata__":{},"__metadata__":{}}',
    "metadata of no texts": b'{"__metadata__":{"format":3}}',
}


@pytest.mark.parametrize("case", BOMBS)
def test_a_header_that_is_a_bomb(tmp_path, case):
    path = tmp_path / "m.safetensors"
    path.write_bytes(raw(BOMBS[case]))
    with at_most_megabytes(64), at_most_seconds(10), pytest.raises(WeightsError) as error:
        load_tensors(path)
    check_message(str(error.value), path)


class Payload:
    """A pickle that makes a file where it is unpickled."""

    def __init__(self, path) -> None:
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("form", ["pickle", "zip", "torch", "old torch"])
def test_a_pickle_with_a_payload_never_runs(tmp_path, protocol, form):
    mark = tmp_path / "ran"
    path = tmp_path / "step_000000001.pt"
    payload = {"weights": torch.zeros(3), "evil": Payload(mark)} if "torch" in form else Payload(mark)
    if form == "pickle":
        path.write_bytes(pickle.dumps(payload, protocol))
    elif form == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", pickle.dumps(payload, protocol))
            archive.writestr("archive/version", "3")
    else:
        torch.save(payload, path, pickle_protocol=max(protocol, 2), _use_new_zipfile_serialization=form == "torch")
    tally = Tally()
    tally.run(lambda: load_tensors(path), path)
    tally.run(lambda: load_checkpoint(path), path)
    assert tally.refused == 2
    assert newest_checkpoint(tmp_path) is None
    assert not mark.exists()
    if form == "pickle":
        # The check can fail: whoever unpickles it runs it.
        pickle.loads(path.read_bytes())
        assert mark.exists()


@pytest.mark.parametrize("kind", ["pipe", "folder", "loop", "device", "empty", "absent"])
def test_weights_that_are_no_file(tmp_path, kind):
    path, tally = tmp_path / "m.safetensors", Tally()
    make_odd(path, kind)
    tally.run(lambda: read_header(path), path)
    tally.run(lambda: load_tensors(path), path)
    assert tally.refused == 2


@pytest.mark.parametrize("denied", ["read_header", "load_file"])
def test_weights_that_may_not_be_read(good, monkeypatch, denied):
    """By the system's answer: who runs the tests as root may read everything."""

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied", str(good))

    target = "pathlib.Path.open" if denied == "read_header" else "ladder_hub.weights.load_file"
    monkeypatch.setattr(target, refuse)
    with pytest.raises(WeightsError) as error:
        load_tensors(good)
    assert str(error.value) == f"can't read {good}: Permission denied"


# -- checkpoints --

pytestmark = pytest.mark.filterwarnings("ignore:Detected pickle protocol")

STATE = {"step": 3, "model": {"weight": torch.arange(50.0)}, "rng": [torch.zeros(4, dtype=torch.uint8)], "recipe": "x"}


def test_a_spoilt_checkpoint_is_refused_or_passed_over(tmp_path):
    path = save_checkpoint(tmp_path, 3, STATE)
    whole, tally = path.read_bytes(), Tally()

    @bounded(200)
    @given(st.integers(0, len(whole)), st.binary(max_size=30), st.booleans())
    def run(place, data, cut):
        spoiled = whole[:place] + data + (b"" if cut else whole[place + len(data) :])
        path.write_bytes(spoiled)
        state = tally.run(lambda: load_checkpoint(path), path)
        assert state is None or isinstance(state, dict)
        # Only what is as it was written counts as the newest one.
        assert newest_checkpoint(tmp_path) == (path if spoiled == whole else None)

    run()
    assert tally.accepted > 0
    assert tally.refused > 100


def test_any_bytes_as_a_checkpoint(tmp_path):
    path, tally = tmp_path / "step_000000001.pt", Tally()
    starts = st.sampled_from(
        [b"", b"PK\x03\x04", b"\x80\x02", b"\x80\x05", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."]
    )

    @bounded(200)
    @given(starts, st.binary(max_size=80))
    def run(start, data):
        path.write_bytes(start + data)
        tally.run(lambda: load_checkpoint(path), path)

    run()
    assert tally.refused > 150


def test_a_spoilt_checkpoint_is_told_in_our_words(tmp_path):
    path = save_checkpoint(tmp_path, 3, STATE)
    whole = path.read_bytes()
    path.write_bytes(whole[:112] + b"\0" + whole[113:])
    with pytest.raises(CheckpointError) as error:
        load_checkpoint(path)
    check_message(str(error.value), path)


@pytest.mark.parametrize("state", [[1, 2], 3, None, torch.zeros(3)])
def test_a_checkpoint_of_something_else(tmp_path, state):
    path = tmp_path / "step_000000001.pt"
    torch.save(state, path)
    with pytest.raises(CheckpointError, match="is no checkpoint of a run"):
        load_checkpoint(path)


@pytest.mark.parametrize("kind", ["folder", "loop", "empty", "absent", "pipe", "device"])
def test_a_checkpoint_that_is_no_file(tmp_path, kind):
    path, tally = tmp_path / "step_000000001.pt", Tally()
    make_odd(path, kind)
    tally.run(lambda: load_checkpoint(path), path)
    assert tally.refused == 1


@pytest.mark.parametrize(
    "digest", [b"", b"\xff\xfe", b"\n", b"0" * 64, b"x" * 10_000, b"\x1b[2J\x00 x", b"a\x07", None]
)
def test_a_spoilt_digest_passes_a_checkpoint_over(tmp_path, digest):
    path = save_checkpoint(tmp_path, 3, STATE)
    assert newest_checkpoint(tmp_path) == path
    beside = path.with_suffix(".sha256")
    beside.unlink()
    if digest is not None:
        beside.write_bytes(digest)
    said = []
    assert newest_checkpoint(tmp_path, said.append) is None
    check_message(said[0], path)
