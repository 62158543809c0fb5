import json

import pytest
import timm
import torch
from artifact_factory import FINGERPRINT, make_artifact

from ladder_hub.card import data_name
from ladder_hub.info import describe
from ladder_hub.models import create_model


@pytest.fixture
def artifact(tmp_path):
    return make_artifact(tmp_path / "artifact")


def test_the_facts_are_the_receipts_and_the_artifacts(artifact):
    found = describe(str(artifact))
    facts = found["model"]
    assert facts.items() >= create_model(artifact).load_receipt.facts().items()
    assert (facts["method"], facts["recipe"], facts["license"]) == ("ladder_dense", "tiny64_ladder_dense", "apache-2.0")
    assert facts["levels"].startswith("res2.dense x 0.0625, ")
    assert (facts["samples seen"], facts["data"]) == ("24680", data_name(FINGERPRINT))
    assert found["stages"] == [["res2", 4, 32], ["res3", 8, 48], ["res4", 16, 192], ["res5", 32, 96]]
    assert [entry["value"] for entry in found["metrics"]] == [0.4321]
    assert json.loads(json.dumps(found)) == found


def test_a_classifier_that_is_left_out_is_a_fact(tmp_path):
    torch.manual_seed(0)
    timm.models.save_for_hf(timm.create_model("test_resnet", num_classes=7), tmp_path, safe_serialization=True)
    facts = describe(str(tmp_path))["model"]
    assert set(facts["left out"].split(", ")) == {"fc.weight", "fc.bias"}
    assert "data" not in facts


@pytest.mark.parametrize("data", ["ImageNet", 3, {"name": "ImageNet"}, {"count": "many", "digest": 5}])
def test_data_that_others_describe_their_own_way_is_shown(artifact, data):
    (artifact / "provenance.json").write_text(json.dumps({"data": data}))
    assert describe(str(artifact))["model"]["data"] == data_name(data)


def test_a_model_that_nobody_trained_yet_is_described_by_its_command():
    found = describe("ladder_dense_r18")
    assert found["model"]["weights"] == "recipe only"
    assert found["model"]["train it"].startswith("ladder-hub train recipe=ladder_dense_200e ")
    assert [stage for stage, _, _ in found["stages"]] == ["res2", "res3", "res4", "res5"]
    assert found["metrics"] == []
