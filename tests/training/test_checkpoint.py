"""Checkpoints are whole or absent, and never a way to run code."""

import pickle

import pytest
import torch

from ladder_hub.training.checkpoint import CheckpointError, load_checkpoint, newest_checkpoint, save_checkpoint


def test_newest_two_are_kept(tmp_path) -> None:
    for step in (5, 90, 10000):
        save_checkpoint(tmp_path, step, {"step": step, "weights": torch.arange(3)})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step_000000090.pt", "step_000010000.pt"]
    state = load_checkpoint(newest_checkpoint(tmp_path))
    assert state["step"] == 10000
    assert torch.equal(state["weights"], torch.arange(3))


def test_what_a_kill_leaves_is_not_taken_for_a_checkpoint(tmp_path) -> None:
    (tmp_path / "step_000000001.partial").write_bytes(b"half")
    assert newest_checkpoint(tmp_path) is None
    assert newest_checkpoint(tmp_path / "absent") is None


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
