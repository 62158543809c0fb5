"""Somebody else's file of tensors, read without trusting it: safetensors, torch's own format, NumPy's .npz.

What a file is, its first bytes say, not its name. Torch's format is a pickle inside: it is read by torch's restricted
reader (`weights_only=True`), which builds tensors and plain containers and calls nothing that the file names.
"""

import argparse
import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ladder_hub.documents import check_regular, shown
from ladder_hub.formats import FormatError
from ladder_hub.weights import load_tensors, readable_sha256

_ZIP = b"PK\x03\x04"
_LEGACY_TORCH = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # the number that torch.save wrote first until 1.6
_PROTOCOLS = (b"\x02", b"\x03", b"\x04", b"\x05")  # of pickles; safetensors has its brace after eight bytes
_LARGEST = 2**34  # bytes that an .npz may unpack to: a ResNet-200 (4x) has a tenth of it
_DEPTH = 12


@dataclass(frozen=True)
class Checkpoint:
    """What a file holds: tables of tensors, one in another."""

    path: Path
    sha256: str
    content: Mapping[str, Any]

    def table(self, inside: str) -> dict[str, Tensor]:
        """The tensors that stand directly in the table `inside` (dotted; "" is the file itself); {} where none is."""
        found: Any = self.content
        for name in inside.split(".") if inside else ():
            found = found.get(name) if isinstance(found, Mapping) else None
        if not isinstance(found, Mapping):
            return {}
        return {name: value for name, value in found.items() if isinstance(name, str) and isinstance(value, Tensor)}

    def elsewhere(self, inside: str) -> dict[str, int]:
        """How many tensors lie outside the table `inside`, by the first name that is not on the way to it."""
        way = inside.split(".") if inside else []
        counts: dict[str, int] = {}
        for names in _places(self.content, (), set()):
            if names[:-1] != tuple(way):
                strange = next(
                    (name for name, step in zip(names, [*way, None], strict=False) if name != step), names[0]
                )
                counts[strange] = counts.get(strange, 0) + 1
        return counts


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a file of tensors.

    Raises:
        FormatError: it is a pickle of something else, needs more than tensors and plain containers, or is damaged.
        WeightsError: it claims to be safetensors and is not sound.
    """
    check_regular(path, FormatError)
    sha256 = readable_sha256(path)
    with path.open("rb") as file:
        start = file.read(len(_LEGACY_TORCH))
        file.seek(257)
        is_tar = file.read(5) == b"ustar"
    if is_tar:
        raise FormatError(f"{path}: a tar archive, not a file of tensors; unpack it first")
    if start.startswith(_ZIP):
        content = _read_zip(path)
    elif start == _LEGACY_TORCH:
        content = _read_torch(path)
    elif start[:1] == b"\x80" and start[1:2] in _PROTOCOLS and start[8:9] != b"{":
        raise FormatError(f"{path}: {_PICKLE}")
    else:
        content = dict(load_tensors(path))
    if not isinstance(content, Mapping):
        raise FormatError(f"{path}: holds a {type(content).__name__}, not a table of tensors")
    return Checkpoint(path, sha256, content)


_PICKLE = (
    "a plain pickle; reading one runs the code in it, and no pickle is trusted; where you trust it, save its arrays "
    "with numpy.savez (docs/interop.md shows how) and import the .npz"
)


def _read_zip(path: Path) -> Any:
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise FormatError(f"{path}: damaged or cut short: {error}") from None
    if any(member.filename.endswith("/data.pkl") for member in members):
        return _read_torch(path)
    if not members or not all(member.filename.endswith(".npy") for member in members):
        raise FormatError(f"{path}: a zip archive with neither torch's nor NumPy's tensors in it")
    if sum(member.file_size for member in members) > _LARGEST:
        raise FormatError(f"{path}: unpacks to more than {_LARGEST:,} bytes, which no backbone has")
    return _read_npz(path)


def _read_npz(path: Path) -> dict[str, Tensor]:
    tensors = {}
    name = ""
    try:
        with np.load(path, allow_pickle=False) as archive:
            for name in archive.files:
                tensors[name] = torch.from_numpy(np.asarray(archive[name], order="C"))
    except (ValueError, TypeError, OSError, MemoryError, EOFError, zipfile.BadZipFile) as error:
        raise FormatError(f"{path}: the array {shown(name)} can't be read: {_first_line(error)}") from None
    return tensors


def _read_torch(path: Path) -> Any:
    try:
        # A Namespace (the arguments of a training script) is a bag of names: filling it runs nothing.
        # As an open file: by a path's suffix torch would choose another reader.
        with torch.serialization.safe_globals([argparse.Namespace]), path.open("rb") as file:
            return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a hostile or damaged file trips the reader over
        raise FormatError(f"{path}: {_refusal(str(error)) or f'torch cannot read it: {_first_line(error)}'}") from None


def _refusal(message: str) -> str:
    """Why the restricted reader stopped, where it was for a name that it may not load."""
    named = re.search(r"GLOBAL ([\w.]+)", message)
    if not named and "eights only load failed" not in message and "weights_only" not in message:
        return ""
    what = (
        f"it holds {named[1][:80]}"
        if named
        else _first_line(ValueError(message.removeprefix("Weights only load failed.")))
    )
    return (
        f"needs more than tensors to be read: {what}, and no pickle is trusted; where you trust the file, save its "
        "tensors alone: torch.save(torch.load(FILE, weights_only=False)['state_dict'], 'tensors.pth')"
    )


def _first_line(error: Exception) -> str:
    text = (str(error).strip() or type(error).__name__).splitlines()[0]
    return text[:200] if text.isprintable() else shown(text)


def _places(table: Mapping[Any, Any], way: tuple[str, ...], seen: set[int]) -> Iterator[tuple[str, ...]]:
    """Where the tensors of a table and of the tables and lists in it stand; a table that holds itself has no end."""
    seen.add(id(table))
    for name, value in table.items():
        here = (*way, str(name))
        if isinstance(value, Tensor):
            yield here
        elif len(here) < _DEPTH and isinstance(value, Mapping | list | tuple) and id(value) not in seen:
            seen.add(id(value))
            yield from _places(value if isinstance(value, Mapping) else dict(enumerate(value)), here, seen)
