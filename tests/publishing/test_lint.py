"""Each thing that the lint must see, made wrong in one artifact after the other."""

import json
import shutil

import pytest
import torch
from artifact_factory import RECIPE, make_artifact, metric, trained_backbone
from huggingface_hub import ModelCard

from ladder_hub.artifact.changing import restate
from ladder_hub.artifact.reading import read_artifact
from ladder_hub.artifact.writing import write_imported
from ladder_hub.backbone import explicit_cfg
from ladder_hub.publishing.lint import lint
from ladder_hub.recipe import load_recipe

LICENSED = load_recipe(
    "tiny64_ladder_dense", ["model.backbone=test_resnet", "data.train=train", "data.license=cc0-1.0"]
)


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "artifact"
    heads = {"online.projectors.res5.weight": torch.ones(2, 3)}
    entries = [metric(), metric(stage="res4", value=0.3333, ci95=None, baseline=None, n=77)]
    from ladder_hub.weights import tensor_digest

    digest = tensor_digest(trained_backbone().state_dict())
    return make_artifact(
        folder, recipe=LICENSED, metrics=[entry | {"weights": digest} for entry in entries], heads=heads
    )


@pytest.fixture
def mine(artifact, tmp_path):
    return shutil.copytree(artifact, tmp_path / "artifact")


def problems(folder):
    return [problem for check in lint(folder, libraries=False) for problem in check.problems]


def test_a_sound_artifact_passes(artifact):
    assert problems(artifact) == []
    names = [check.name for check in lint(artifact.parent, libraries=False)]
    assert names == ["files", "weights", "config", "config against recipe", "card", "card against metrics", "licences"]


def change_json(folder, name, change):
    value = json.loads((folder / name).read_text())
    change(value)
    (folder / name).write_text(json.dumps(value))


def change_card(folder, old, new):
    text = (folder / "README.md").read_text()
    assert old in text
    (folder / "README.md").write_text(text.replace(old, new))


CONFIG = [
    (lambda c: c.update(auto_map={}), "unknown key auto_map"),
    (lambda c: c["pretrained_cfg"].update(url="x"), "unknown key pretrained_cfg.url"),
    (lambda c: c["pretrained_cfg"].update(hf_hub_id="timm/x"), "unknown key pretrained_cfg.hf_hub_id"),
    (lambda c: c["ladder_hub"].update(note="x"), "unknown key ladder_hub.note"),
    (lambda c: c["pretrained_cfg"].pop("crop_pct"), "pretrained_cfg lacks crop_pct: timm would inherit it from other"),
    (lambda c: c["pretrained_cfg"].pop("license"), "pretrained_cfg lacks license: timm would inherit it from other"),
    (lambda c: c.update(model_args={"in_chans": 3}), "model_args is not empty; transformers can't load such a model"),
    (lambda c: c["ladder_hub"].pop("sha256"), "ladder_hub.sha256 is missing: nobody could check the weights"),
    (lambda c: c["ladder_hub"].update(sha256="0" * 64), "not the published weights: sha256 "),
    (lambda c: c["ladder_hub"].update(digest="0" * 64), "not the published tensors: digest "),
    (lambda c: c["ladder_hub"].pop("heads_sha256"), "ladder_heads.safetensors and ladder_hub.heads_sha256 must both"),
    (lambda c: c["ladder_hub"].update(heads_sha256="0" * 64), "not the published heads: sha256 "),
    (lambda c: c.update(architecture="resnet18"), "architecture is 'resnet18', by recipe.toml and provenance.json it"),
    (
        lambda c: c["pretrained_cfg"].update(crop_pct=0.9),
        "pretrained_cfg.crop_pct is 0.9, by recipe.toml and provenance",
    ),
    (
        lambda c: c["ladder_hub"].update(method="byol"),
        "ladder_hub.method is 'byol', by recipe.toml and provenance.json",
    ),
    (lambda c: c["ladder_hub"]["levels"].pop(), "ladder_hub.levels is [{'stage': 'res2'"),
    (
        lambda c: c["ladder_hub"].update(samples_seen=5),
        "ladder_hub.samples_seen is 5, by recipe.toml and provenance.json",
    ),
    (lambda c: c.update(num_features=5), "num_features is 5, by recipe.toml and provenance.json it should be"),
]


@pytest.mark.parametrize(("change", "text"), CONFIG, ids=[text[:40] for _, text in CONFIG])
def test_a_config_that_says_otherwise_is_seen(mine, change, text):
    change_json(mine, "config.json", change)
    assert [problem for problem in problems(mine) if text in problem]


RESULTS = "## Results\n"
CARD = [
    ("| 43.2 |", "| 73.2 |", "73.2 in the column '%' is not in metrics.json"),
    ("38.9 to 47.6", "42.9 to 43.6", "42.9 in the column '95 % interval' is not in metrics.json"),
    ("| 33.3 |", "| 43.2 |", "43.2 in the column '%' is not in metrics.json"),  # another row's
    ("| 500 |", "| 50000 |", "50000 in the column 'images' is not in metrics.json"),
    ("| res4 | top1", "| res3 | top1", "knn:k20-t0.07 res3 top1 is not in metrics.json"),
    ("value: 43.2", "value: 74.3", "model-index: top1 of res5 = 74.3 is not in metrics.json"),
    ("value: 33.3", "value: 44.4", "model-index: top1 of res4 = 44.4 is not in metrics.json"),
    (RESULTS, RESULTS + "It reaches 74.3 % on ImageNet.\n", "74.3 % under 'Results' is not in metrics.json"),
    (
        "## Limitations\n",
        "## More\n\n| set | top-1 |\n| --- | --- |\n| a | 61 |\n\n",
        "61 in the column 'top-1' is not in",
    ),
    ("library_name: timm", "library_name: torch", "library_name is 'torch', it should be 'timm'"),
    ("license: apache-2.0", "license: mit", "license is 'mit', it should be 'apache-2.0'"),
    ("license: apache-2.0", "license: [", "its front matter is not what the Hub reads"),
    ("model-index:\n", "model-index: 3\nother:\n", "its front matter is not what the Hub reads"),
    (
        "| training images | cc0-1.0 |",
        "| training images | not stated |",
        "no licence of the training images is stated",
    ),
    ("## Licences", "## Other", "no licence of the weights is stated"),
]


@pytest.mark.parametrize(("old", "new", "text"), CARD, ids=[text[:40] for *_, text in CARD])
def test_a_card_that_says_otherwise_is_seen(mine, old, new, text):
    change_card(mine, old, new)
    assert [problem for problem in problems(mine) if text in problem]


def test_the_papers_figures_may_stand_in_their_own_column(mine):
    ours = "\n\n| task | this model, top-1 | paper, top-1 |\n| --- | --- | --- |\n| knn | 43.2 | 74.3 |\n"
    change_card(mine, "\n## Limitations\n", f"\n## Beside the paper{ours}\n## Limitations\n")
    assert problems(mine) == []
    change_card(mine, "| paper, top-1 |", "| ImageNet, top-1 |")
    assert problems(mine) == [
        "README.md: under 'Beside the paper': 74.3 in the column 'ImageNet, top-1' is not in metrics.json"
    ]


def test_a_result_with_a_source_is_somebody_elses(mine):
    card = ModelCard((mine / "README.md").read_text())
    card.data.eval_results[0].source_url = "https://arxiv.org/abs/2211.13844"
    card.data.eval_results[0].source_name = "the paper"
    (mine / "README.md").write_text(str(card))
    assert "names a source: a figure of somebody else's is no result of these weights" in problems(mine)[0]


def test_a_figure_of_other_weights_is_seen(mine):
    change_json(mine, "metrics.json", lambda entries: entries[1].update(weights="0" * 64))
    assert problems(mine) == ["metrics.json: knn:k20-t0.07 of res4 is of other weights"]


@pytest.mark.parametrize("name", ["notes.txt", "pytorch_model.bin", ".env", "model.ckpt", "evil.py", "checkpoints"])
def test_a_file_outside_the_list_is_seen(mine, name):
    (mine / name).mkdir() if name == "checkpoints" else (mine / name).write_bytes(b"x")
    assert [p.split(" is no file of an artifact; ")[0] for p in problems(mine)] == [name]


@pytest.mark.parametrize("name", ["README.md", "provenance.json", "metrics.json"])
def test_a_missing_file_is_seen(mine, name):
    (mine / name).unlink()
    assert f"{name} is missing" in problems(mine)


def test_a_link_and_a_secret_are_seen(mine, tmp_path):
    (tmp_path / "private").write_text("# mine")
    (mine / "curves.png").unlink()
    (mine / "curves.png").symlink_to(tmp_path / "private")
    change_json(
        mine, "provenance.json", lambda facts: facts.update(command="HF_TOKEN=hf_abcdefghijklmnopqrstuvwx train")
    )
    assert problems(mine) == [
        "curves.png is a link or no file; only plain files are published",
        "provenance.json holds what looks like a password or token",
    ]


def test_the_licence_of_the_images_can_be_stated_afterwards(tmp_path):
    folder = make_artifact(tmp_path / "artifact", recipe=RECIPE, metrics=[])
    fingerprint = read_artifact(folder).config["ladder_hub"]["recipe_fingerprint"]
    assert problems(folder) == ["README.md: no licence of the training images is stated; state it: data.license=ID"]
    restate(folder, {"data.license": "cc-by-4.0"})
    assert problems(folder) == []
    assert "| training images | cc-by-4.0 |" in (folder / "README.md").read_text()
    assert load_recipe(str(folder / "recipe.toml")).fingerprint() == fingerprint


def test_a_model_of_other_origin_is_judged_by_what_it_has(mine):
    (mine / "recipe.toml").unlink()
    checks = {check.name: check for check in lint(mine, libraries=False)}
    assert checks["config and card"].note.startswith("not written by ladder-hub")
    assert (checks["weights"].result, checks["files"].result) == ("ok", "ok")


@pytest.mark.parametrize(
    ("license", "found"),
    [
        ("mit", []),
        ("unknown", ["the licence of the imported weights is not known; ask their authors before you publish"]),
    ],
)
def test_imported_weights_need_the_licence_of_their_authors(tmp_path, license, found):
    cfg = explicit_cfg("test_resnet", image_size=64, crop_pct=1.0, license=license)
    origin = {"layout": "moco", "title": "MoCo", "branch": "online", "license": license, "license_stated_by": "us"}
    tensors = {name: tensor.contiguous() for name, tensor in trained_backbone().state_dict().items()}
    folder = tmp_path / "artifact"
    write_imported(folder, architecture="test_resnet", tensors=tensors, cfg=cfg, origin=origin)
    assert [problem.removesuffix(" them") for problem in problems(folder)] == found
