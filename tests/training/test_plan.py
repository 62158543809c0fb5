"""A plan against figures worked out here, against a run's own, and in what it prints and refuses."""

import dataclasses
import io
import json
import re
from functools import cache
from pathlib import Path

import pytest
import torch
from rich.console import Console

from ladder_hub.errors import UserError
from ladder_hub.recipe import load_recipe, recipe_names
from ladder_hub.runtime.distributed import World
from ladder_hub.training import plan as room
from ladder_hub.training.flops import count_flops
from ladder_hub.training.inputs import open_inputs
from ladder_hub.training.layout import lay_out
from ladder_hub.training.memory import Activations
from ladder_hub.training.plan import Plan, plan
from ladder_hub.training.plan_text import render
from ladder_hub.training.probe import PASSES, Compiling, Probe
from ladder_hub.training.speed import Speed
from ladder_hub.training.state import TrainState, build_learner

SMALL = ["heads.hidden=64", "heads.out=16", "micro_batch=16"]


@pytest.fixture(autouse=True, scope="module")
def simulated_once():
    """Seconds a network: each is counted once a ladder, its memory followed once whatever its ladder and batch."""
    found: dict[str, Activations] = {}
    follow, shapes = room.follow_activations, room.shapes_of

    def followed(learner, *, size, micro_batch, precision):
        name = type(learner.online.backbone).__name__ + str(
            sum(p.numel() for p in learner.online.backbone.parameters())
        )
        if name not in found:
            found[name] = follow(learner, size=size, micro_batch=micro_batch, precision=precision)
        return found[name]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(room, "follow_activations", followed)
        cached = cache(lambda name, levels, *widths: shapes(name, levels, **dict(widths)))
        patch.setattr(room, "shapes_of", lambda name, levels, **widths: cached(name, levels, *sorted(widths.items())))
        counted = cache(lambda learner, size: count_flops(learner, size=size))
        patch.setattr(room, "count_flops", lambda learner, *, size: counted(learner, size))
        yield


def planned(recipe: str, *keys: str) -> Plan:
    return plan(recipe, keys, console=Console(quiet=True))


def refused(recipe: str, *keys: str) -> str:
    with pytest.raises(UserError) as error:
        planned(recipe, *keys)
    assert "\n" not in str(error.value)
    return str(error.value)


@cache
def papers_run() -> Plan:
    return planned("ladder_dense_200e", "devices=8", "device=a100")


def test_the_papers_run_by_hand() -> None:
    found = papers_run()
    assert (found.layout.micro_batch, found.layout.accumulation, found.layout.statistics_of) == (256, 2, 2048)
    assert found.length.steps_an_epoch == 1_281_167 // 4096 == 312
    assert (found.length.steps, found.length.warmup_steps) == (62_400, 3_120)
    assert found.recipe.learning_rate == pytest.approx(7.2)
    assert found.recipe.precision == "bf16"
    # torchvision's resnet50 has 25,557,032 parameters, 2,049,000 of them the classifier's.
    assert found.parameters["backbone"].total == 25_557_032 - 2_049_000
    heads = {"projectors": (256 + 256 + 512 + 512 + 1024 + 2048, 6), "predictors": (6 * 256, 6)}
    for name, (channels, count) in heads.items():
        assert found.parameters[name].trained == channels * 4096 + count * (3 * 4096 + 4096 * 256)
    assert found.parameters["target"].trained == 0
    assert found.parameters["all"].trained == sum(found.parameters[n].total for n in ("backbone", *heads))
    assert found.fit.fits
    assert found.paper.near
    assert found.paper.differences == ()


def test_hours_follow_from_the_efficiency() -> None:
    found = planned("ladder_dense_200e", "devices=8", "device=h100", "efficiency=0.3")
    assert found.speed is not None
    assert found.speed.samples_per_second == pytest.approx(8 * 0.3 * 989e12 / found.flops.total)
    assert found.hours == pytest.approx(62_400 * 4096 / found.speed.samples_per_second / 3600)
    assert found.device_hours == pytest.approx(8 * found.hours)


def test_json_holds_what_the_text_says() -> None:
    facts = json.loads(json.dumps(papers_run().to_dict()))
    assert facts["layout"]["batch_size"] == 4096
    assert facts["fit"]["fits"] is True
    assert facts["learning_rate"] == pytest.approx(7.2)
    assert facts["flops"]["total"] == papers_run().flops.total
    assert facts["hours"] == papers_run().hours


def test_the_text() -> None:
    text = render(papers_run())
    for line in (
        "images a step       4,096 = 8 devices x 2 passes x 256 images",
        "BatchNorm           sync: statistics of 2,048 images a view",
        "learning rate       7.2 at its peak (0.45 for 256 images)",
        "steps               62,400 = 200 epochs x 312, 3,120 of them warm-up",
        "nearest             ladder_dense_200e: nothing differs",
        "a multiply-add is 2 FLOPs",
        "data.train is not given: 1,281,167 images, those of ImageNet-1k",
    ):
        assert line in text
    assert re.search(r"images a second +[\d,]+ \(assumed: 8% of the peak\)", text)
    assert max(len(line) for line in text.splitlines()) <= 120
    assert all(line == line.rstrip() for line in text.splitlines())


def test_every_shipped_recipe_has_a_plan() -> None:
    names = recipe_names()
    assert len(names) == 17
    for name in names:
        found = planned(name, "device=h200")
        recipe = load_recipe(name)
        assert found.layout.batch_size == recipe.batch_size
        assert found.hours is not None
        assert found.hours > 0
        assert render(found).startswith(f"{name}: {recipe.method} (")
        assert found.paper.near == (not name.startswith(("tiny64", "quickstart"))), name
        assert found.paper.setting.startswith(recipe.method)


def test_steps_rate_and_checkpoint_are_those_of_a_run(tmp_path: Path) -> None:
    keys = ["data.train=shapes:100", "data.val=", "batch_size=32", "epochs=3", *SMALL]
    found = planned("quickstart", "device=cpu", *keys)
    recipe = load_recipe("quickstart", keys)
    recipe = recipe.model_copy(update={"precision": "float32"})
    steps = len(open_inputs(recipe).train) // recipe.batch_size
    layout = lay_out(batch_size=32, micro_batch=16, batch_norm="auto", processes=1)
    state = TrainState(recipe, build_learner(recipe), World(), layout, steps_per_epoch=steps)
    assert found.length.steps == state.steps
    assert found.layout == layout
    state.schedule.step_update(found.length.warmup_steps)
    assert state.learning_rate == pytest.approx(recipe.learning_rate)
    images = [torch.randn(32, 3, 64, 64) for _ in range(2)]
    state.learner.total(state.learner(*images).losses).backward()
    state.optimizer.step()
    torch.save(state.state_dict(), tmp_path / "checkpoint.pt")
    written = (tmp_path / "checkpoint.pt").stat().st_size
    assert found.checkpoint == pytest.approx(written, rel=0.05)


def test_a_probe_measures_this_machine() -> None:
    said = io.StringIO()
    found = plan(
        "quickstart",
        ["probe=true", "data.train=shapes:64", "data.workers=0", "batch_size=16", "epochs=40", *SMALL],
        console=Console(file=said),
    )
    assert found.speed is not None
    assert found.speed.probe is not None
    assert found.speed.probe.passes == PASSES
    assert found.speed.efficiency is None
    assert found.speed.samples_per_second == found.speed.probe.together > 0
    assert "measured: a probe" in render(found)
    assert f"probe: {PASSES} passes of 16 images on " in said.getvalue()
    # Devices are taken to add up.
    assert "2 devices are 2 times as fast as one" in planned("quickstart", "device=a100", "devices=2").assumptions


@pytest.fixture
def counted(monkeypatch) -> list[int]:
    """torch.compile that compiles nothing; how often each compiled network ran."""
    passes: list[int] = []

    def compiled(forward):
        place = len(passes)
        passes.append(0)

        def call(images):
            passes[place] += 1
            return forward(images)

        return call

    monkeypatch.setattr(torch, "compile", compiled)
    return passes


PROBED = ["probe=true", "compile=true", "data.train=shapes:64", "data.workers=0", "batch_size=16", "epochs=40", *SMALL]


def test_a_probe_measures_what_is_compiled(counted: list[int]) -> None:
    found = planned("quickstart", "model.backbone=test_resnet", *PROBED)
    assert found.speed is not None
    assert found.speed.probe is not None
    assert found.speed.probe.compiling is not None
    assert found.speed.probe.compiling.gain > 0
    # Two views each: the rehearsal, passes by turns, those that warm up and those that are measured.
    by_turns = counted[0] // 2 - 1 - 3 - PASSES
    assert counted == [2 * (1 + by_turns + 3 + PASSES)] * 2
    assert 4 <= by_turns <= PASSES
    assert re.search(r"\n  compile +took .* times as fast as without; (saves|costs) ", render(found))


def test_a_probe_of_what_does_not_compile_says_so(monkeypatch) -> None:
    monkeypatch.setattr(torch, "compile", lambda _: lambda _: 1 / 0)
    said = io.StringIO()
    found = plan("quickstart", ["model.backbone=test_resnet", *PROBED], console=Console(file=said, width=10_000))
    assert "warning: compile=true failed, going on without it (ZeroDivisionError: division by zero)" in said.getvalue()
    assert found.speed is not None
    assert found.speed.probe is not None
    assert found.speed.probe.compiling is None
    assert re.search(
        r"\n  compile +failed here: the network was measured as it is, and a run would go on so", render(found)
    )


def with_compiling(gain: float, seconds: float) -> str:
    """One step of 4,096 images at 100 images a second, compiled: 40.96 s an epoch of one step."""
    found = planned("byol_100e", "compile=true", "data.train=shapes:4096", "data.val=", "device=h100")
    measured = Speed(100.0, None, None, Probe(20, 100.0, None, 100.0, Compiling(seconds, gain)))
    return render(dataclasses.replace(found, speed=measured))


def test_compiling_is_held_against_the_length_of_the_run() -> None:
    # 100 steps of 40.96 s; without compiling a fifth more: 819.2 s saved, less what compiling takes.
    assert "took 2.0 minutes, then 1.20 times as fast as without; saves 11.7 minutes of the run" in with_compiling(
        1.2, 120
    )
    assert (
        "1.20 times as fast as without; costs 13.0 minutes of the run: leave compile=true out here"
        in with_compiling(1.2, 1600)
    )
    assert "0.90 times as fast as without; costs 8.8 minutes of the run" in with_compiling(0.9, 120)


def test_where_no_data_sheet_tells_the_speed_none_is_given() -> None:
    found = planned("quickstart", "device=cpu")
    assert found.speed is None
    assert found.hours is None
    assert "no data sheet gives the peak of a CPU: probe=true measures the speed" in render(found)


def test_images_from_the_data_where_they_are_here() -> None:
    found = planned("tiny64_byol", "data.train=shapes:1000", "data.val=")
    assert (found.length.samples, found.length.steps_an_epoch) == (1000, 3)
    gone = planned("tiny64_byol", "data.train=/no/such/folder")
    assert gone.length.samples == 1_281_167
    assert gone.assumptions[0].startswith("data.train=/no/such/folder does not exist; the nearest folder")


def test_what_differs_from_the_paper_key_by_key() -> None:
    found = planned("ladder_dense_200e", "optim.base_lr=0.3", "epochs=300", "target.base_momentum=0.996")
    assert found.paper.near
    told = {d.key: (d.here, d.there, d.stated) for d in found.paper.differences}
    assert told == {
        "epochs": (300, 200, True),
        "learning_rate": (pytest.approx(4.8), 7.2, True),
        "target.base_momentum": (0.996, 0.99, False),
    }
    text = render(found)
    assert "learning_rate         4.8; paper: 7.2" in text
    assert "target.base_momentum  0.996; shipped, paper silent: 0.99" in text
    assert planned("ladder_byol_200e", "epochs=150").paper.setting == "ladder_byol_200e"  # by ratio
    tiny = planned("tiny64_ladder_byol")
    assert not tiny.paper.near
    assert "none: the paper's are on other networks and images" in render(tiny)
    other = planned("byol_100e", "data.train=shapes:5000", "data.val=")
    assert ("images", 5000, 1_281_167) in [(d.key, d.here, d.there) for d in other.paper.differences]


def test_a_part_of_the_batch_is_told() -> None:
    assert "each is of 1/16; nothing else changes" in render(planned("byol_100e"))
    assert "nothing else changes" not in render(planned("byol_100e", "devices=16"))


def test_a_pass_that_does_not_fit_is_told_with_the_largest_that_does() -> None:
    found = planned("byol_100e", "micro_batch=2048", "devices=2", "device=a100")
    assert not found.fit.fits
    assert found.fit.largest_micro_batch == 512
    assert "DOES NOT FIT; micro_batch=512 does" in render(found)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (["device=a10"], "device=a10 is not one of a100, h100, h200, cpu, measured; did you mean a100?"),
        (["devices=3"], "batch_size = 4096 can't be shared by 3 processes; try batch_size=4095"),
        (["devices=0"], "devices: input should be greater than or equal to 1, got 0"),
        (["device=a100", "efficiency=1.5"], "efficiency: input should be less than or equal to 1, got 1.5"),
        (["devises=8"], "unknown key 'devises'; did you mean devices?"),
        (["epoch=8"], "unknown key 'epoch'; did you mean epochs?"),
        (
            ["device=cpu", "efficiency=0.3"],
            "efficiency is a share of a data sheet's peak: give it with device=a100, h100 or h200, and no probe",
        ),
        (
            ["data.train=shapes:100"],
            "data.train=shapes:100 has 100 images, fewer than batch_size = 4096: try batch_size=64",
        ),
    ],
)
def test_refusals(keys: list[str], message: str) -> None:
    assert refused("byol_200e", *keys) == message


@pytest.mark.skipif(torch.cuda.is_available(), reason="what a machine without a GPU says")
def test_a_probe_of_what_is_not_here_or_does_not_fit_is_refused() -> None:
    assert refused("byol_200e", "device=a100", "probe=true") == (
        "probe=true measures this machine, which has no CUDA device: leave probe out for device=a100, "
        "or take device=measured"
    )
    found = refused("byol_200e", "device=measured", "micro_batch=4096")
    assert re.fullmatch(
        r"a pass of 4096 images takes \d+\.\d GB and CPU of this machine, \d+ threads gives \d+\.\d: "
        r"(try micro_batch=\d+|no micro_batch does)",
        found,
    )


def test_an_unknown_recipe_is_named() -> None:
    assert refused("ladder_dens_200e").startswith("no recipe 'ladder_dens_200e'; did you mean ladder_dense_200e?")
