"""Figures go into the user's own artifact, with the baseline that its run has measured."""

import json
from pathlib import Path

import pytest
from artifact_factory import FINGERPRINT, VAL, make_artifact, metric

from ladder_hub.artifact.reading import ArtifactError, read_artifact
from ladder_hub.downstream.metrics import entry
from ladder_hub.downstream.record import keep


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    return make_artifact(tmp_path / "artifact", metrics=[metric(baseline=0.125)])


def figure(folder: Path, protocol: str = "linear:sgd-coslr-100e", **changes) -> dict:
    facts = {"protocol": protocol, "stage": "res5", "train": FINGERPRINT, "val": VAL}
    facts |= {"weights": read_artifact(folder).config["ladder_hub"]["digest"]}
    return entry("top1", 0.625, ci95=(0.5, 0.7), n=500, **(facts | changes))


def test_kept_on_file_and_card(artifact: Path) -> None:
    (kept,) = keep(str(artifact), read_artifact(artifact), [figure(artifact)])
    assert kept["baseline"] is None
    stored = json.loads((artifact / "metrics.json").read_text())
    assert stored[-1] == kept
    assert len(stored) == 2
    assert "linear:sgd-coslr-100e" in (artifact / "README.md").read_text()


def test_the_baseline_of_the_run_is_found(artifact: Path) -> None:
    (again,) = keep(str(artifact), read_artifact(artifact), [figure(artifact, "knn:k20-t0.07")])
    assert (again["value"], again["baseline"]) == (0.625, 0.125)
    (other,) = keep(str(artifact), read_artifact(artifact), [figure(artifact, "knn:k20-t0.07", stage="res2")])
    assert other["baseline"] is None


def test_a_baseline_of_its_own_stays(artifact: Path) -> None:
    (kept,) = keep(str(artifact), read_artifact(artifact), [figure(artifact, baseline=0.25)])
    assert kept["baseline"] == 0.25


def test_of_what_is_not_ours_nothing_is_written(artifact: Path) -> None:
    before = (artifact / "metrics.json").read_bytes()
    found = read_artifact(artifact)
    keep("hf-hub:org/name", found, [figure(artifact)])
    assert keep("random:test_resnet", None, [figure(artifact)])
    assert (artifact / "metrics.json").read_bytes() == before
    (artifact / "recipe.toml").unlink()
    keep(str(artifact), read_artifact(artifact), [figure(artifact)])
    assert (artifact / "metrics.json").read_bytes() == before


def test_what_can_not_be_kept_is_told(artifact: Path) -> None:
    found = read_artifact(artifact)
    with pytest.raises(ArtifactError, match=r"other weights.*: res5 top1 0\.6250"):
        keep(str(artifact), found, [figure(artifact, weights="ab" * 32)])
