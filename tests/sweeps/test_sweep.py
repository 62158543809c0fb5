"""A sweep as a whole: what is left to do, and one small real sweep that is stopped, gone on with, and shown."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from left import KNN, SMALL, leave_figures, leave_run
from processes import Processes
from rich.console import Console

from ladder_hub import cli
from ladder_hub.errors import RunError, UserError
from ladder_hub.sweeps.grid import load_sweep
from ladder_hub.sweeps.places import Place
from ladder_hub.sweeps.run import Swept, _evaluations, _runs, sweep
from ladder_hub.sweeps.settings import SweepSettings, read_settings
from ladder_hub.sweeps.table import read_table

GRID = """
description = "one cell that trains, and one that can't"
title = "A grid of two"
epochs = 100
[[cells]]
name = "good"
label = "Good"
method = "byol"
[[cells]]
name = "bad"
label = "Bad"
levels = { res4 = "dense", res5 = "global" }
overrides = ["data.train=nowhere"]
"""
TABLE4 = load_sweep("table4")


def runs(out: Path, *more: str, seeds=(0, 1), cells=()):
    return _runs(TABLE4, SweepSettings(seeds=seeds, cells=cells), out, [*SMALL, *more])


def leave(out: Path, *cells: str, seed: int = 0) -> None:
    for run in runs(out, seeds=(seed,), cells=cells):
        leave_run(run.place, run.recipe)


def test_settings_and_overrides_are_told_apart() -> None:
    settings, out, overrides = read_settings("table4", ["seeds=[0,2]", "epochs=3", "jobs=2", "device=cpu"])
    assert (settings.seeds, settings.jobs, out) == ((0, 2), 2, Path("sweeps/table4"))
    assert overrides == ["epochs=3", "device=cpu"]
    assert read_settings("t", ['evals=["knn stage=all","linear epochs=3"]'])[0].evals == (
        "knn stage=all",
        "linear epochs=3",
    )
    for word in ("seeds=[]", "jobs=0", "scale=huge", "seeds=0"):
        with pytest.raises(UserError, match=word.partition("=")[0]):
            read_settings("table4", [word])


def test_each_cell_has_every_seed_and_a_folder_of_its_own(tmp_path) -> None:
    found = runs(tmp_path)
    assert [(run.setting.cell.name, run.place.seed) for run in found] == [
        (cell.name, seed) for seed in (0, 1) for cell in TABLE4.cells
    ]
    assert [run.recipe.seed for run in found] == [0] * 4 + [1] * 4
    assert len({run.recipe.fingerprint() for run in found}) == len({run.recipe.out for run in found}) == 8
    words = found[5].job().words
    assert words[:2] == ("train", "recipe=tiny64_dense_byol")
    assert words[-3:] == ("seed=1", f'out="{tmp_path / "dense_byol" / "seed1"}"', "resume=auto")
    assert [run.setting.cell.name for run in runs(tmp_path, cells=("byol",), seeds=(4,))] == ["byol"]
    with pytest.raises(UserError, match="cells: table4 has no 'boyl'; it has byol, dense_byol"):
        runs(tmp_path, cells=("boyl",))


def test_finished_runs_are_recognised_and_others_refused(tmp_path) -> None:
    leave(tmp_path, "byol", "ladder_byol")
    assert [run.setting.cell.name for run in runs(tmp_path, seeds=(0,)) if run.finished] == ["byol", "ladder_byol"]
    assert not any(run.finished for run in runs(tmp_path, seeds=(1,)))
    # Places and processes may change; what decides the numbers may not.
    assert any(run.finished for run in runs(tmp_path, "data.workers=2", "data.train=elsewhere/shapes:32"))
    with pytest.raises(UserError, match=r"byol/seed0: can't change when a run goes on: optim.base_lr \(it was 4.0"):
        runs(tmp_path, "optim.base_lr=1")
    with pytest.raises(UserError, match="was trained on data.train=shapes:32, not others; name another out=FOLDER"):
        runs(tmp_path, "data.train=others")


def test_what_is_not_measured_yet(tmp_path) -> None:
    leave(tmp_path, "byol", "ladder_byol")
    leave(tmp_path, "byol", seed=1)
    leave_figures(Place(tmp_path / "byol", 0), {"res5": 0.5})
    leave_figures(Place(tmp_path / "byol", 1), {"res5": 0.5}, weights="of before")

    def labels(*, floor: bool) -> list[str]:
        return [job.label for job in _evaluations(runs(tmp_path), [KNN], tmp_path, floor=floor)]

    trained = ["knn of ladder_byol seed 0", "knn of byol seed 1"]
    assert labels(floor=False) == trained
    network = "untrained-test_resnet-32px"
    assert labels(floor=True) == [f"knn of {network} seed 0", f"knn of {network} seed 1", *trained]
    leave_figures(Place(tmp_path / network, 0), {"res5": 0.5}, weights="untrained")
    assert labels(floor=True) == [f"knn of {network} seed 1", *trained]
    job = _evaluations(runs(tmp_path), [KNN], tmp_path, floor=True)[0]
    assert job.words == (*("eval", "knn", f"random:{tmp_path / 'byol' / 'seed0'}", "stage=all", "seed=1", "--json"),)
    job.take('[{"protocol": "p", "stage": "res5", "metric": "top1", "value": 0.5, "n": 3, "data": {}}]')
    assert labels(floor=True) == trained


def test_other_sweeps_and_keys_are_kept_out_of_a_folder(tmp_path) -> None:
    (tmp_path / "sweep.toml").write_text('sweep = "table4"\nscale = "tiny64"\nkeys = ["epochs=10", "device=cpu"]\n')
    begun = f"out={tmp_path} was begun otherwise: "
    for name, keys, message in (
        ("table4", ["epochs=20"], "epochs (it was 10, now 20)"),
        ("table4", ["epochs=10", "seeds=[1]", "batch_size=8"], "batch_size (it was not given, now 8)"),
        ("table7", ["epochs=10"], "sweep (it was table4, now table7)"),
        ("table4", ["epochs=10", "scale=in1k", "optim.warmup_epochs=1"], "scale (it was tiny64, now in1k)"),
    ):
        with pytest.raises(UserError) as error:
            sweep(name, [f"out={tmp_path}", "data.train=x", "data.val=y", *keys])
        assert begun in str(error.value)
        assert message in str(error.value)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["sweep", "table3"], "no recipe 'table3'; did you mean"),
        (["sweep", "table4", "seed=1"], "seed is not taken by a sweep"),
        (["sweep", "table4", "data.train=x"], "evals: 'knn stage=all k=20': data.val is missing"),
        (["sweep", "table4", "show=true", "out=nowhere"], "out=nowhere: no sweep there"),
        (["sweep", "table4", "data.train=x", "data.val=y", "out=/dev/null/x"], "out=/dev/null/x can't be written"),
    ],
)
def test_errors_are_one_line_and_nothing_is_left(words, message, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as exit_:
        cli.main(words)
    error = capsys.readouterr().err
    assert exit_.value.code == 2
    assert message in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_failures_end_with_status_1(tmp_path) -> None:
    table = read_table(TABLE4, tmp_path)
    Swept(table).check()
    with pytest.raises(RunError, match="2 failed, the same command tries again: a ended; b ended"):
        Swept(table, failures=("a ended", "b ended")).check()


def _stopped_while_it_trains(log: str, *words: str) -> None:
    """The command line, which gets SIGTERM once a run has taken its first steps."""
    from ladder_hub.sweeps import pool

    wait = time.sleep

    def look(seconds: float) -> None:
        wait(seconds)
        if Path(log).is_file() and Path(log).stat().st_size:
            os.kill(os.getpid(), signal.SIGTERM)

    pool.time.sleep = look
    cli.main(words)


def test_a_sweep_stopped_gone_on_with_and_shown(tmp_path, monkeypatch, capsys) -> None:
    (tmp_path / "grid.toml").write_text(GRID)
    out, grid = tmp_path / "out", str(tmp_path / "grid.toml")
    words = [
        *SMALL,
        "epochs=16",
        f"out={out}",
        "floor=false",
        "jobs=2",
        'evals=["knn stage=all k=3 data.workers=0 device=cpu"]',
    ]
    run = out / "good" / "seed0"

    one = ["sweep", grid, *words, 'cells=["good"]']
    stopped = Processes(_stopped_while_it_trains, str(run / "log.jsonl"), *one, variables=[{}], folder=tmp_path)
    stopped.results()
    assert stopped.statuses == [75], stopped.said
    assert "stopped by SIGTERM: 0 of 1 runs done" in stopped.said[0]
    assert "the same command goes on" in stopped.said[0]
    assert not (run / "artifact").exists()
    assert list((run / "checkpoints").glob("*.pt"))

    with pytest.raises(SystemExit) as exit_:
        cli.main(["sweep", grid, *words])
    told = capsys.readouterr()
    assert exit_.value.code == 1
    assert "1 failed, the same command tries again: bad seed 0 ended with status 2" in told.err
    assert "bad seed 0 is not finished: data.train=nowhere" in told.out
    assert ", from step " in (out / "good" / "seed0.log").read_text()
    (good, _) = read_table(load_sweep(grid), out).rows
    assert [column.stage for column in good.values if column.metric == "top1"] == ["res2", "res3", "res4", "res5"]
    assert all(line.count("|") == 8 for line in (out / "table.md").read_text().splitlines()[2:6])

    def no_process(*_: object, **__: object) -> None:
        raise AssertionError("there was nothing left to do")

    monkeypatch.setattr(subprocess, "Popen", no_process)
    again = sweep(grid, one[2:], console=Console(quiet=True))
    assert again.failures == ()
    assert sweep(grid, [f"out={out}", "show=true"]).table == again.table
