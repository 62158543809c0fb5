"""Jobs as real processes (the quick verbs), and what is told of them."""

import io
import os
from pathlib import Path

import pytest
from rich.console import Console

from ladder_hub.progress import Display
from ladder_hub.runtime.signals import Interrupted, StopSignals
from ladder_hub.sweeps import pool as module
from ladder_hub.sweeps.jobs import Job
from ladder_hub.sweeps.pool import Pool, _cuda_devices, _Pace


def job(folder: Path, name: str, *words: str, **more) -> Job:
    return Job(name, words, folder / f"{name}.log", more.pop("lane", folder / name), **more)


def test_one_that_fails_takes_no_other_with_it(tmp_path) -> None:
    said, kept = io.StringIO(), []
    jobs = [
        job(tmp_path, "bad", "train"),
        job(tmp_path, "kept", "recipes", "--json", take=kept.append),
        job(tmp_path, "logged", "recipes"),
        job(tmp_path, "untaken", "recipes", take=lambda said: int(said)),
    ]
    with Display(Console(file=said, width=200)) as display, StopSignals() as stop:
        failures = Pool(4, display, stop).run(jobs, "jobs")
    assert len(failures) == 2
    bad, untaken = sorted(failures)
    assert bad.startswith("bad ended with status 2: train takes recipe=NAME")
    assert untaken.startswith("untaken: what it found was not kept: invalid literal")
    assert '"recipe": "quickstart"' in kept[0]
    assert "quickstart" in (tmp_path / "logged.log").read_text()
    assert not (tmp_path / "kept.log").read_text()
    assert "(4 of 4)" in said.getvalue()


class Waiting:
    """A child that ends when it is told to."""

    started: list["Waiting"] = []  # noqa: RUF012

    def __init__(self, job: Job, environment: dict[str, str]) -> None:
        self.job, self.environment, self.process, self.seconds = job, environment, self, 1.0
        self.over = self.terminated = self.killed = False
        Waiting.started.append(self)

    def poll(self) -> int | None:
        return 0 if self.over else None

    def ended(self) -> str:
        return ""

    def terminate(self) -> None:
        self.terminated = True

    def wait(self) -> None:
        self.over = True

    def kill(self) -> None:
        self.killed = True


@pytest.fixture
def waiting(monkeypatch) -> list[Waiting]:
    Waiting.started = []
    monkeypatch.setattr(module, "Child", Waiting)
    return Waiting.started


def quiet() -> Display:
    return Display(Console(quiet=True))


def test_jobs_of_one_lane_never_run_at_once(tmp_path, waiting, monkeypatch) -> None:
    lanes = [tmp_path / name for name in ("a", "a", "b", "b", "a")]
    jobs = [job(tmp_path, f"j{number}", lane=lane) for number, lane in enumerate(lanes)]
    together = []

    def look(_: float) -> None:
        running = [child for child in waiting if not child.over]
        together.append([child.job.label for child in running])
        assert len({child.job.lane for child in running}) == len(running)
        running[0].over = True

    monkeypatch.setattr(module.time, "sleep", look)
    with StopSignals() as stop:
        assert Pool(2, quiet(), stop).run(jobs, "jobs") == []
    assert together[0] == ["j0", "j2"]
    assert len(waiting) == 5


def test_a_signal_is_passed_on_once_and_waited_for(tmp_path, waiting, monkeypatch) -> None:
    with StopSignals() as stop:
        monkeypatch.setattr(module.time, "sleep", lambda _: setattr(stop, "received", "SIGTERM"))
        with pytest.raises(Interrupted, match="stopped by SIGTERM: 0 of 3 runs done") as error:
            Pool(2, quiet(), stop).run([job(tmp_path, name) for name in "abc"], "runs")
    assert error.value.exit_status == 75
    assert [(child.terminated, child.over) for child in waiting] == [(True, True)] * 2


def test_a_second_ctrl_c_leaves_no_child(tmp_path, waiting, monkeypatch) -> None:
    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module.time, "sleep", interrupted)
    with StopSignals() as stop, pytest.raises(KeyboardInterrupt):
        Pool(2, quiet(), stop).run([job(tmp_path, name) for name in "abc"], "runs")
    assert [child.killed for child in waiting] == [True, True]


def test_threads_and_devices_are_shared_out(tmp_path, waiting, monkeypatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setattr(os, "cpu_count", lambda: 12)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")
    monkeypatch.setattr(module.time, "sleep", lambda _: [setattr(child, "over", True) for child in waiting])
    with StopSignals() as stop:
        Pool(3, quiet(), stop).run([job(tmp_path, name) for name in "abc"], "runs")
        Pool(1, quiet(), stop).run([job(tmp_path, "alone")], "runs")
    shared = [(child.environment["OMP_NUM_THREADS"], child.environment["CUDA_VISIBLE_DEVICES"]) for child in waiting]
    assert shared == [("4", "4"), ("4", "6"), ("4", "4"), ("12", "4,6")]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert _cuda_devices() == []


def test_the_time_left_is_by_what_jobs_cost(tmp_path) -> None:
    """Two jobs of cost 1 took 10 and 20 s; cost 4 is left: 60 s on one slot, and no failed job counts as quick."""
    jobs = [job(tmp_path, str(cost), cost=cost) for cost in (1, 1, 1, 4)]
    pace = _Pace(jobs, 1)
    assert pace.line(jobs[0], 10, "") == "1 took 0:10  (1 of 4, left 1:00)"
    assert pace.line(jobs[1], 20, "") == "1 took 0:20  (2 of 4, left 1:15)"
    assert pace.line(jobs[2], 1, "it failed") == "it failed  (3 of 4, left 1:00)"
    assert pace.line(jobs[3], 60, "") == "4 took 1:00  (4 of 4)"
    halved = _Pace(jobs, 2)
    assert halved.line(jobs[0], 10, "").endswith("left 0:30)")
    assert halved.line(jobs[1], 10, "", spent=30).endswith("left 0:10)")
