"""Collapse of runs and of the demonstration: what is constant is found there, and in the order of Theorem 1."""

import json
from pathlib import Path

import pytest
import torch
from artifact_factory import log_lines, make_artifact
from rich.console import Console

from ladder_hub import cli
from ladder_hub.analysis.collapse import analyse_collapse
from ladder_hub.analysis.collapse_arms import ARMS
from ladder_hub.analysis.collapse_demo import demonstrate_collapse
from ladder_hub.analysis.collapse_demo_result import CollapseDemo
from ladder_hub.analysis.collapse_figure import draw_collapse, draw_demo
from ladder_hub.analysis.collapse_result import CollapseAnalysis, HeadCurve, is_nested
from ladder_hub.backbone import STAGE_NAMES
from ladder_hub.errors import UserError
from ladder_hub.recipe import load_recipe
from ladder_hub.runtime.checkpoint import save_checkpoint
from ladder_hub.siamese.learner import Learner
from ladder_hub.training.state import build_learner

QUIET = Console(quiet=True)
KEYS = ["data.images=shapes:24", "data.workers=0", "device=cpu", "n=16"]
RECIPE = load_recipe("quickstart", ["heads.hidden=8", "heads.out=4", "data.image_size=64"])


def make_run(folder: Path, *constant: str) -> Path:
    """A run with a log and two checkpoints; in the later one the stages `constant` give a constant map."""
    folder.mkdir()
    (folder / "recipe.toml").write_text(RECIPE.to_toml(), encoding="utf-8")
    lines = log_lines([level.name for level in RECIPE.ladder], 4)
    (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    learner = build_learner(RECIPE)
    save_checkpoint(folder / "checkpoints", 2, {"step": 2, "learner": learner.state_dict()})
    for stage in constant:
        make_constant(learner, f"layer{int(stage[-1]) - 1}")
    if "res2" in constant:  # its blocks add what comes in
        make_constant(learner, "bn1")
    save_checkpoint(folder / "checkpoints", 3, {"step": 3, "learner": learner.state_dict()})
    return folder


def make_constant(learner: Learner, part: str) -> None:
    """The scale of every norm in a part of the backbone is 0, its shift 1: whatever comes in, the same goes out."""
    for module in learner.online.backbone.get_submodule(part).modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.zeros_(module.weight)
            torch.nn.init.ones_(module.bias)


def measure(*runs: Path | str, keys: tuple[str, ...] = ()) -> CollapseAnalysis:
    return analyse_collapse([str(run) for run in runs], [*KEYS, *keys], console=QUIET)


@pytest.mark.parametrize("stage", STAGE_NAMES)
def test_a_constant_stage_makes_every_later_one_constant(stage: str, tmp_path: Path) -> None:
    """Theorem 1, on a whole network whose stage is made constant by hand."""
    (run,) = measure(make_run(tmp_path / "run", stage)).runs
    healthy, broken = run.networks
    later = list(STAGE_NAMES[STAGE_NAMES.index(stage) :])
    assert (healthy.step, healthy.collapsed) == (2, [])
    assert (broken.step, broken.n, broken.collapsed) == (3, 16, later)
    assert all(broken.stages[name].cells.std < 1e-5 for name in later)
    assert f"{', '.join(later)} collapsed completely (nested as Theorem 1 says)" in run.verdict


def test_what_is_only_nearly_constant_need_not_be_nested(tmp_path: Path) -> None:
    """A hundredth of the differences is left in res2, and the next convolutions may see little else."""
    folder = make_run(tmp_path / "run")
    learner = build_learner(RECIPE)
    make_constant(learner, "layer1")
    torch.nn.init.zeros_(learner.online.backbone.bn1.bias)
    save_checkpoint(folder / "checkpoints", 4, {"step": 4, "learner": learner.state_dict()})
    (run,) = measure(folder).runs
    broken = run.networks[-1]
    assert broken.stages["res2"].verdict == "complete"
    assert broken.stages["res3"].verdict != "complete"
    assert "NOT nested, so no exact constant" in run.verdict


def test_curves_are_those_of_the_log(tmp_path: Path) -> None:
    result = measure(make_run(tmp_path / "run"))
    heads = result.runs[0].heads
    assert [head.name for head in heads] == [f"{stage}.global" for stage in STAGE_NAMES]
    assert heads[0].steps == (0, 1, 2, 3)
    assert heads[0].std == (0.9,) * 4
    assert heads[0].allowed == 4
    header, rows = result.table()
    assert len(rows) == 4 + 2 * 4
    assert all(len(row) == len(header) for row in rows)


def test_heads_have_verdicts_of_their_own() -> None:
    assert HeadCurve("res5.global", (1, 2), (0.9, 0.05), (20.0, 20.0), 64).verdict == "complete"
    assert HeadCurve("res5.global", (1, 2), (0.05, 0.9), (20.0, 1.2), 4).verdict == "dimensional"
    assert HeadCurve("res5.global", (1, 2), (0.9, 0.9), (20.0, 3.0), 128).verdict == "dimensional"
    assert HeadCurve("res5.global", (1, 2), (0.9, 0.9), (20.0, 20.0), 64).verdict == "none"


@pytest.mark.parametrize(
    ("collapsed", "nested"),
    [([], True), (["res5"], True), (["res3", "res4", "res5"], True), (["res3"], False), (["res2", "res5"], False)],
)
def test_what_nested_means(collapsed: list[str], nested: bool) -> None:
    assert is_nested(collapsed) is nested


def test_models_without_a_run_have_their_stages(tmp_path: Path) -> None:
    make_artifact(tmp_path / "only" / "artifact")
    result = measure("random:test_resnet", tmp_path / "only", tmp_path / "only" / "artifact")
    assert [len(run.networks) for run in result.runs] == [1, 1, 1]
    assert [run.heads for run in result.runs] == [()] * 3
    assert result.runs[1].networks[0].stages == result.runs[2].networks[0].stages
    assert result.runs[0].networks[0].step is None


def test_errors_are_one_line(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    with pytest.raises(UserError, match="at least one RUN"):
        measure()
    with pytest.raises(UserError, match="no folder runs/none"):
        analyse_collapse(["runs/none"], console=QUIET)
    with pytest.raises(UserError, match="two are needed"):
        analyse_collapse([str(run)], ["data.images=shapes:1", "data.workers=0"], console=QUIET)
    with pytest.raises(UserError, match="did you mean data.images"):
        measure(run, keys=("image=x",))
    (run / "checkpoints" / "step_000000003.pt").write_bytes(b"cut")
    with pytest.raises(UserError, match=r"step_000000003.pt can't be read"):
        measure(run)
    save_checkpoint(run / "checkpoints", 3, {"step": 3, "learner": {"online.backbone.conv": torch.ones(1)}})
    with pytest.raises(UserError, match="no checkpoint of a test_resnet"):
        measure(run)


def test_the_verb_writes_what_it_prints(tmp_path: Path, capsys) -> None:
    run = make_run(tmp_path / "run", "res4")
    with pytest.raises(SystemExit) as done:
        cli.main(["analyse", "collapse", str(run), *KEYS, f"out={tmp_path / 'c'}"])
    assert done.value.code == 0
    printed = capsys.readouterr().out
    assert "run: res4, res5 collapsed completely" in printed
    facts = json.loads((tmp_path / "c.json").read_text())
    assert facts["runs"][0]["networks"][1]["collapsed"] == ["res4", "res5"]
    assert facts["runs"][0]["networks"][1]["stages"]["res5"]["verdict"] == "complete"
    assert (tmp_path / "c.png").stat().st_size > 10_000
    assert "res3.global head" in (tmp_path / "c.svg").read_text()


def test_pictures_show_every_run(tmp_path: Path) -> None:
    figure = draw_collapse(measure(make_run(tmp_path / "run"), "random:test_resnet"))
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles[0] == "run (n = 16 images): no stage has collapsed"
    assert titles[2].startswith("random:test_resnet (n = 16 images)")


# ---- the demonstration


def demonstrate(*keys: str) -> CollapseDemo:
    small = ["steps=12", "batch_size=8", "n=32", "image_size=32", "every=3", "device=cpu"]
    return demonstrate_collapse([*small, *keys], console=QUIET)


@pytest.fixture(scope="module")
def demo() -> CollapseDemo:
    return demonstrate()


def test_the_constant_is_found_at_the_loss_and_above(demo: CollapseDemo) -> None:
    arm = demo.arms[3]
    assert arm.readings[0].collapsed == []
    assert arm.readings[-1].collapsed == ["res3", "res4", "res5"]
    assert arm.readings[-1].stages["res2"].cells.std > 0.1
    assert arm.losses[-1] < 0.02 < arm.losses[0]
    # Once all three are there they stay; so the sets are nested from then on.
    assert all(arm.since[stage] is not None for stage in ("res3", "res4", "res5"))
    assert all(step < max(arm.since[s] or 0 for s in ("res3", "res4", "res5")) for step in arm.not_nested)


def test_a_loss_on_res5_makes_res5_constant_before_res3(demo: CollapseDemo, monkeypatch) -> None:
    name = list(ARMS)[3]
    monkeypatch.setattr("ladder_hub.analysis.collapse_demo.ARMS", {name: ARMS[name]})
    (arm,) = demonstrate("stage=res5").arms
    assert arm.readings[-1].collapsed[-1] == "res5"
    assert "res3" not in arm.readings[-1].collapsed
    assert arm.since["res5"] < demo.arms[3].since["res5"]
    assert arm.not_nested == ()


def test_healthy_runs_of_the_same_seed_stay_apart(demo: CollapseDemo) -> None:
    for arm in demo.arms[:2]:
        assert all(reading.collapsed == [] for reading in arm.readings)
        assert min(arm.compared) > 0.3


def test_heads_take_the_constant_upon_themselves(demo: CollapseDemo) -> None:
    """BatchNorm keeps the stages apart while the projections become one vector."""
    arm = demo.arms[2]
    assert arm.compared[-1] < 0.3 * arm.compared[0]
    assert arm.readings[-1].collapsed == []


def test_all_arms_start_at_the_same_weights(demo: CollapseDemo) -> None:
    first = [{stage: found.pooled.std for stage, found in arm.readings[0].stages.items()} for arm in demo.arms]
    assert first[0] == first[2]  # with their own norms
    assert first[1] == first[3]
    assert first[0] == pytest.approx(first[1])  # the first statistics are those that the fixed norms keep


def test_the_demonstration_tells_and_draws(demo: CollapseDemo) -> None:
    header, rows = demo.table()
    assert len(rows) == 4 * 5
    assert all(len(row) == len(header) for row in rows)
    assert demo.verdicts()[0] == "the paper's: no stage has collapsed"
    assert demo.verdicts()[3].startswith("the same, no projector, norms fixed: res3, res4, res5 collapsed; ")
    assert [axes.get_title() for axes in draw_demo(demo).axes] == list(ARMS)
    facts = json.loads(json.dumps(demo.to_dict(), allow_nan=False))
    assert facts["arms"][3]["readings"][-1]["collapsed"] == ["res3", "res4", "res5"]
