"""Stages side by side: the figures are those of `eval`, and the paper's are labelled as the paper's."""

import json
from pathlib import Path

import pytest
from rich.console import Console

from ladder_hub import cli
from ladder_hub.analysis import stages
from ladder_hub.analysis.stages import analyse_stages
from ladder_hub.analysis.stages_figure import draw_stages
from ladder_hub.downstream.evaluation import eval_knn
from ladder_hub.errors import UserError

QUIET = Console(quiet=True)
KNN = "knn:k20-t0.07, changed: image_size=32 crop_pct=1"
STAGES = ["res2", "res3", "res4", "res5"]
KEYS = ["data.train=shapes:60", "data.val=shapes:30", "data.workers=0", "device=cpu", "image_size=32", "crop_pct=1.0"]
MODELS = ["random:test_resnet", "random:test_convnext"]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("LADDER_HUB_CACHE", str(tmp_path / "cache"))


def test_knn_is_that_of_eval_knn() -> None:
    result = analyse_stages(MODELS, KEYS, console=QUIET)
    assert result.protocol == KNN
    for model, found in zip(MODELS, result.models, strict=True):
        entries = eval_knn(model, [*KEYS, "k=20", "stage=all"], console=QUIET)
        top1 = {entry["stage"]: entry["value"] for entry in entries if entry["metric"] == "top1"}
        assert {stage: figure.value for stage, figure in found.figures.items()} == top1
        assert all(low <= figure.value <= high for figure in found.figures.values() for low, high in [figure.ci95])
    assert result.chance == pytest.approx(1 / 10)
    assert analyse_stages(MODELS[:1], [*KEYS, "k=[3,20]", "stage=res2"], console=QUIET).protocol == KNN.replace(
        "k20", "k3"
    )


def test_linear_goes_on_where_its_runs_stand(tmp_path: Path, monkeypatch) -> None:
    keys = [*KEYS, "epochs=2", "batch_size=30"]
    more = {"probe": "linear", "recipe": "cached_100e", "runs": tmp_path / "out.runs", "console": QUIET}
    first = analyse_stages(MODELS, keys, **more)
    assert first.protocol.startswith("linear:cached-sgd-coslr-100e, changed: ")
    folders = sorted(path.name for path in (tmp_path / "out.runs").iterdir())
    assert folders == ["random-test_convnext", "random-test_resnet"]
    written = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("checkpoints/*.pt")}
    assert analyse_stages(MODELS, keys, **more) == first
    assert {
        path: path.stat().st_mtime_ns for path in tmp_path.rglob("checkpoints/*.pt")
    } == written  # nothing was trained


def test_the_default_of_linear_is_table_7_s_recipe(monkeypatch) -> None:
    asked = []
    monkeypatch.setattr(stages, "eval_linear", lambda model, recipe, keys, **more: asked.append((recipe, keys, more)))
    assert analyse_stages(["x"], ["epochs=3"], probe="linear") is None
    assert asked == [("stages_gap", ["epochs=3", "stage=all"], {"resume": None, "console": None})]


def test_the_paper_s_figures_are_labelled_as_its_own() -> None:
    result = analyse_stages(MODELS, KEYS, console=QUIET)
    _, rows = result.table()
    assert [row[0] for row in rows] == [*MODELS, "paper: byol", "paper: ladder_byol"]
    assert rows[2][1:] == ("Table 7, ImageNet", "", "28.5%", "40.9%", "56.8%", "68.1%")
    facts = result.to_dict()
    assert [one["model"] for one in facts["models"]] == MODELS
    assert facts["paper"]["percent"]["ladder_byol"]["res2"] == 31.9
    assert facts["paper"]["source"].startswith("the paper's Table 7")


def test_the_picture_has_a_bar_a_stage_and_model() -> None:
    result = analyse_stages(MODELS, KEYS, console=QUIET)
    measured, printed = draw_stages(result).axes
    heights = [bar.get_height() for bar in measured.patches]
    expected = [100 * model.figures[stage].value for model in result.models for stage in STAGES]
    assert heights == pytest.approx(expected)
    assert [bar.get_height() for bar in printed.patches][-1] == 68.7
    assert "not measured here" in printed.get_title()
    assert "n = 30" in measured.get_title()


def test_the_command(tmp_path: Path, capsys) -> None:
    with pytest.raises(SystemExit, match="0"):
        cli.main(["analyse", "stages", *MODELS, *KEYS, f"out={tmp_path / 's.png'}"])
    assert "paper: ladder_byol" in capsys.readouterr().out
    assert json.loads((tmp_path / "s.json").read_text())["protocol"] == KNN
    assert (tmp_path / "s.svg").stat().st_size > 0


@pytest.mark.parametrize(
    ("models", "more", "message"),
    [
        ([], {}, "takes at least one MODEL"),
        (MODELS, {"probe": "liner"}, "probe=liner is neither knn nor linear; did you mean linear?"),
        (MODELS, {"recipe": "cached_100e"}, "recipe=cached_100e belongs to probe=linear"),
        (MODELS, {"overrides": KEYS[1:]}, "data.train is missing"),
        (MODELS, {"overrides": ["kk=3"]}, "unknown key 'kk'; did you mean k?"),
    ],
)
def test_one_line_says_what_is_wrong(models: list[str], more: dict, message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        analyse_stages(models, **({"overrides": KEYS} | more), console=QUIET)
    assert "\n" not in str(error.value)
