"""`verify`: what it looks at, and a figure measured again."""

import json
import shutil

import pytest
from artifact_factory import make_artifact, trained_backbone
from PIL import Image

from ladder_hub.artifact.changing import add_metrics
from ladder_hub.artifact.reading import read_artifact
from ladder_hub.cli import main
from ladder_hub.downstream.evaluation import eval_knn
from ladder_hub.publishing.verify import verify
from ladder_hub.recipe import load_recipe

KEYS = ["image_size=32", "k=3", "cache=false", "data.workers=0", "device=cpu"]


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Two colours, twelve images each: what any network tells apart."""
    folder = tmp_path_factory.mktemp("images")
    for kind, count in (("train", 12), ("val", 6), ("other", 5)):
        for number in range(count):
            for name, red in (("red", 200), ("blue", 20)):
                path = folder / kind / name / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.new("RGB", (40, 40), (red + number, 60, 220 - red + number)).save(path)
    return folder


@pytest.fixture(scope="module")
def measured(tmp_path_factory, images):
    recipe = load_recipe("tiny64_byol", ["model.backbone=test_resnet", "data.train=x", "data.license=cc0-1.0"])
    folder = tmp_path_factory.mktemp("run") / "artifact"
    make_artifact(folder, recipe=recipe, metrics=[], backbone=trained_backbone())
    eval_knn(str(folder), [f"data.train={images}/train", f"data.val={images}/val", *KEYS])
    return folder


@pytest.fixture
def mine(measured, tmp_path):
    return shutil.copytree(measured, tmp_path / "artifact")


def results(folder, *overrides):
    return {check.name: (check.result, bool(check.problems)) for check in verify(str(folder), overrides)}


def test_a_sound_model_and_its_receipt(measured):
    found = results(measured)
    assert not any(wrong for _, wrong in found.values())
    assert found["weights"][0].startswith("90 tensors of test_resnet, sha256 ")
    assert found["weights"][0].endswith("equal to the published one")
    assert {"config", "config against recipe", "card", "card against metrics", "licences"} < found.keys()


def test_a_figure_is_measured_again_and_nothing_is_written(measured, images):
    before = {path.name: path.read_bytes() for path in measured.iterdir()}
    found = results(measured, f"data.train={images}/train", f"data.val={images}/val", *KEYS)
    name = next(name for name in found if name.startswith("knn:"))
    assert not found[name][1]
    assert "% measured, " in found[name][0]
    assert " % on the card, 95 % interval " in found[name][0]
    assert {path.name: path.read_bytes() for path in measured.iterdir()} == before


def test_a_figure_that_is_not_reached_is_a_failure(mine, images, capsys):
    entry = read_artifact(mine).metrics[0]
    add_metrics(mine, [entry | {"value": 0.1, "ci95": [0.05, 0.2]}])
    with pytest.raises(SystemExit) as status:
        main(["verify", str(mine), f"data.train={images}/train", f"data.val={images}/val", *KEYS])
    assert status.value.code == 2
    said = capsys.readouterr()
    assert "10.0 % on the card, 95 % interval 5.0 to 20.0" in said.out
    assert said.err.splitlines()[-1] == f"ladder-hub: {mine} is not what it says: {entry['protocol']} res5 top1"


def test_other_images_and_other_protocols_are_not_compared(measured, images):
    data = [f"data.train={images}/train", f"data.val={images}/other"]
    other = results(measured, *data, *KEYS)
    assert [
        text
        for text, wrong in other.values()
        if "not to be compared: the card's is of other images, images0/val (12 images" in text
    ]
    keys = [key for key in KEYS if not key.startswith("k=")]
    unknown = results(measured, f"data.train={images}/train", f"data.val={images}/val", "k=5", *keys)
    assert [text for text, wrong in unknown.values() if text.endswith("; the card has no such figure")]
    assert not any(wrong for _, wrong in [*other.values(), *unknown.values()])


def test_damage_is_named_and_nothing_is_measured(mine, images):
    path = mine / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    found = results(mine, f"data.val={images}/val")
    assert "not the published weights: sha256 " in found["weights"][0]
    assert not [name for name in found if name.startswith("knn")]


def test_a_card_that_claims_more_is_named(mine, capsys):
    card = (mine / "README.md").read_text()
    (mine / "README.md").write_text(card.replace("## Limitations\n", "## Limitations\n\nIt reaches 99.9 % top-1.\n"))
    with pytest.raises(SystemExit) as status:
        main(["verify", str(mine), "--json"])
    assert status.value.code == 2
    said = capsys.readouterr()
    rows = {row["check"]: row["result"] for row in json.loads(said.out)}
    assert "99.9 % under 'Limitations' is not in metrics.json" in rows["card against metrics"]
    assert said.err == f"ladder-hub: {mine} is not what it says: card against metrics\n"
