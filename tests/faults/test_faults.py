"""What befalls a run from outside: kills, a full disk, a repeated signal. It must end in the same bits all the same."""

import contextlib
import os
import resource
import signal
from pathlib import Path

import pytest
from kills import RUN, begin, end, kill_many, whole_run
from processes import Processes, command

from ladder_hub.runtime.checkpoint import load_checkpoint, newest_checkpoint
from ladder_hub.training.state import TrainState

KILLS = int(os.environ.get("LADDER_HUB_KILLS", "4"))


def test_killed_at_random_moments(tmp_path: Path) -> None:
    trials = kill_many(KILLS, tmp_path, seed=1)
    assert len(trials) == KILLS
    assert all(trial.same for trial in trials), trials


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> tuple:
    return whole_run(tmp_path_factory.mktemp("whole"))[0]


def at_step(step: int, act: str, *words: str) -> None:
    """The command line, with something happening when it begins a certain step."""
    advance = TrainState.advance

    def acting(state: TrainState, micro_batches):
        if state.step == step:
            {"disk": fill_disk, "signals": signal_twice, "usr1": lambda: os.kill(os.getpid(), signal.SIGUSR1)}[act]()
        return advance(state, micro_batches)

    TrainState.advance = acting  # type: ignore[method-assign]
    command(*words)


def fill_disk() -> None:
    """From now on no file can have more than 100 kB, which a checkpoint needs: the quota of the poor."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


def signal_twice() -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGTERM)


def acted(out: Path, *, step: int, act: str) -> Processes:
    run = Processes(at_step, step, act, "train", *RUN, f"out={out}", variables=[{}], folder=out.parent)
    run.results()
    return run


def test_a_full_disk_ends_the_run_and_loses_nothing(whole: tuple, tmp_path: Path) -> None:
    out = tmp_path / "run"
    run = acted(out, step=10, act="disk")
    assert run.statuses == [1]
    assert "step_000000012.pt can't be written (File too large); make room, then resume" in run.said[0]
    assert "Traceback" not in run.said[0]
    assert load_checkpoint(newest_checkpoint(out / "checkpoints"))["step"] == 8
    begin(out).results()
    assert end(out) == whole


@pytest.mark.parametrize(("act", "name"), [("signals", "SIGTERM"), ("usr1", "SIGUSR1")])
def test_a_signal_is_a_wish_to_be_started_again(act: str, name: str, whole: tuple, tmp_path: Path) -> None:
    """Slurm and torchrun repeat theirs: the second must not cut the checkpoint of the first."""
    out = tmp_path / "run"
    run = acted(out, step=6, act=act)
    assert run.statuses == [75]
    assert f"stopped by {name} at step 7 of 24" in run.said[0]
    begin(out).results()
    assert end(out) == whole


def test_damage_on_the_disk_costs_an_epoch(whole: tuple, tmp_path: Path) -> None:
    """The newest checkpoint is torn: the one before is taken, and said so."""
    out = tmp_path / "run"
    acted(out, step=14, act="usr1")
    newest = newest_checkpoint(out / "checkpoints")
    newest.write_bytes(newest.read_bytes()[:-1000])
    run = begin(out)
    run.results()
    assert f"{newest} is passed over: its sha256 is" in run.said[0]
    assert "from step 12" in run.said[0]
    assert end(out) == whole


def test_two_processes_do_not_share_a_folder(tmp_path: Path) -> None:
    """The second is refused while the first is at work, and not by what a killed one has left."""
    out = tmp_path / "run"
    command_line = ["train", *RUN, f"out={out}"]
    run = Processes(resumed_within, out, *command_line, variables=[{}], folder=tmp_path)
    (inner,) = run.results()
    status, said = inner
    assert status == 2
    assert f"ladder-hub: {out} is in use by process " in said
    assert (out / "artifact").is_dir()


def resumed_within(out: Path, *words: str) -> tuple[int, str]:
    """A run that tries, in its second step, to start another one in its own folder."""
    advance, found = TrainState.advance, []

    def acting(state: TrainState, micro_batches):
        if state.step == 1:
            other = Processes(command, "train", f"resume={out}", variables=[{}], folder=out.parent)
            other.results()
            found.append((other.statuses[0], other.said[0]))
        return advance(state, micro_batches)

    TrainState.advance = acting  # type: ignore[method-assign]
    with contextlib.suppress(SystemExit):
        command(*words)
    return found[0]
