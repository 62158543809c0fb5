"""Distances between views: against numpy on the loader's own batches, and what must hold of them."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from artifact_factory import make_artifact
from rich.console import Console

from ladder_hub import cli
from ladder_hub.analysis.views import analyse_views
from ladder_hub.analysis.views_figure import draw_views
from ladder_hub.analysis.views_result import Pairs, StageViews, ViewsAnalysis
from ladder_hub.data.loader import TwoViews
from ladder_hub.data.photometric import Policy, augment
from ladder_hub.data.sources import open_source
from ladder_hub.downstream.subject import open_subject
from ladder_hub.errors import UserError
from ladder_hub.recipe import Recipe, load_recipe

QUIET = Console(quiet=True)
KEYS = ["data.images=shapes:12", "data.workers=0", "device=cpu", "image_size=64"]
STILL = ["views.crop_scale=[1.0,1.0]", "views.crop_ratio=[1.0,1.0]", "views.flip=0.0", "views.jitter=0.0"]
STILL += ["views.grey=0.0", "views.blur=[0.0,0.0]", "views.solarize=[0.0,0.0]"]


def measure(*models: str, keys: list[str] | None = None) -> ViewsAnalysis:
    return analyse_views(models or ["random:test_resnet"], [*KEYS, *(keys or [])], console=QUIET)


def distances(result: ViewsAnalysis, model: int = 0) -> np.ndarray:
    return np.stack([getattr(found.same, kind) for found in result.models[model].stages for kind in ("raw", "unit")])


def own_batch(recipe: Recipe, n: int):
    """The batch as the loader cuts it, augmented, by the recipe's numbers."""
    keys = recipe.views
    same = {"jitter": keys.jitter, "brightness": keys.brightness, "contrast": keys.contrast, "hue": keys.hue}
    same |= {"saturation": keys.saturation, "grey": keys.grey, "blur_sigma": keys.blur_sigma}
    policies = tuple(Policy(blur=keys.blur[v], solarize=keys.solarize[v], **same) for v in range(2))
    views = TwoViews(
        open_source("shapes:12", split="val"), size=64, crop_scale=keys.crop_scale, crop_ratio=keys.crop_ratio,
        flip=keys.flip, policies=policies, seed=0, batch_size=n, workers=0,
    )  # fmt: skip
    batch = next(views.batches(0, samples=n))
    return [augment(view, row) for view, row in zip(batch.views, batch.photometric, strict=True)]


def test_against_the_definition_in_float64() -> None:
    """The training views of byol_200e through a float64 network in eval mode, pooled and compared by numpy."""
    backbone = open_subject("random:test_resnet").backbone.double().eval()
    mean, std = (np.array(backbone.pretrained_cfg[key]).reshape(1, 3, 1, 1) for key in ("mean", "std"))
    pooled = []
    for images in own_batch(load_recipe("byol_200e"), 7):
        x = torch.from_numpy((images.double().numpy() / 255 - mean) / std)
        with torch.no_grad():
            maps = backbone.forward_intermediates(x, indices=[1, 2, 3, 4], intermediates_only=True)
        pooled.append([one.numpy().mean((2, 3)) for one in maps])
    result = measure(keys=["n=7", "batch_size=3"])
    assert result.n == 7
    for place, found in enumerate(result.models[0].stages):
        one, two = (view[place] for view in pooled)
        for pairs, second in ((found.same, two), (found.other, np.concatenate([two[1:], two[:1]]))):
            np.testing.assert_allclose(pairs.raw, np.linalg.norm(one - second, axis=1), rtol=1e-3)
            cosines = (one * second).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(second, axis=1)
            np.testing.assert_allclose(pairs.unit, np.sqrt(2 - 2 * cosines), rtol=1e-3, atol=1e-5)


def test_all_models_see_the_same_views_however_they_are_batched() -> None:
    alone = measure(keys=["batch_size=12"])
    beside = measure("random:test_convnext", "random:test_resnet", keys=["batch_size=5"])
    np.testing.assert_allclose(distances(beside, 1), distances(alone), rtol=1e-3)
    assert beside.models[1].weights == alone.models[0].weights
    assert not np.allclose(distances(beside, 0), distances(alone), rtol=0.1)
    assert not np.allclose(distances(measure(keys=["seed=1"])), distances(alone), rtol=0.1)


def test_views_that_do_not_differ_have_no_distance(tmp_path: Path) -> None:
    path = tmp_path / "still.toml"
    path.write_text(load_recipe("byol_200e", STILL).to_toml())
    for found in measure(keys=[f"recipe={path}"]).models[0].stages:
        assert found.same.raw.max() == found.same.unit.max() == found.ratio == 0
        assert found.other.raw.min() > 0


def test_the_views_are_the_run_s_own(tmp_path: Path) -> None:
    recipe = load_recipe("tiny64_ladder_dense", ["model.backbone=test_resnet", "data.train=train", *STILL[:2]])
    artifact = make_artifact(tmp_path / "artifact", recipe=recipe)
    keys = [key for key in KEYS if not key.startswith("image_size")]
    own = analyse_views([f"random:{artifact}", str(artifact)], keys, console=QUIET).views
    assert (own["recipe"], own["image_size"], own["crop_scale"]) == ("tiny64_ladder_dense", 64, [1.0, 1.0])
    base = analyse_views(["random:test_resnet"], [*keys, "n=2"], console=QUIET).views
    assert (base["recipe"], base["image_size"], base["crop_scale"]) == ("byol_200e", 224, [0.08, 1.0])
    other = measure(str(artifact), keys=["recipe=tiny64_byol", "image_size=32"]).views
    assert (other["recipe"], other["image_size"], other["crop_scale"]) == ("tiny64_byol", 32, [0.2, 1.0])


def test_the_interval_covers_the_ratio_and_is_narrower_for_more_images() -> None:
    rng = np.random.default_rng(0)
    few, many = (
        StageViews("res2", *(Pairs(values, values) for values in (rng.uniform(1, 2, n), rng.uniform(3, 5, n))))
        for n in (30, 3000)
    )
    assert many.ratio == pytest.approx(1.5 / 4, rel=0.03)
    (low, high), (lowest, highest) = many.interval(), few.interval()
    assert lowest < few.ratio < highest
    assert low < many.ratio < high
    assert high - low < (highest - lowest) / 3


def test_a_collapsed_stage_has_no_ratio_and_is_still_json() -> None:
    nothing = Pairs(np.zeros(4, np.float32), np.zeros(4, np.float32))
    facts = StageViews("res5", nothing, nothing).to_dict()
    assert facts["ratio"] is None
    assert facts["ratio_ci95"] == [None, None]
    json.dumps(facts, allow_nan=False)


def test_the_picture_has_a_violin_a_stage_and_model() -> None:
    above, below = draw_views(measure("random:test_resnet", "random:test_convnext")).axes
    assert (len(above.collections), len(below.collections)) == (2 * 4 * 2, 2 * 4 * 4)  # each with its median
    assert [text.get_text() for text in above.get_legend().get_texts()] == [
        "random:test_resnet",
        "random:test_convnext",
    ]
    assert "n = 12 images" in above.figure.get_suptitle()


def test_the_command_writes_three_files_and_prints_medians(tmp_path: Path, capsys) -> None:
    words = ["analyse", "views", "random:test_resnet", *KEYS, f"out={tmp_path / 'new' / 'a.b'}"]
    with pytest.raises(SystemExit, match="0"):
        cli.main(words)
    printed = capsys.readouterr().out.splitlines()
    facts = json.loads((tmp_path / "new" / "a.b.json").read_text())
    assert [path.name for path in sorted((tmp_path / "new").iterdir())] == ["a.b.json", "a.b.png", "a.b.svg"]
    stage = facts["models"][0]["stages"][0]
    assert stage["medians"]["same_raw"] == pytest.approx(np.median(stage["distances"]["same_raw"]), rel=1e-5)
    assert f"{stage['medians']['same_raw']:.3g}" in re.split(r"\s{2,}", printed[1])
    assert len(printed) == 1 + 4 + 3


@pytest.mark.parametrize(
    ("models", "keys", "message"),
    [
        ([], [], "takes at least one MODEL"),
        (["random:test_resnet"], ["data.images="], "data.images is missing"),
        (["random:test_resnet"], ["data.images=nowhere"], "data.images=nowhere does not exist"),
        (["random:test_resnet"], ["data.images=shapes:1"], "has one image"),
        (["random:test_resnet"], ["size=3"], "unknown key 'size'"),
        (["random:test_resnt"], [], "did you mean"),
    ],
)
def test_one_line_says_what_is_wrong(models: list[str], keys: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        analyse_views(models, [*KEYS, *keys], console=QUIET)
    assert "\n" not in str(error.value)


@pytest.mark.real
def test_real_images(real_data: Path) -> None:
    """A network at random: two views of one photograph are closer than those of two, at every stage."""
    shard = real_data / "tiny-imagenet-100" / "val-000000.tar"
    keys = [f"data.images={shard}", "n=64", "recipe=tiny64_byol"]
    stages = measure(keys=keys).models[0].stages
    assert all(0 < found.ratio < 1 for found in stages)
