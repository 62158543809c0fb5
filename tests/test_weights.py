import hashlib
import json
import os
import struct

import pytest
import safetensors
import safetensors.torch
import torch
from artifact_factory import python
from hypothesis import given, settings
from hypothesis import strategies as st

from ladder_hub.weights import (
    WeightsError,
    file_sha256,
    load_tensors,
    read_header,
    readable_sha256,
    save_canonical,
    tensor_digest,
    write_whole,
)

DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.uint8, torch.bool]


def some_tensors() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "conv.weight": torch.randn(4, 3, 3, 3, generator=generator),
        "bn.num_batches_tracked": torch.tensor(7),
        "bn.bias": torch.randn(5, generator=generator).half(),
    }


@given(
    st.dictionaries(
        st.text(st.characters(blacklist_categories=["Cs"]), min_size=1, max_size=8).filter(
            lambda name: name != "__metadata__"
        ),
        st.tuples(st.sampled_from(DTYPES), st.lists(st.integers(0, 4), max_size=3)),
        max_size=5,
    ),
    st.dictionaries(st.sampled_from(["a", "b", "c"]), st.text(st.characters(blacklist_categories=["Cs"]))),
)
@settings(max_examples=60, deadline=None)
def test_the_safetensors_library_reads_what_is_written(tmp_path_factory, plan, metadata):
    path = tmp_path_factory.mktemp("weights") / "model.safetensors"
    tensors = {name: torch.randint(0, 2, shape).to(dtype) for name, (dtype, shape) in plan.items()}
    save_canonical(tensors, path, metadata)
    with safetensors.safe_open(path, "pt") as file:
        assert file.metadata() == {"format": "pt", **metadata}
        assert set(file.keys()) == set(tensors)
        for name, tensor in tensors.items():
            assert file.get_tensor(name).dtype == tensor.dtype
            assert torch.equal(file.get_tensor(name), tensor)
    assert tensor_digest(load_tensors(path)) == tensor_digest(tensors)


def test_equal_tensors_give_equal_bytes_in_every_process_order_and_memory_format(tmp_path):
    code = """
import sys, torch
from pathlib import Path
from safetensors.torch import load_file
from ladder_hub.weights import save_canonical
tensors = dict(reversed(load_file(sys.argv[1]).items()))
tensors["conv.weight"] = tensors["conv.weight"].to(memory_format=torch.channels_last)
save_canonical(tensors, Path(sys.argv[2]), {"b": "2", "a": "1", "c": "3"})
"""
    save_canonical(some_tensors(), tmp_path / "here", {"a": "1", "b": "2", "c": "3"})
    safetensors.torch.save_file(some_tensors(), tmp_path / "source")
    python(code, tmp_path / "source", tmp_path / "there", cwd=tmp_path, PYTHONHASHSEED="5")
    assert (tmp_path / "here").read_bytes() == (tmp_path / "there").read_bytes()


def test_the_digest_is_of_the_tensors_alone(tmp_path):
    tensors = some_tensors()
    digest = tensor_digest(tensors)
    safetensors.torch.save_file(tensors, tmp_path / "other", metadata={"made": "elsewhere"})
    assert tensor_digest(load_tensors(tmp_path / "other")) == digest
    assert tensor_digest(dict(reversed(tensors.items()))) == digest
    weight = tensors["conv.weight"]
    for other in (
        {**tensors, "conv.weight": weight.nextafter(torch.tensor(9.0))},
        {**tensors, "conv.weight": weight.reshape(3, 4, 3, 3)},
        {**tensors, "conv.weight": weight.view(torch.int32)},
        {"conv.weigh": weight, **{k: v for k, v in tensors.items() if k != "conv.weight"}},
        {k: v for k, v in tensors.items() if k != "bn.bias"},
    ):
        assert tensor_digest(other) != digest


def test_the_digest_does_not_change_between_releases():
    # Published digests stand in configs and cards: this constant may never be edited.
    tensors = {"a": torch.arange(6, dtype=torch.float32).reshape(2, 3), "b": torch.tensor(3)}
    expected = hashlib.sha256()
    for line, data in (
        (b'["a","F32",[2,3]]', struct.pack("<6f", *range(6))),
        (b'["b","I64",[]]', struct.pack("<q", 3)),
    ):
        expected.update(struct.pack("<Q", len(line)) + line + data)
    assert tensor_digest(tensors) == expected.hexdigest()


def test_file_sha256_is_hashlibs(tmp_path):
    (tmp_path / "x").write_bytes(b"ladder" * 100_000)
    assert file_sha256(tmp_path / "x") == hashlib.sha256(b"ladder" * 100_000).hexdigest()


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"old")

    def chunks():
        yield b"new"
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_whole(path, chunks())
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_is_on_the_disk_before_it_takes_the_name(tmp_path, monkeypatch):
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"old")
    synced = []
    monkeypatch.setattr(os, "fsync", lambda file: synced.append((os.fstat(file).st_size, path.read_bytes())))
    write_whole(path, [b"new", b"er"])
    assert synced == [(5, b"old")]
    assert path.read_bytes() == b"newer"


def raw(header: object, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(start: int, end: int, shape=(1,), dtype="F32") -> dict:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}


NO_ROOM = "not a safetensors file, or cut short: no room for its header in"
UNREADABLE = "not a safetensors file, or damaged: its header can't be read"
POINTER = b"version https://git-lfs.github.com/spec/v1\n"
NOTHING = b'"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}'
DAMAGED = {
    "empty": (b"", f"{NO_ROOM} 0 bytes"),
    "no header": (struct.pack("<Q", 50) + b"{}", f"{NO_ROOM} 10 bytes"),
    "absurd header": (b"\xff" * 64, f"{NO_ROOM} 64 bytes"),
    "not JSON": (raw(b"[1, 2"), f"{UNREADABLE} ("),
    "not a table": (raw([1, 2]), f"{UNREADABLE} ("),
    "not UTF-8": (raw(b'{"\xff": 1}'), f"{UNREADABLE} ("),
    "a name twice": (raw(b"{" + NOTHING + b"," + NOTHING + b"}"), f"{UNREADABLE} (a name stands twice)"),
    "other dtype": (raw({"a": entry(0, 4, dtype="F3")}, bytes(4)), f"{UNREADABLE} ('F3')"),
    "negative shape": (
        raw({"a": entry(0, 4, (-1, -1))}, bytes(4)),
        "('a' has a shape or place",
    ),
    "wrong size": (raw({"a": entry(0, 4, (2,))}, bytes(4)), "('a' has another size than its shape says)"),
    "overlap": (raw({"a": entry(0, 4), "b": entry(0, 4)}, bytes(8)), "tensor 'b' overlaps the one before it"),
    "gap": (raw({"a": entry(0, 4), "b": entry(8, 12)}, bytes(12)), "tensor 'b' leaves a gap before it"),
    "cut short": (raw({"a": entry(0, 4)}, bytes(3)), "or cut short: tensors take 4 bytes, the file has 3"),
    "more behind": (
        raw({"a": entry(0, 4)}, bytes(5)),
        "or has bytes after its last tensor: tensors",
    ),
    "LFS pointer": (POINTER, "a Git LFS pointer, not the weights; fetch them with `git lfs pull`"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_file_is_refused_in_one_line(case, tmp_path):
    data, text = DAMAGED[case]
    path = tmp_path / "model.safetensors"
    path.write_bytes(data)
    with pytest.raises(WeightsError) as error:
        load_tensors(path)
    assert str(error.value).startswith(f"{path}: ")
    assert text in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("new_format", [True, False])
def test_a_pickle_under_the_name_of_safetensors_is_refused_unopened(new_format, tmp_path):
    path = tmp_path / "model.safetensors"
    torch.save(some_tensors(), path, _use_new_zipfile_serialization=new_format)
    with pytest.raises(WeightsError) as error:
        read_header(path)
    assert str(error.value) == f"{path}: holds a pickle, whatever its name; no pickle is trusted, only safetensors"


@pytest.mark.parametrize("length", [0x0280, 0x030280])
def test_a_header_whose_length_begins_like_a_pickle_is_none(length, tmp_path):
    path = tmp_path / "model.safetensors"
    text = json.dumps({"a": entry(0, 4)}).encode().ljust(length)
    path.write_bytes(struct.pack("<Q", length) + text + bytes(4))
    assert load_tensors(path)["a"].tolist() == [0.0]


@given(st.binary(max_size=64), st.integers(0, 200))
@settings(max_examples=100, deadline=None)
def test_no_bytes_crash_the_reader(tmp_path_factory, data, position):
    path = tmp_path_factory.mktemp("weights") / "model.safetensors"
    save_canonical(some_tensors(), path)
    whole = path.read_bytes()
    path.write_bytes(whole[:position] + data + whole[position + len(data) :])
    refusal = ""
    try:
        header = read_header(path)
        assert set(load_tensors(path)) == header.keys() - {"__metadata__"}
    except WeightsError as error:
        refusal = str(error)
    assert "\n" not in refusal


def test_unsigned_and_eight_bit_numbers_have_a_digest(tmp_path):
    tensors = {"a": torch.tensor([1, 2], dtype=torch.uint16), "b": torch.tensor([0.5]).to(torch.float8_e4m3fn)}
    safetensors.torch.save_file(tensors, tmp_path / "m.safetensors")
    save_canonical(tensors, tmp_path / "ours.safetensors")
    digests = [tensor_digest(load_tensors(tmp_path / name)) for name in ("m.safetensors", "ours.safetensors")]
    assert digests == [tensor_digest(tensors)] * 2


HOSTILE = {
    "nested": (b"[" * 100_000, "(it is nested too deeply)"),
    "many dimensions": (
        b'{"a":{"dtype":"F32","shape":[%s9],"data_offsets":[0,4]}}' % (b"9999999999," * 10**5),
        "('a' has a shape that no memory holds)",
    ),
    "an empty tensor of overflowing dimensions": (
        b'{"a":{"dtype":"F32","shape":[0,4611686018427387903,8],"data_offsets":[0,0]}}',
        "('a' has a shape that no memory holds)",
    ),
    "another encoding": ('{"a":1}'.encode("utf-16"), "(it is not UTF-8)"),
    "metadata of numbers": (b'{"__metadata__":{"format":3}}', "(__metadata__ is no table of texts)"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_header_is_refused_before_it_costs_anything(case, tmp_path):
    header, text = HOSTILE[case]
    path = tmp_path / "model.safetensors"
    path.write_bytes(raw(header))
    with pytest.raises(WeightsError) as error:
        load_tensors(path)
    assert str(error.value) == f"{path}: {UNREADABLE} {text}"


def test_a_header_longer_than_any_networks_is_not_read(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(struct.pack("<Q", 10**8))
    os.truncate(path, 2 * 10**8)
    with pytest.raises(WeightsError) as error:
        read_header(path)
    assert str(error.value) == f"{path}: a header of 100,000,000 bytes; at most 8,388,608 are read"


def test_what_is_no_file_is_refused_without_opening_it(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    expected = {
        "pipe": "it is a pipe or a device, not a file",
        ".": "it is a folder, not a file",
        "absent": "No such file or directory",
    }
    for name, text in expected.items():
        for read in (read_header, load_tensors, readable_sha256):
            with pytest.raises(WeightsError) as error:
                read(tmp_path / name)
            assert str(error.value) == f"can't read {tmp_path / name}: {text}"
