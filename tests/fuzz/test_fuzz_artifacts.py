"""An artifact's documents (config, metrics, provenance, recipe): read, or one line that names the file."""

import json
import shutil
import tomllib

import pytest
import tomli_w
import torch
import yaml
from artifact_factory import make_artifact, metric
from fuzzing import (
    JSON_VALUES,
    TEXTS,
    Tally,
    at_most_seconds,
    bounded,
    check_message,
    json_values,
    make_odd,
    places,
    replaced,
    spoilt,
    toml_values,
    without,
)
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from ladder_hub.artifact.changing import add_metrics
from ladder_hub.artifact.reading import load_heads, read_artifact
from ladder_hub.errors import UserError
from ladder_hub.info import describe
from ladder_hub.models import ModelError, create_model, read_config, resolve
from ladder_hub.weights import file_sha256, save_canonical, tensor_digest

HEADS = {"online.projectors.res5.weight": torch.ones(2, 3)}
# Facts of timm's that its own configs have and ours lack.
FOREIGN = {
    "model_args": {"act_layer": "relu", "drop_rate": 0.1},
    "pretrained_cfg": {
        "url": "",
        "file": None,
        "source": "timm",
        "hf_hub_id": "org/name",
        "custom_load": False,
        "label_offset": 0,
        "label_names": ["a"],
        "test_input_size": [3, 96, 96],
        "architecture": "test_resnet",
        "paper_ids": "arXiv:1",
    },
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return make_artifact(tmp_path_factory.mktemp("run") / "artifact", heads=HEADS)


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """Another model of the same network; each of its numbers is a three."""
    folder = make_artifact(tmp_path_factory.mktemp("run") / "other")
    tensors = {name: torch.full_like(tensor, 3) for name, tensor in load_file(folder / "model.safetensors").items()}
    save_canonical(tensors, folder / "model.safetensors")
    return folder


@pytest.fixture
def copy(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "mine")


def document(folder, name="config.json", foreign=False):
    found = json.loads((folder / name).read_text())
    if foreign:
        found["model_args"] = dict(FOREIGN["model_args"])
        found["pretrained_cfg"] |= FOREIGN["pretrained_cfg"]
    return found


def check_weights(model, folder) -> None:
    """Whatever a config says, a model that is given out holds the tensors of the file beside it."""
    if model is None:
        return
    expected = load_file(folder / "model.safetensors")
    state = model.state_dict()
    assert state.keys() >= expected.keys()
    assert all(torch.equal(state[key], tensor) for key, tensor in expected.items())
    assert model.load_receipt.matched == len(expected)


def test_the_documents_are_all_there(whole):
    counts = {name: len(places(document(whole, name))) for name in ("config.json", "metrics.json", "provenance.json")}
    assert counts["config.json"] > 50
    assert counts["metrics.json"] > 25
    assert counts["provenance.json"] > 15


def test_a_value_of_a_config_replaced(copy):
    tally, names, path = Tally(), document(copy, foreign=True), copy / "config.json"

    @bounded(600)
    @given(st.sampled_from(places(names)), json_values)
    def run(place, raw):
        path.write_text(spoilt(names, place, raw))
        config = tally.run(lambda: read_config(copy), path)
        assert config is None or {"pretrained_cfg", "ladder_hub", "model_args"} <= config.keys()

    run()
    assert tally.accepted > 50
    assert tally.refused > 100


def test_a_model_from_a_config_with_a_value_replaced(copy):
    tally, names, path = Tally(), document(copy, foreign=True), copy / "config.json"
    del names["model_args"]

    @bounded(40)
    @given(st.sampled_from(places(names)), json_values)
    def run(place, raw):
        path.write_text(spoilt(names, place, raw))
        model = tally.run(lambda: create_model(copy), copy, "timm has no architecture", "can't be built as asked")
        check_weights(model, copy)

    run()
    assert tally.accepted > 8
    assert tally.refused > 8


ARGUMENTS = [
    "layers",
    "channels",
    "depth",
    "act_layer",
    "norm_layer",
    "block",
    "stem_width",
    "output_stride",
    "cardinality",
]
ARGUMENTS += [
    "base_width",
    "drop_rate",
    "drop_path_rate",
    "block_args",
    "aa_layer",
    "in_chans",
    "global_pool",
    "img_size",
]
ARGUMENTS += [
    "pretrained_strict",
    "pretrained_filter_fn",
    "feature_cfg",
    "kwargs_filter",
    "device",
    "dtype",
    "cache_dir",
    "self",
]
HOSTILE_ARGUMENTS = [
    "[100000000, 1, 1, 1]",
    "[8192, 8192, 8192, 8192]",
    "[1e9]",
    '"torch.nn.ReLU"',
    '"eval"',
    "8192",
    "99999",
]


def test_arguments_of_the_network(copy):
    tally, names, path = Tally(), document(copy), copy / "config.json"
    values = st.one_of(st.sampled_from(HOSTILE_ARGUMENTS), json_values)

    @bounded(60)
    @given(st.sampled_from(ARGUMENTS), values)
    def run(argument, raw):
        path.write_text(spoilt(names | {"model_args": {argument: 1}}, ("model_args", argument), raw))
        model = tally.run(lambda: create_model(copy), copy, "can't be built as asked")
        check_weights(model, copy)

    run()
    assert tally.refused > 40


@pytest.mark.parametrize("depths", ["[8192, 8192, 8192, 8192]", "[8192, 1, 1, 1]"])
def test_a_network_that_nobody_can_build_is_not_begun(copy, depths):
    path = copy / "config.json"
    names = document(copy) | {"architecture": "resnet18", "model_args": {"layers": 1}}
    path.write_text(spoilt(names, ("model_args", "layers"), depths))
    names["ladder_hub"] = {}
    path.write_text(spoilt(names, ("model_args", "layers"), depths))
    with (
        pytest.raises(ModelError, match="its network has many more layers than there are weights"),
        at_most_seconds(15),
    ):
        create_model(copy)


@pytest.mark.parametrize(
    "cfg",
    [
        {"source": "local-dir", "file": "ELSEWHERE"},
        {"source": "local-dir", "file": "ELSEWHERE", "custom_load": True},
        {"source": "hf-hub", "hf_hub_id": "org/other"},
        {"file": "ELSEWHERE/model.safetensors", "custom_load": True},
        {"classifier": "layer4.0.conv1", "num_classes": 5},
        {"classifier": ["conv1", "layer1.0.conv1"], "num_classes": 5},
        {"first_conv": "layer1.0.conv1"},
        {"label_offset": 1, "classifier": "layer1.0.conv1"},
    ],
)
def test_a_config_leads_to_no_other_weights(copy, other, cfg):
    names = document(copy)
    names["pretrained_cfg"] |= {
        key: value.replace("ELSEWHERE", str(other)) if isinstance(value, str) else value for key, value in cfg.items()
    }
    (copy / "config.json").write_text(json.dumps(names))
    pyramid = create_model(copy, features_only=True)
    expected = load_file(copy / "model.safetensors")
    state = pyramid.state_dict()
    assert len(state) > 50
    assert all(torch.equal(value, expected[key]) for key, value in state.items())
    with_head = create_model(copy, num_classes=4).state_dict()
    assert all(torch.equal(with_head[key], tensor) for key, tensor in expected.items())


def test_any_bytes_as_a_config(copy):
    tally, path = Tally(), copy / "config.json"
    whole = path.read_bytes()

    @bounded(200)
    @given(st.binary(max_size=12), st.integers(0, len(whole)), st.booleans())
    def run(data, position, cut):
        path.write_bytes(whole[:position] + data + (b"" if cut else whole[position + len(data) :]))
        tally.run(lambda: read_config(copy), path)

    run()
    assert tally.accepted > 3
    assert tally.refused > 50


def test_a_model_described(copy):
    """`info` shows config, provenance and metrics: one of them has one value replaced."""
    documents = {name: document(copy, name) for name in ("config.json", "provenance.json", "metrics.json")}
    every = [(name, place) for name, found in documents.items() for place in places(found)]
    tally = Tally()

    @bounded(40)
    @given(st.sampled_from(every), json_values)
    def run(at, raw):
        name, place = at
        (copy / name).write_text(spoilt(documents[name], place, raw))
        try:
            found = tally.run(lambda: describe(str(copy)), copy, "timm has no architecture", "can't be built as asked")
        finally:
            (copy / name).write_text(json.dumps(documents[name]))
        if found is not None:
            assert json.loads(json.dumps(found)) == found
            assert all(value.isprintable() for value in found["model"].values())

    run()
    assert tally.accepted > 8
    assert tally.refused > 8


def test_metrics_added_to_a_spoilt_artifact(copy):
    """The card is drawn from all four documents; what was there stays where it is refused."""
    documents = {name: document(copy, name) for name in ("config.json", "provenance.json", "metrics.json")}
    every = [(name, place) for name, found in documents.items() for place in places(found)]
    new = metric(weights=documents["config.json"]["ladder_hub"]["digest"], stage="res4", value=0.25)
    welcome = (copy / "README.md").read_bytes()
    tally = Tally()

    @bounded(120)
    @given(st.sampled_from(every), json_values, st.booleans())
    def run(at, raw, left_out):
        name, place = at
        spoiled = (
            json.dumps(without(documents[name], place)) if left_out and place else spoilt(documents[name], place, raw)
        )
        (copy / name).write_text(spoiled)
        (copy / "README.md").write_bytes(welcome)
        try:
            tally.run(lambda: add_metrics(copy, [new]), copy, "timm has no architecture", "no feature pyramid")
            card = (copy / "README.md").read_text(encoding="utf-8")
        finally:
            for other, found in documents.items():
                (copy / other).write_text(json.dumps(found))
        _, front, body = card.split("---\n", 2)
        assert yaml.safe_load(front)["library_name"] == "timm"
        assert [line for line in body.splitlines() if not line.replace("\t", "").isprintable()] == []

    run()
    assert tally.accepted > 20
    assert tally.refused > 20


def test_a_value_of_the_artifacts_recipe_replaced(copy):
    path, tally = copy / "recipe.toml", Tally()
    found = tomllib.loads(path.read_text())
    new = metric(weights=document(copy)["ladder_hub"]["digest"])

    @bounded(80)
    @given(st.sampled_from(places(found)[1:]), toml_values)
    def run(place, raw):
        path.write_text(spoilt(found, place, raw, dump=tomli_w.dumps), encoding="utf-8")
        tally.run(lambda: add_metrics(copy, [new]), path, *map(str, place))

    run()
    assert tally.accepted > 0
    assert tally.refused > 30


@pytest.mark.parametrize("text", [text for text in TEXTS if text])
def test_words_in_a_recipe_and_its_provenance_stay_words(copy, text):
    """Names that hold Markdown's, YAML's or a terminal's own signs leave the card what it is."""
    provenance = document(copy, "provenance.json")
    for place in places(provenance)[1::6]:
        (copy / "provenance.json").write_text(json.dumps(replaced(provenance, place, f"{text}: '|\n\x1b---")))
        add_metrics(copy, [])
        card = (copy / "README.md").read_text()
        assert yaml.safe_load(card.split("---\n")[1])["library_name"] == "timm"
        assert "\x1b" not in card
        assert card.count("\n| ") == card.count(" |\n")


FILES = [
    "config.json",
    "metrics.json",
    "provenance.json",
    "recipe.toml",
    "model.safetensors",
    "ladder_heads.safetensors",
]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kind", ["pipe", "folder", "loop", "device", "empty", "not UTF-8", "huge"])
def test_a_document_that_is_no_file(copy, name, kind):
    path = copy / name
    path.unlink()
    make_odd(path, kind)
    tally = Tally()
    if name == "ladder_heads.safetensors":
        tally.run(lambda: load_heads(copy), path)
    elif name == "config.json":
        tally.run(lambda: create_model(copy), path)
    else:
        tally.run(
            lambda: (create_model(copy), read_artifact(copy), add_metrics(copy, [])),
            path,
            "no model.safetensors",
            "no recipe.toml",
        )
    # What is not a file counts as not there where a model can be without it.
    assert tally.refused or name in ("metrics.json", "provenance.json", "ladder_heads.safetensors")


def test_json_values_are_many():
    assert len(JSON_VALUES) > 50


@pytest.mark.parametrize(
    "name", ["x\0y", "x" * 5000, "local-dir:~nobody_here/x", "hf-hub:a\nb", "hf-hub:", "hf-hub:a/b@\x1b", "", "\x1b"]
)
def test_a_name_that_is_none(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tally = Tally()
    tally.run(lambda: resolve(name))
    tally.run(lambda: create_model(name))
    tally.run(lambda: describe(name))
    assert tally.refused == 3


@pytest.mark.parametrize("word", ["a\nb", "\x1b[2J", "x" * 50_000, "\u2028"])
def test_tensors_with_hostile_names(copy, word):
    path, names, tally = copy / "model.safetensors", document(copy), Tally()
    names["ladder_hub"] = {}
    (copy / "config.json").write_text(json.dumps(names))
    tensors = load_file(path)
    for spoiled in (
        tensors | {word: torch.zeros(1)},
        {word: torch.zeros(1)},
        {f"{word}.{name}": tensor for name, tensor in tensors.items()},
    ):
        save_canonical(spoiled, path)
        tally.run(lambda: create_model(copy), path)
    assert tally.refused == 3


def test_weights_of_another_kind_of_number(copy):
    path = copy / "model.safetensors"
    tensors = load_file(path)
    key = next(key for key, tensor in tensors.items() if tensor.is_floating_point())
    for dtype in (torch.int8, torch.uint16, torch.bool, torch.float8_e4m3fn, torch.bfloat16):
        changed = tensors | {key: tensors[key].to(dtype)}
        save_canonical(changed, path)
        names = document(copy)
        names["ladder_hub"] |= {"sha256": file_sha256(path), "digest": tensor_digest(changed)}
        (copy / "config.json").write_text(json.dumps(names))
        if dtype.is_floating_point:
            assert create_model(copy).load_receipt.verified
        else:
            with pytest.raises(UserError) as error:
                create_model(copy)
            check_message(str(error.value), f"{key} holds {dtype} where test_resnet has torch.float32")
