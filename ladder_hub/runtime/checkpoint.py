"""The full state of a run: enough to go on to the same bits. Written whole or not at all, newest two kept.

Beside `step_000000100.pt` stands `step_000000100.sha256`, in the format of sha256sum. It is written first: a
checkpoint without one, or with another digest, is not complete.
"""

import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import torch

from ladder_hub.documents import check_regular, plain
from ladder_hub.errors import RunError, UserError
from ladder_hub.weights import file_sha256, write_whole

KEPT = 2


class CheckpointError(UserError):
    """A run that can't be resumed from what it left."""


def save_checkpoint(folder: Path, step: int, state: Mapping[str, Any]) -> Path:
    """Write `state` (tensors and plain types only) as `step_<step>.pt`; older ones but the newest two go.

    Raises:
        RunError: it can't be written (the disk is full, say); those before it stay.
    """
    path = folder / f"step_{step:09d}.pt"
    partial = path.with_suffix(".partial")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _sweep(folder)
        digest = _write(partial, state)
        write_whole(_digest_file(path), [f"{digest}  {path.name}\n".encode()])
        partial.replace(path)
        _sync(folder)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise RunError(f"{path} can't be written ({error.strerror or error}); make room, then resume") from None
    for old in _checkpoints(folder)[:-KEPT]:
        old.unlink()
        _digest_file(old).unlink(missing_ok=True)
    return path


def newest_checkpoint(folder: Path, say: Callable[[str], None] = lambda _: None) -> Path | None:
    """The newest checkpoint that is what was written, or None; `say` is told of those passed over."""
    for path in reversed(_checkpoints(folder)):
        damage = _damage(path)
        if damage is None:
            return path
        say(f"{path} is passed over: {damage}")
    return None


def load_checkpoint(path: Path) -> dict[str, Any]:
    """The state, on the CPU; nothing but tensors and plain types is ever unpickled.

    Raises:
        CheckpointError: the file is cut or is not a checkpoint.
    """
    check_regular(path, CheckpointError)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # torch's own words are long, and tell how to unpickle all
        raise CheckpointError(
            f"{path} can't be read (it is cut, damaged or no checkpoint); delete it to resume from the one before"
        ) from None
    if not isinstance(state, dict):
        raise CheckpointError(f"{path} is no checkpoint of a run; delete it to resume from the one before")
    return state


class _Hashed:
    """A file that digests what passes through it, and keeps the error that torch would put its own before."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.digest = hashlib.sha256()
        self.failure: OSError | None = None

    def write(self, data: bytes) -> int:
        self.digest.update(data)
        try:
            return self._file.write(data)
        except OSError as error:
            self.failure = error
            raise

    def flush(self) -> None:
        self._file.flush()


def _write(path: Path, state: Mapping[str, Any]) -> str:
    with path.open("wb") as file:
        hashed = _Hashed(file)
        try:
            torch.save(dict(state), hashed)  # type: ignore[arg-type]
        except RuntimeError as error:
            raise hashed.failure or error from None
        file.flush()
        os.fsync(file.fileno())
    return hashed.digest.hexdigest()


def _damage(path: Path) -> str | None:
    """What is wrong with a checkpoint, None where nothing is."""
    try:
        for file in (path, _digest_file(path)):
            check_regular(file, CheckpointError)
        with _digest_file(path).open("rb") as digest:
            expected = digest.read(64).decode("ascii")
        found = file_sha256(path)
    except (OSError, UnicodeDecodeError, CheckpointError):
        return "it or its sha256 file can't be read"
    return None if found == expected else f"its sha256 is {found[:12]}…, written was {plain(expected[:12])}…"


def _sweep(folder: Path) -> None:
    """What a killed run left half-written."""
    for pattern in ("*.partial", ".step_*"):
        for stale in folder.glob(pattern):
            stale.unlink()
    for digest in folder.glob("step_*.sha256"):
        if not digest.with_suffix(".pt").exists():
            digest.unlink()


def _sync(folder: Path) -> None:
    """Else a power cut may lose the new name."""
    if hasattr(os, "O_DIRECTORY"):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _checkpoints(folder: Path) -> list[Path]:
    return sorted(folder.glob("step_*.pt"))


def _digest_file(path: Path) -> Path:
    return path.with_suffix(".sha256")
