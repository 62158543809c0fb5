"""The full state of a run: enough to go on to the same bits. Written whole or not at all, newest two kept."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ladder_hub.errors import RunError, UserError

KEPT = 2


class CheckpointError(UserError):
    """A run that can't be resumed from what it left."""


def save_checkpoint(folder: Path, step: int, state: Mapping[str, Any]) -> Path:
    """Write `state` (tensors and plain types only) as `step_<step>.pt`; older ones but the newest two go."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"step_{step:09d}.pt"
    for stale in folder.glob("*.partial"):  # of a killed run
        stale.unlink()
    partial = path.with_suffix(".partial")
    try:
        with partial.open("wb") as file:
            torch.save(dict(state), file)
            file.flush()
            os.fsync(file.fileno())
    except (OSError, RuntimeError) as error:  # torch wraps some write errors
        partial.unlink(missing_ok=True)
        raise RunError(f"{path} can't be written ({str(error).splitlines()[0]}); make room, then resume") from None
    partial.replace(path)
    for old in _checkpoints(folder)[:-KEPT]:
        old.unlink()
    return path


def newest_checkpoint(folder: Path) -> Path | None:
    """The newest complete checkpoint of a run, or None."""
    return next(reversed(_checkpoints(folder)), None)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """The state, on the CPU; nothing but tensors and plain types is ever unpickled.

    Raises:
        CheckpointError: the file is cut or is not a checkpoint.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(f"{path} can't be read ({reason}); delete it to resume from the one before") from None


def _checkpoints(folder: Path) -> list[Path]:
    return sorted(folder.glob("step_*.pt"))
