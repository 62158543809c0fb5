"""Checkpoints are whole or absent, and never a way to run code."""

import errno
import os
import pickle
import subprocess
from pathlib import Path

import pytest
import torch

from ladder_hub.errors import RunError
from ladder_hub.runtime.checkpoint import CheckpointError, load_checkpoint, newest_checkpoint, save_checkpoint


def test_newest_two_are_kept(tmp_path) -> None:
    for step in (5, 90, 10000):
        save_checkpoint(tmp_path, step, {"step": step, "weights": torch.arange(3)})
    assert sorted(path.name for path in tmp_path.glob("*.pt")) == ["step_000000090.pt", "step_000010000.pt"]
    assert len(list(tmp_path.iterdir())) == 4
    state = load_checkpoint(newest_checkpoint(tmp_path))
    assert state["step"] == 10000
    assert torch.equal(state["weights"], torch.arange(3))


def test_what_a_kill_leaves_is_not_taken_for_a_checkpoint(tmp_path) -> None:
    """In the order in which it is written: the state, its digest, then its name."""
    leavings = ["step_000000001.partial", ".step_000000001.sha256.77", "step_000000001.sha256"]
    for name in leavings:
        (tmp_path / name).write_bytes(b"half")
        assert newest_checkpoint(tmp_path) is None
    assert newest_checkpoint(tmp_path / "absent") is None
    save_checkpoint(tmp_path, 2, {"step": 2})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step_000000002.pt", "step_000000002.sha256"]


def test_the_digest_is_sha256sums_and_finds_a_flipped_bit(tmp_path) -> None:
    for step in (1, 2):
        path = save_checkpoint(tmp_path, step, {"weights": torch.zeros(1000)})
    checked = subprocess.run(["sha256sum", "-c", "step_000000002.sha256"], cwd=tmp_path, capture_output=True, text=True)
    assert checked.stdout == "step_000000002.pt: OK\n"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    said: list[str] = []
    assert newest_checkpoint(tmp_path, said.append) == tmp_path / "step_000000001.pt"
    assert len(said) == 1
    assert said[0].startswith(f"{path} is passed over: its sha256 is ")
    path.with_suffix(".sha256").unlink()
    assert newest_checkpoint(tmp_path, said.append) == tmp_path / "step_000000001.pt"
    assert said[1] == f"{path} is passed over: it or its sha256 file can't be read"


class FullDisk:
    """A file on a disk that is full after so many bytes."""

    def __init__(self, file, room: int) -> None:
        self.file, self.room = file, room

    def write(self, data: bytes) -> int:
        self.room -= len(data)
        if self.room < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self.file.write(data)

    def __getattr__(self, name: str):
        return getattr(self.file, name)

    def __enter__(self):
        return self

    def __exit__(self, *_) -> None:
        self.file.close()


@pytest.mark.parametrize("room", [0, 100, 3000, 10_000])
def test_a_full_disk_leaves_what_was_there(tmp_path, monkeypatch, room: int) -> None:
    """Wherever the room ends: in the state (some 5,000 bytes), or in the digest."""
    first = save_checkpoint(tmp_path, 1, {"weights": torch.zeros(1000)})
    left, opened = [room], Path.open

    def full(path: Path, mode: str = "r", *given, **named):
        file = opened(path, mode, *given, **named)
        return FullDisk(file, left[0] if path.suffix == ".partial" else 5) if mode == "wb" else file

    monkeypatch.setattr(Path, "open", full)
    message = r"step_000000002.pt can't be written \(No space left on device\); make room, then resume"
    with pytest.raises(RunError, match=message):
        save_checkpoint(tmp_path, 2, {"weights": torch.ones(1000)})
    assert newest_checkpoint(tmp_path) == first
    assert not list(tmp_path.glob("*.partial"))
    monkeypatch.undo()
    assert newest_checkpoint(tmp_path) == first
    save_checkpoint(tmp_path, 2, {"weights": torch.ones(1000)})
    assert load_checkpoint(newest_checkpoint(tmp_path))["weights"].sum() == 1000


def test_a_cut_file_is_refused(tmp_path) -> None:
    path = save_checkpoint(tmp_path, 1, {"weights": torch.zeros(1000)})
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="step_000000001.pt can't be read .*; delete it to resume from the one"):
        load_checkpoint(path)


def test_no_pickle_runs(tmp_path) -> None:
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "pwned"), "w"))

    path = tmp_path / "step_000000001.pt"
    path.write_bytes(pickle.dumps(Evil()))
    with pytest.raises(CheckpointError):
        load_checkpoint(path)
    torch.save({"evil": Evil()}, path)
    with pytest.raises(CheckpointError):
        load_checkpoint(path)
    assert not (tmp_path / "pwned").exists()
