"""Weights files: safetensors, byte for byte the same for the same tensors.

The safetensors library orders two or more metadata keys at random, so that equal tensors give different
files; the writer here has one order. Reading checks the header before a tensor is touched, and takes
nothing but safetensors.
"""

import hashlib
import json
import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ladder_hub.documents import check_regular, parse_json, shown
from ladder_hub.errors import UserError

_NAMES = {
    torch.float64: "F64",
    torch.int64: "I64",
    torch.float32: "F32",
    torch.int32: "I32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
    torch.uint64: "U64",
    torch.uint32: "U32",
    torch.uint16: "U16",
    torch.float8_e4m3fn: "F8_E4M3",
    torch.float8_e5m2: "F8_E5M2",
}
_DTYPES = {name: dtype for dtype, name in _NAMES.items()}
# The library allows 100 MB, which fill gigabytes once parsed; a network of a thousand tensors has 0.1 MB.
_HEADER_LIMIT = 8 * 2**20
_DIMENSIONS = 64  # numpy's own limit
_BYTES = 2**62


class WeightsError(UserError):
    """A weights file that is not what it says it is."""


def save_canonical(tensors: Mapping[str, Tensor], path: Path, metadata: Mapping[str, str] | None = None) -> None:
    """Write `tensors` so that equal ones give equal bytes, in every process and on every machine.

    Args:
        tensors: Any devices and memory layouts; written contiguous, channels first, dtypes as they are.
        path: Replaced in one step, when the file is complete.
        metadata: Texts for the header, beside `{"format": "pt"}`.
    """
    # Widest dtype first, as the library does, so that every tensor starts aligned.
    names = sorted(tensors, key=lambda name: (-tensors[name].dtype.itemsize, name))
    header: dict[str, Any] = {"__metadata__": {"format": "pt", **(metadata or {})}}
    end = 0
    for name in names:
        start, end = end, end + tensors[name].numel() * tensors[name].dtype.itemsize
        header[name] = {
            "dtype": _NAMES[tensors[name].dtype],
            "shape": list(tensors[name].shape),
            "data_offsets": [start, end],
        }
    text = json.dumps(header, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    write_whole(path, [len(text).to_bytes(8, "little"), text, *(_bytes(tensors[name]) for name in names)])


def tensor_digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of the tensors alone: names, dtypes, shapes and values, whatever file they stand in."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        line = json.dumps([name, _NAMES[tensor.dtype], list(tensor.shape)], separators=(",", ":")).encode()
        digest.update(len(line).to_bytes(8, "little") + line)
        digest.update(_bytes(tensor))
    return digest.hexdigest()


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, as hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def readable_sha256(path: Path) -> str:
    """`file_sha256` of what may be anything: a pipe, a folder, a file of somebody else's.

    Raises:
        WeightsError: it is no regular file, or can't be read.
    """
    check_regular(path, WeightsError)
    try:
        return file_sha256(path)
    except OSError as error:
        raise WeightsError(f"can't read {path}: {error.strerror}") from None


def read_header(path: Path) -> dict[str, Any]:
    """The header of a safetensors file, checked: `{name: {dtype, shape, data_offsets}}` and `__metadata__`.

    Raises:
        WeightsError: it isn't safetensors, or what the header promises is not what the file holds.
    """
    size = check_regular(path, WeightsError)
    length, text = _header_text(path, size)
    try:
        header = parse_json(text.decode("utf-8"))
        _check_metadata(header.get("__metadata__", {}))
        spans = sorted(_span(name, entry) for name, entry in header.items() if name != "__metadata__")
    except UnicodeDecodeError:
        raise WeightsError(f"{path}: {_UNREADABLE} (it is not UTF-8)") from None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise WeightsError(f"{path}: {_UNREADABLE} ({_words(error)})") from None
    _check_cover(path, spans, size - 8 - length)
    return header


def load_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, on the CPU.

    Raises:
        WeightsError: as `read_header`.
    """
    read_header(path)
    try:
        return load_file(path)
    except (SafetensorError, RuntimeError, ValueError, OverflowError) as error:
        raise WeightsError(f"{path}: not a sound safetensors file: {_words(error)}") from None
    except OSError as error:
        raise WeightsError(f"can't read {path}: {error.strerror or _words(error)}") from None


def write_whole(path: Path, chunks: Iterable[bytes | memoryview]) -> None:
    """Write a file that is replaced in one step when it is complete and on the disk, or not at all."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with beside.open("wb") as file:
            for chunk in chunks:
                file.write(chunk)
            file.flush()
            # Else a power cut may leave the new name with nothing behind it.
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _bytes(tensor: Tensor) -> memoryview:
    flat = tensor.detach().cpu().contiguous(memory_format=torch.contiguous_format).reshape(-1)
    if not flat.numel():  # torch views nothing as bytes
        return memoryview(b"")
    bits: Any = flat.view(torch.uint8).numpy()
    return memoryview(bits)


def _refuse_other_formats(path: Path, start: bytes) -> None:
    # The length of an honest header may begin like a pickle, but its upper four bytes are zero.
    magic = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
    if start.startswith(magic) and start[4:] != bytes(4):
        raise WeightsError(f"{path}: holds a pickle, whatever its name; no pickle is trusted, only safetensors")
    if start == b"version ":
        raise WeightsError(f"{path}: a Git LFS pointer, not the weights; fetch them with `git lfs pull`")


_UNREADABLE = "not a safetensors file, or damaged: its header can't be read"


def _header_text(path: Path, size: int) -> tuple[int, bytes]:
    """Nothing is read that the file does not hold, whatever length it claims."""
    try:
        with path.open("rb") as file:
            start = file.read(8)
            length = int.from_bytes(start, "little")
            _refuse_other_formats(path, start)
            if size < 8 or length > size - 8:
                what = "not a safetensors file, or cut short: no room for its header"
                raise WeightsError(f"{path}: {what} in {size} bytes")
            if length > _HEADER_LIMIT:
                raise WeightsError(f"{path}: a header of {length:,} bytes; at most {_HEADER_LIMIT:,} are read")
            return length, file.read(length)
    except OSError as error:
        raise WeightsError(f"can't read {path}: {error.strerror}") from None


def _words(error: Exception) -> str:
    """What a library says, as part of one line."""
    text = " ".join(str(error).split())
    return text if text.isprintable() and len(text) < 200 else shown(text)


def _check_metadata(metadata: Any) -> None:
    if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
        raise ValueError("__metadata__ is no table of texts")


def _span(name: str, entry: dict[str, Any]) -> tuple[int, int, str]:
    start, end = entry["data_offsets"]
    shape = entry["shape"]
    if not isinstance(shape, list) or not all(type(n) is int and 0 <= n < _BYTES for n in (*shape, start, end)):
        raise ValueError(f"{shown(name)} has a shape or place that is no count")
    # An empty tensor may not hide what would overflow; and a product of a million factors takes hours.
    if len(shape) > _DIMENSIONS or math.prod(number or 1 for number in shape) > _BYTES:
        raise ValueError(f"{shown(name)} has a shape that no memory holds")
    if math.prod(shape) * _DTYPES[entry["dtype"]].itemsize != end - start:
        raise ValueError(f"{shown(name)} has another size than its shape says")
    return start, end, name


def _check_cover(path: Path, spans: list[tuple[int, int, str]], size: int) -> None:
    """The tensors must fill the file exactly: nothing hidden between them, none reaching into another."""
    position = 0
    for start, end, name in spans:
        if start != position:
            what = "overlaps the one before it" if start < position else "leaves a gap before it"
            raise WeightsError(f"{path}: damaged: the tensor {shown(name)} {what}")
        position = end
    if position != size:
        what = "cut short" if position > size else "has bytes after its last tensor"
        raise WeightsError(f"{path}: damaged or {what}: tensors take {position} bytes, the file has {size}")
