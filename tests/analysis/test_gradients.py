"""Gradients of upper losses by a lower map: against finite differences of the learner's own loss in float64."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from artifact_factory import make_artifact
from rich.console import Console

from ladder_hub import cli
from ladder_hub.analysis import gradients
from ladder_hub.analysis.gradients import analyse_gradients, gradient_maps
from ladder_hub.analysis.gradients_figure import draw_gradients
from ladder_hub.analysis.gradients_result import GradientsAnalysis, spread
from ladder_hub.analysis.run_learner import open_run
from ladder_hub.backbone import build_backbone, pyramid
from ladder_hub.errors import UserError
from ladder_hub.recipe import load_recipe
from ladder_hub.runtime.checkpoint import save_checkpoint
from ladder_hub.siamese.learner import Learner
from ladder_hub.siamese.levels import LEVELS
from ladder_hub.training.state import build_learner

QUIET = Console(quiet=True)
SMALL = ["model.backbone=test_resnet", "heads.hidden=16", "heads.out=8", "data.train=shapes:16", "data.image_size=64"]
KEYS = ["data.images=shapes:6", "device=cpu"]


def trained(learner: Learner) -> Learner:
    """Every tensor, running statistics included, differs from a fresh learner's; online and target differ too."""
    torch.manual_seed(1)
    with torch.no_grad():
        for name, tensor in learner.state_dict().items():
            if tensor.is_floating_point():
                tensor.add_(
                    0.05 * torch.rand_like(tensor) if "running_var" in name else 0.05 * torch.randn_like(tensor)
                )
    return learner


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A folder as a run leaves it: two checkpoints, and the artifact of the newer one."""
    folder = tmp_path_factory.mktemp("runs") / "mine"
    recipe = load_recipe("tiny64_ladder_dense", SMALL)
    folder.mkdir()
    (folder / "recipe.toml").write_text(recipe.to_toml())
    learner = build_learner(recipe)
    save_checkpoint(folder / "checkpoints", 1, {"step": 1, "learner": learner.state_dict()})
    state = trained(learner).state_dict()
    save_checkpoint(folder / "checkpoints", 2, {"step": 2, "learner": state})
    heads = {name: tensor for name, tensor in state.items() if not name.startswith("online.backbone.")}
    make_artifact(folder / "artifact", backbone=learner.online.backbone, recipe=recipe, heads=heads)
    return folder


def measure(run: Path | str, *keys: str) -> GradientsAnalysis:
    return analyse_gradients(str(run), [*KEYS, *keys], console=QUIET)


def maps(result: GradientsAnalysis) -> list[np.ndarray]:
    return [np.stack([one.maps[name] for name in result.levels]) for one in result.images]


@pytest.mark.parametrize(("lower", "layer"), [("res2", "layer1"), ("res3", "layer2")])
def test_against_finite_differences(lower: str, layer: str) -> None:
    """What the whole learner's loss does when the map of view 1 is pushed by a hook in the network."""
    torch.manual_seed(0)
    learner = Learner(build_backbone("test_resnet"), LEVELS["ladder_dense"], hidden=16, out=8, grid=4)
    learner = trained(learner).double().eval()
    view1, view2 = torch.randn(2, 3, 3, 64, 64, dtype=torch.float64)
    levels = [level for level in learner.levels if level.stage > lower]
    found = gradient_maps(learner, levels, lower, view1, view2)
    assert list(found) == [level.name for level in levels]
    pushes: list[torch.Tensor] = []

    def hook(module, inputs, output):
        return output + pushes.pop() if pushes else output  # the online network sees view 1 first

    getattr(learner.online.backbone, layer).register_forward_hook(hook)
    for seed in range(3):
        direction = torch.randn(found[levels[0].name].shape, dtype=torch.float64, generator=torch.manual_seed(seed))
        direction[0] = 0  # of some images only: each has a gradient of its own
        losses = []
        for size in (1e-6, -1e-6):
            pushes.append(size * direction)
            with torch.no_grad():
                losses.append(learner(view1, view2).losses)
        for level in levels:
            slope = 3 * (losses[0][level.name] - losses[1][level.name]) / 2e-6  # the loss is a mean over 3 images
            expected = (found[level.name] * direction).sum()
            assert abs(expected) > 1e-5
            torch.testing.assert_close(slope, expected, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("name", ["test_convnext", "test_efficientnet", "test_resnet"])
def test_any_network_whose_maps_lead_on(name: str) -> None:
    learner = Learner(build_backbone(name), LEVELS["byol"], hidden=8, out=8, grid=4).eval()
    (found,) = gradient_maps(learner, learner.levels, "res2", *torch.randn(2, 2, 3, 64, 64)).values()
    assert found.shape[0] == 2
    assert found.shape[2:] == (16, 16)
    assert found.abs().sum() > 0


def test_a_network_that_hands_out_copies_is_refused(monkeypatch) -> None:
    def copies(*args):
        return {stage: found.clone() for stage, found in pyramid(*args).items()}

    monkeypatch.setattr(gradients, "pyramid", copies)
    learner = Learner(build_backbone("test_resnet"), LEVELS["byol"], hidden=8, out=8, grid=4).eval()
    with pytest.raises(
        UserError, match="timm gives the maps of ResNet as copies: its res2 has no gradient of res5.global"
    ):
        gradient_maps(learner, learner.levels, "res2", *torch.randn(2, 2, 3, 64, 64))


def test_the_maps_of_an_image_do_not_depend_on_the_others(run: Path) -> None:
    """n=6 is one pass; chosen alone, in another order, images have the same maps."""
    six, chosen = measure(run), measure(run, "images=[4,1]")
    assert [one.index for one in six.images] == list(range(6))
    assert [one.index for one in chosen.images] == [4, 1]
    assert six.levels == ("res3.dense", "res4.global", "res5.global")
    assert maps(six)[0].shape == (3, 16, 16)
    for found, index in zip(maps(chosen), (4, 1), strict=True):
        np.testing.assert_allclose(found, maps(six)[index], rtol=1e-3, atol=1e-7)
        assert found.min() >= 0
    assert maps(measure(run, "lower=res4", "n=1"))[0].shape == (1, 4, 4)
    assert not np.allclose(maps(measure(run, "seed=1", "n=1"))[0], maps(six)[0], rtol=0.1)


def test_the_newest_checkpoint_and_the_artifact_are_the_same_learner(run: Path) -> None:
    ours, published = open_run(str(run)), open_run(str(run / "artifact"))
    assert (ours.step, ours.origin) == (2, str(run / "checkpoints" / "step_000000002.pt"))
    assert ours.learner.levels == LEVELS["ladder_dense"]
    theirs = published.learner.state_dict()
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.learner.state_dict().items())
    fresh = build_learner(ours.recipe).state_dict()
    same = [name for name in fresh if torch.equal(fresh[name], theirs[name])]
    assert all(name.endswith("num_batches_tracked") for name in same)


def test_spread() -> None:
    one = np.zeros((4, 4), np.float32)
    assert spread(one) is None
    one[1, 2] = 0.3
    assert spread(one) == pytest.approx(1 / 16)
    assert spread(np.full((4, 4), 0.3, np.float32)) == pytest.approx(1)


def test_the_picture_has_a_row_an_image_and_a_map_a_level(run: Path) -> None:
    figure = draw_gradients(measure(run, "n=2"))
    assert [panel.get_title() for panel in figure.axes[:5]] == [
        "image", "view 1", "∂ res3.dense / ∂ res2", "∂ res4.global / ∂ res2", "∂ res5.global / ∂ res2",
    ]  # fmt: skip
    assert len(figure.axes) == 2 * 5
    assert [len(panel.images) for panel in figure.axes] == [1] * 10
    assert "n = 2" in figure.get_suptitle()


def test_the_command(run: Path, tmp_path: Path, capsys) -> None:
    words = ["analyse", "gradients", str(run), *KEYS, "n=2", f"out={tmp_path / 'g'}", "--json"]
    with pytest.raises(SystemExit, match="0"):
        cli.main(words)
    facts = json.loads(capsys.readouterr().out)
    assert facts == json.loads((tmp_path / "g.json").read_text())
    assert {path.name for path in tmp_path.iterdir()} == {"g.json", "g.png", "g.svg"}
    found = np.array(facts["images"][1]["maps"]["res5.global"])
    assert facts["images"][1]["spread"]["res5.global"] == pytest.approx(
        found.sum() ** 2 / (256 * (found**2).sum()), rel=1e-3
    )


def test_an_artifact_without_heads_is_told_in_one_line(tmp_path: Path) -> None:
    artifact = make_artifact(tmp_path / "artifact")
    with pytest.raises(UserError, match=r"has no heads .*; name the folder of a run") as error:
        measure(artifact)
    assert "\n" not in str(error.value)


def test_heads_of_another_run_are_refused(run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "other"
    folder.mkdir()
    (folder / "recipe.toml").write_text(load_recipe("tiny64_byol", SMALL).to_toml())
    (folder / "checkpoints").symlink_to(run / "checkpoints")
    with pytest.raises(UserError, match="is not as the recipe beside it has it"):
        measure(folder)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (["lower=res5"], r"no level above lower=res5 \(its levels: res2.dense, .*\)"),
        (["lower=res1"], "lower: input should be 'res2'"),
        (["images=[6]"], r"images=\[6\]: data.images=shapes:6 has 6 images"),
        (["image=[6]"], "did you mean images?"),
    ],
)
def test_one_line_says_what_is_wrong(run: Path, keys: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        measure(run, *keys)
    assert "\n" not in str(error.value)
    with pytest.raises(UserError, match="a network at random has no heads"):
        measure("random:test_resnet")
