"""The ledger: an entry for each of the paper's recipes, and figures only from what a sweep wrote."""

import json
from pathlib import Path

import pytest

from ladder_hub import paper
from ladder_hub.cli import main
from ladder_hub.ledger import Figure, LedgerError, Run, ledger_dict, measured, read_ledger
from ladder_hub.recipe import recipe_names
from ladder_hub.settings import SettingError
from ladder_hub.siamese.levels import LEVELS

RUN = {"sweep": "small.json", "row": "byol", "setting": "small"}


def written(folder: Path, *lines: str) -> Path:
    (folder / "ledger.toml").write_text("[[entries]]\n" + "\n".join(lines) + "\n")
    return folder


def test_every_recipe_of_the_papers_scale_has_an_entry() -> None:
    entries = read_ledger()
    scale = [name for name in recipe_names() if name.rpartition("_")[0] in LEVELS and name.endswith("00e")]
    assert sorted(entry.recipe for entry in entries if entry.recipe in scale) == scale
    assert len(scale) == 12
    assert {entry.recipe for entry in entries} <= set(recipe_names())


def test_tasks_are_the_papers_and_every_run_is_there() -> None:
    shown = ledger_dict(read_ledger())
    tasks = [task for entry in shown for other in entry["others"] for task in other["figures"]]
    assert len(tasks) >= 7
    assert set(tasks) <= set(paper.tasks())
    assert all(len(entry["ours"]) == len(entry["runs"]) for entry in shown)


def test_the_papers_figures_of_a_setting_are_put_together() -> None:
    of = {entry.recipe: entry.paper for entry in read_ledger()}
    assert of["ladder_byol_200e"] == {
        **{"imagenet": 72.8, "coco_box": 41.4, "coco_mask": 37.2},
        **{"voc": 67.4, "cityscapes": 73.9},
    }
    assert of["dense_byol_200e"] == {}


def test_figures_of_a_sweep(tmp_path) -> None:
    column = {
        "protocol": "knn:k20-t0.07",
        "stage": "res5",
        "metric": "top1",
        "data": {"val": {"name": "val.tar"}},
        "n": 9,
    }
    other = column | {"stage": "res4"}
    row = {
        "name": "byol",
        "method": "byol",
        "epochs": 5,
        "figures": [{"by_seed": {"0": 0.24, "1": 0.26}, "ci95": {"0": None, "1": None}}, None],
        "runs": [{"seed": 0, "hours": 0.5, "device": "cpu"}, {"seed": 1, "hours": 0.25, "device": "cpu"}],
    }
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "small.json").write_text(json.dumps({"columns": [column, other], "rows": [row]}))
    found = measured(Run(**RUN), tmp_path)
    (figure,) = found.figures
    spread = pytest.approx(2**0.5)
    assert figure == Figure("knn:k20-t0.07", "res5", "top1", "val.tar", 25.0, spread, 2)
    assert (str(figure), figure.is_main) == ("knn:k20-t0.07 res5 top1 25.0 ± 1.4 (n = 2 seeds)", True)
    assert (found.hours, found.device) == ((0.5, 0.25), "cpu")
    with pytest.raises(LedgerError, match="0 rows are called ladder, not 1"):
        measured(Run(**RUN | {"row": "ladder"}), tmp_path)


def test_what_is_printed_says_which_run_a_figure_is_of(capsys) -> None:
    with pytest.raises(SystemExit):
        main(["ledger"])
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    runs = [run for entry in read_ledger() for run in entry.runs]
    assert len(runs) >= 5
    assert [line for line in lines if line in {f"{run.setting}:" for run in runs}] == [f"{r.setting}:" for r in runs]
    figures = [f for run in runs for f in measured(run).figures if f.is_main]
    assert sum(line in map(str, figures) for line in lines) == len(figures)


@pytest.mark.parametrize(
    ("lines", "error", "told"),
    [
        (['recipe = "byol_100e"', 'status = "partial"'], LedgerError, "byol_100e is 'partial' with 0 runs"),
        (['recipe = "byol_100e"', 'status = "done"'], SettingError, "'reproduced', 'partial' or 'not run'"),
        (
            ['recipe = "a"', 'status = "not run"', "[[entries]]", 'recipe = "a"', 'status = "not run"'],
            LedgerError,
            "twice",
        ),
        (["recipe = "], LedgerError, "ledger.toml"),
    ],
)
def test_what_does_not_hold_together(tmp_path, lines, error, told) -> None:
    with pytest.raises(error, match=told):
        read_ledger(written(tmp_path, *lines))
