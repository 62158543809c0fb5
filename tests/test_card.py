import re

import pytest
import yaml
from artifact_factory import PROVENANCE, RECIPE, VAL, make_artifact, metric
from huggingface_hub import ModelCard

from ladder_hub.artifact.reading import read_artifact
from ladder_hub.card import data_name, percent, render_card
from ladder_hub.recipe import load_recipe

CONFIG = {
    "architecture": "test_resnet",
    "ladder_hub": {"sha256": "5a" * 32, "digest": "d1" * 32, "recipe_fingerprint": "f00d" * 16},
}
METRICS = [
    metric(weights="d1" * 32),
    metric(
        weights="d1" * 32,
        stage="res4",
        value=0.3333,
        ci95=None,
        baseline=None,
        n=77,
        data={"train": "x", "val": "y"},
    ),
]


def render(metrics=METRICS, recipe=RECIPE, provenance=PROVENANCE):
    return render_card(recipe=recipe, config=CONFIG, provenance=provenance, metrics=metrics)


def table(card, heading):
    section = card.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows[2:]]


def test_the_front_matter_is_what_the_hub_reads():
    card = ModelCard(render())
    card.data.to_dict()
    assert (card.data.library_name, card.data.pipeline_tag) == ("timm", "image-feature-extraction")
    assert card.data.license == "apache-2.0"
    assert {"timm", "transformers", "self-supervised", "ladder-hub", "ladder_dense"} <= set(card.data.tags)
    first, second = card.data.eval_results
    assert (first.metric_type, first.metric_value, first.dataset_name) == ("accuracy", 43.2, data_name(VAL))
    assert first.metric_args == {"protocol": "knn:k20-t0.07", "stage": "res5", "n": 500}
    assert (second.metric_value, second.metric_name) == (33.3, "top1 of res4")


@pytest.mark.parametrize(
    ("protocol", "task"),
    [
        ("linear:sgd-coslr-100e", "image-classification"),
        ("det:mask-rcnn-fpn-1x", "object-detection"),
        ("seg:fcn-d8-voc-20k, changed: steps=2000", "image-segmentation"),
    ],
)
def test_the_protocol_tells_the_task(protocol, task):
    (result,) = ModelCard(render([metric(weights="d1" * 32, protocol=protocol)])).data.eval_results
    assert (result.task_type, result.task_name) == (task, protocol)


def test_without_measurements_there_is_no_model_index_and_no_figure():
    card = render(metrics=[])
    front = yaml.safe_load(card.split("---\n")[1])
    assert front.keys() == {"library_name", "license", "pipeline_tag", "tags"}
    assert "## Results\n\nNone measured.\n" in card


def test_the_licence_is_the_recipes():
    recipe = load_recipe("tiny64_byol", ["license=cc-by-nc-4.0", "data.train=x"])
    assert ModelCard(render(recipe=recipe)).data.license == "cc-by-nc-4.0"


def test_every_number_of_the_results_is_in_the_metrics():
    rows = table(render(), "Results")
    assert rows == [
        [
            "`knn:k20-t0.07`",
            "res5",
            "top1",
            "43.2",
            "38.9 to 47.6",
            "500",
            "1",
            "12.3",
            data_name(VAL),
            "2026-11-25",
        ],
        [
            "`knn:k20-t0.07`",
            "res4",
            "top1",
            "33.3",
            "not measured",
            "77",
            "1",
            "not measured",
            "y",
            "2026-11-25",
        ],
    ]
    given = set()
    for entry in METRICS:
        shares = [entry["value"], entry["baseline"], *(entry["ci95"] or ())]
        given |= {percent(share) for share in shares if share is not None} | {
            str(entry["n"]),
            str(entry["seeds"]),
        }
    for row in rows:
        figures = re.findall(r"\d+(?:\.\d+)?", " ".join(row[3:8]))
        assert figures
        assert set(figures) <= given


def test_the_baseline_is_named_for_what_it_is():
    # With init= the network before training is not an untrained one.
    assert "| before training |" in render()
    assert "ntrained" not in render().split("## Results")[1].split("## Training")[0]


def test_a_figure_without_interval_and_baseline_is_shown():
    entry = {key: value for key, value in METRICS[0].items() if key not in ("ci95", "baseline")}
    row = table(render(metrics=[entry]), "Results")[0]
    assert (row[3], row[4], row[7]) == ("43.2", "not measured", "not measured")


def test_the_cards_of_an_artifact_are_of_its_files(tmp_path):
    folder = make_artifact(tmp_path / "artifact")
    read = read_artifact(folder)
    card = (folder / "README.md").read_text()
    assert card == render_card(
        recipe=load_recipe(str(folder / "recipe.toml")),
        config=read.config,
        provenance=read.provenance,
        metrics=read.metrics,
    )
    assert read.config["ladder_hub"]["sha256"] in card


def test_the_levels_are_the_recipes():
    assert table(render(), "Method") == [
        ["res2", "4", "dense and global, their mean", "0.0625"],
        ["res3", "8", "dense and global, their mean", "0.125"],
        ["res4", "16", "global", "0.25"],
        ["res5", "32", "global", "1"],
    ]


def test_the_training_facts_are_the_provenances():
    rows = dict(table(render(), "Training"))
    assert rows["samples seen"] == "24,680"
    assert rows["data"] == "train (1,234 images, 12121212)"
    assert "energy" not in rows
    assert dict(table(render(provenance={"joules": 7.2e6}), "Training"))["energy"].startswith("2 kWh, by the counters")
    assert (rows["epochs"], rows["optimiser steps"], rows["wall time"]) == ("20", "96", "0 h 21 min")
    assert (rows["batch size"], rows["image size"]) == ("256 as 1 x 256 (BatchNorm: ghost, 256 images)", "64 pixels")
    # The artifact's own fingerprint: the published recipe, read again, may have lost a path and so have another.
    assert rows["recipe"] == "`tiny64_ladder_dense` (`recipe.toml`; fingerprint `f00df00df00d`)"
    origin = dict(table(render(), "Provenance"))
    assert (origin["code"], origin["versions"]) == ("`0123abc`", "torch 2.11.0, timm 1.0.31")
    dirty = dict(table(render(provenance={"commit": "0123abc+"}), "Provenance"))
    assert dirty["code"] == "`0123abc+`, the commit with changes on top"
    assert origin["sha256 of model.safetensors"] == f"`{'5a' * 32}`"


def test_what_was_not_recorded_is_not_made_up():
    card = render(provenance={})
    rows = dict(table(card, "Training")) | dict(table(card, "Provenance"))
    for key in (
        "samples seen",
        "epochs",
        "optimiser steps",
        "device",
        "wall time",
        "code",
        "versions",
        "command",
    ):
        assert rows[key] == "not recorded"


def test_a_bar_in_a_command_does_not_break_the_table():
    rows = table(render(provenance={"command": "ladder-hub train | tee log"}), "Provenance")
    assert ["command", "`ladder-hub train \\| tee log`"] in [[row[0], " | ".join(row[1:])] for row in rows]


@pytest.mark.parametrize(
    ("fingerprint", "name"),
    [
        (VAL, "val (500 images, 34343434)"),
        ({"source": "shapes"}, "shapes"),
        ("0123456789abcdef", "0123456789ab"),
        (None, "unknown"),
    ],
)
def test_data_is_named_for_people(fingerprint, name):
    assert data_name(fingerprint) == name


def test_the_paper_is_cited():
    assert "arXiv:2211.13844" in render()
