import json
import re
import shutil
from pathlib import Path

import pytest
import safetensors.torch
import timm
import torch
from artifact_factory import REPOSITORY, make_artifact, python, trained_backbone

import ladder_hub
from ladder_hub import registry
from ladder_hub.backbone import BackboneError, skeleton, stage_channels
from ladder_hub.hub import HubError
from ladder_hub.models import ModelError, create_model, is_zoo_name, list_models, read_config, resolve
from ladder_hub.receipt import verify_weights
from ladder_hub.recipe import load_recipe
from ladder_hub.weights import WeightsError, file_sha256, load_tensors, save_canonical, tensor_digest

METHODS = ["byol", "dense_byol", "ladder_byol", "ladder_dense"]


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    return make_artifact(tmp_path_factory.mktemp("run") / "artifact")


@pytest.fixture
def copy(artifact, tmp_path):
    """An artifact of one's own to damage."""
    return shutil.copytree(artifact, tmp_path / "mine")


def rewrite(folder, change, *, digests=True):
    """Change a folder's tensors; with `digests` False they go unrecorded, as in other people's models."""
    path = folder / "model.safetensors"
    tensors = change(safetensors.torch.load_file(path))
    save_canonical(tensors, path)
    config = json.loads((folder / "config.json").read_text())
    if digests:
        config["ladder_hub"] |= {"sha256": file_sha256(path), "digest": tensor_digest(tensors)}
    else:
        del config["ladder_hub"]
    (folder / "config.json").write_text(json.dumps(config))


def test_the_zoo_lists_its_models_in_natural_order():
    names = list_models()
    assert len(names) == 20
    assert names[:5] == [
        "byol_r18.in1k_200e",
        "byol_r50.in1k_100e",
        "byol_r50.in1k_200e",
        "byol_r50.in1k_400e",
        "byol_test_resnet.tin100_5e",
    ]
    assert ladder_hub.list_models("ladder_byol_r50") == [f"ladder_byol_r50.in1k_{n}e" for n in (100, 200, 400)]
    assert list_models("*_r18") == [f"{method}_r18.in1k_200e" for method in METHODS]
    assert list_models("*400e") == [f"{method}_r50.in1k_400e" for method in METHODS]
    assert list_models("nothing*") == []


def test_only_what_was_trained_is_listed_as_pretrained():
    assert list_models(pretrained=True) == [f"{method}_test_resnet.tin100_5e" for method in METHODS]


@pytest.mark.parametrize("method", METHODS)
def test_a_shipped_model_loads_by_its_plain_name_with_no_network(method, tmp_path):
    code = f"""
import torch, ladder_hub
pyramid = ladder_hub.create_model("{method}_test_resnet", pretrained=True, features_only=True)
receipt, maps = pyramid.load_receipt, pyramid(torch.zeros(1, 3, 64, 64))
print(receipt.verified, receipt.source, *[tuple(each.shape) for each in maps])
"""
    said = python(code, cwd=tmp_path, HF_HUB_OFFLINE="1", HF_ENDPOINT="http://127.0.0.1:9")
    shapes = "(1, 32, 16, 16) (1, 48, 8, 8) (1, 192, 4, 4) (1, 96, 2, 2)"
    assert said.strip() == f"True {method}_test_resnet {shapes}"


@pytest.mark.parametrize("name", list_models())
def test_every_entry_has_a_recipe_that_trains_its_architecture(name):
    entry = registry.find(name)
    recipe = load_recipe(entry.recipe, [*entry.overrides, "data.train=x"])
    assert recipe.model.backbone == entry.architecture
    network, images = {"test_resnet": ("test_resnet", "tin100")}.get(
        entry.architecture, (f"r{entry.architecture[6:]}", "in1k")
    )
    assert name == f"{recipe.method}_{network}.{images}_{recipe.epochs}e"
    assert set(stage_channels(skeleton(entry.architecture))) == {"res2", "res3", "res4", "res5"}


def test_a_name_of_the_zoo_builds_a_headless_network_at_random():
    model = create_model("ladder_byol_r18")
    assert (type(model).__name__, model.num_classes, model.load_receipt) == ("ResNet", 0, None)
    assert model.pretrained_cfg["crop_pct"] == 0.875
    assert model(torch.zeros(2, 3, 64, 64)).shape == (2, 512)
    assert create_model("byol_r18.in1k_200e", num_classes=10)(torch.zeros(2, 3, 64, 64)).shape == (2, 10)


def test_a_folder_of_the_same_name_does_not_stand_in_for_the_zoo(tmp_path, monkeypatch):
    (tmp_path / "byol_r18").mkdir()
    monkeypatch.chdir(tmp_path)
    assert create_model("byol_r18").load_receipt is None


def test_a_pyramid_has_the_four_strides_unless_others_are_asked_for():
    pyramid = create_model("ladder_byol_r18", features_only=True)
    assert pyramid.feature_info.channels() == [64, 128, 256, 512]
    assert pyramid.feature_info.reduction() == [4, 8, 16, 32]
    shapes = [tuple(tensor.shape) for tensor in pyramid(torch.zeros(1, 3, 64, 64))]
    assert shapes == [(1, 64, 16, 16), (1, 128, 8, 8), (1, 256, 4, 4), (1, 512, 2, 2)]
    dilated = create_model("ladder_byol_r18", features_only=True, out_indices=(2, 4), output_stride=8)
    assert dilated.feature_info.reduction() == [8, 8]


@pytest.mark.parametrize(
    ("name", "options", "text"),
    [
        (
            "ladder_byol_r5",
            {},
            "no model 'ladder_byol_r5'; did you mean ladder_byol_r50 or ladder_byol_r18? "
            "(a folder or hf-hub:org/name is a model too)",
        ),
        (
            "xyzzy",
            {},
            "no model 'xyzzy'; `ladder-hub list` names all (a folder or hf-hub:org/name is a model too)",
        ),
        ("byol_r50.in1k_300e", {}, "byol_r50 has no tag 'in1k_300e'; it has in1k_100e, in1k_200e, in1k_400e"),
        ("org/name", {}, "no folder org/name; a model on the Hub is written hf-hub:org/name"),
        ("local-dir:nowhere", {}, "no folder nowhere; a model on the Hub is written hf-hub:org/name"),
        (
            "byol_r18",
            {"out_indices": (1,)},
            "byol_r18: out_indices choose maps of a pyramid; add features_only=True",
        ),
        (
            "ladder_dense_r18",
            {"pretrained": True},
            "ladder_dense_r18.in1k_200e: no weights are published (published are "
            f"{', '.join(f'{method}_test_resnet.tin100_5e' for method in METHODS)}); train it: ladder-hub train "
            "recipe=ladder_dense_200e model.backbone=resnet18 data.train=FOLDER",
        ),
    ],
)
def test_a_model_that_is_not_there_is_one_line(name, options, text):
    with pytest.raises(ModelError) as error:
        create_model(name, **options)
    assert str(error.value) == text
    assert error.value.exit_status == 2


def test_an_option_that_the_network_does_not_take_is_one_line():
    with pytest.raises(BackboneError, match=r"^resnet18 can't be built as asked: .*layer_scale"):
        create_model("byol_r18", layer_scale=1)


def test_an_odd_stride_is_one_line_though_timms_assert_has_no_text():
    with pytest.raises(BackboneError) as error:
        create_model("ladder_byol_r18", output_stride=7)
    assert str(error.value) == "resnet18 can't be built as asked: timm refuses output_stride=7, num_classes=0"


def test_a_path_is_taken_as_it_is_and_is_never_a_name_of_the_zoo(artifact, tmp_path, monkeypatch):
    assert resolve(artifact) == resolve(artifact.parent) == artifact
    receipt = create_model(artifact, features_only=True).load_receipt
    assert (receipt.source, receipt.verified) == (str(artifact), True)
    shutil.copytree(artifact, tmp_path / "byol_r18")
    monkeypatch.chdir(tmp_path)
    assert (is_zoo_name("byol_r18"), is_zoo_name(Path("byol_r18"))) == (True, False)
    assert create_model(Path("byol_r18")).load_receipt.verified
    with pytest.raises(ModelError) as error:
        create_model(Path("byol_r50"))
    assert str(error.value) == "no folder byol_r50; a model on the Hub is written hf-hub:org/name"


def test_an_artifact_loads_by_every_name_it_has(artifact):
    images = torch.randn(1, 3, 75, 101)
    expected = trained_backbone().eval().to(memory_format=torch.contiguous_format)
    with torch.no_grad():
        wanted = expected(images)
        for name in (artifact, artifact.parent, f"local-dir:{artifact}", artifact / "model.safetensors"):
            model = create_model(str(name)).eval()
            assert torch.equal(model(images), wanted)
            assert resolve(str(name)) == artifact
        maps = create_model(str(artifact), features_only=True).eval()(images)
        assert torch.equal(maps[-1], expected.forward_features(images))


def test_the_receipt_says_what_was_loaded(artifact):
    receipt = create_model(str(artifact), pretrained=True).load_receipt
    recorded = read_config(artifact)["ladder_hub"]
    assert (receipt.sha256, receipt.digest, receipt.branch) == (
        recorded["sha256"],
        recorded["digest"],
        "online",
    )
    assert receipt.matched == len(trained_backbone().state_dict())
    assert (receipt.missing, receipt.unexpected, receipt.verified) == ((), (), True)
    text = str(receipt)
    assert f"source       {artifact}\narchitecture test_resnet\nweights      model.safetensors, online branch" in text
    assert f"sha256       {receipt.sha256} (equal to the published one)" in text


def test_the_receipts_facts_are_its_text(artifact):
    receipt = create_model(str(artifact), num_classes=10).load_receipt
    facts = receipt.facts()
    assert facts["at random"] == "fc.weight, fc.bias"
    assert "left out" not in facts
    assert str(receipt).splitlines() == [f"{key:<13}{value}" for key, value in facts.items()]


def test_a_new_classifier_is_random_and_on_the_receipt(artifact):
    model = create_model(str(artifact), num_classes=10)
    assert model.load_receipt.missing == ("fc.weight", "fc.bias")
    assert torch.equal(model.layer4[0].conv1.weight, trained_backbone().layer4[0].conv1.weight)
    assert "at random    fc.weight, fc.bias" in str(model.load_receipt)


def test_other_input_channels_adapt_the_first_convolution(artifact):
    model = create_model(str(artifact), in_chans=1)
    assert torch.allclose(model.conv1[0].weight, trained_backbone().conv1[0].weight.sum(1, keepdim=True))
    assert model.load_receipt.verified


def test_no_weights_hang_on_the_loaded_network(artifact):
    model = create_model(str(artifact), features_only=True)
    assert "state_dict" not in model.pretrained_cfg


def test_a_classifier_that_was_not_asked_for_is_left_out_and_on_the_receipt(tmp_path):
    torch.manual_seed(0)
    other = timm.create_model("test_resnet", num_classes=7)
    timm.models.save_for_hf(other, tmp_path, safe_serialization=True)
    model = create_model(str(tmp_path))
    assert (model.num_classes, sorted(model.load_receipt.unexpected)) == (0, ["fc.bias", "fc.weight"])
    assert (model.load_receipt.verified, model.load_receipt.branch) == (False, "unknown")
    assert "(nothing published to compare it with)" in str(model.load_receipt)
    same = create_model(str(tmp_path), num_classes=7)
    assert torch.equal(same.fc.weight, other.fc.weight)
    assert (same.load_receipt.missing, same.load_receipt.unexpected) == ((), ())
    assert len(create_model(str(tmp_path), features_only=True).load_receipt.unexpected) == 2


def without_layer4(tensors):
    return {key: value for key, value in tensors.items() if not key.startswith("layer4")}


def prefixed(tensors):
    return {f"backbone.{key}": value for key, value in tensors.items()}


def with_a_head(tensors):
    return tensors | {"projector.weight": torch.zeros(3)}


def reshaped(tensors):
    return tensors | {"layer1.0.conv1.weight": torch.zeros(64, 64, 1, 1)}


@pytest.mark.parametrize("digests", [True, False])
@pytest.mark.parametrize(
    ("change", "text"),
    [
        (
            without_layer4,
            r"\d+ of the 90 tensors of test_resnet are missing: layer4\.0\.conv1\.weight, .*, …",
        ),
        (
            prefixed,
            "its names carry the prefix 'backbone.' that test_resnet doesn't have; save the backbone's own",
        ),
        (with_a_head, "holds a tensor that test_resnet doesn't have: projector.weight"),
        (
            reshaped,
            r"layer1.0.conv1.weight has the shape \[64, 64, 1, 1\], test_resnet needs \[32, 32, 3, 3\]; "
            "the weights are another architecture's",
        ),
    ],
)
def test_weights_that_do_not_fit_are_refused_by_name(copy, change, text, digests):
    rewrite(copy, change, digests=digests)
    for options in ({}, {"features_only": True}, {"num_classes": 10}):
        with pytest.raises(ModelError) as error:
            create_model(str(copy), **options)
        assert re.fullmatch(re.escape(f"{copy}/model.safetensors: ") + text, str(error.value))


@pytest.mark.parametrize("change", [without_layer4, prefixed])
def test_timm_alone_loads_the_same_files_without_a_word(copy, change):
    # The reason for all of this; when timm starts to refuse them, the checks may go.
    rewrite(copy, change)
    timm.create_model(f"local-dir:{copy}", pretrained=True, num_classes=10)


def test_other_bytes_than_the_published_ones_are_refused(copy):
    path = copy / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert timm.create_model(f"local-dir:{copy}", pretrained=True)  # the same size and layout: nobody else minds
    with pytest.raises(ModelError) as error:
        create_model(str(copy))
    published = read_config(copy)["ladder_hub"]["sha256"][:16]
    found = file_sha256(path)[:16]
    assert str(error.value) == (
        f"{path}: not the published weights: sha256 {found}…, published {published}…; fetch them again"
    )


def test_other_tensors_than_the_published_ones_are_refused(copy):
    config = read_config(copy)
    config["ladder_hub"]["digest"] = "0" * 64
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match=r"model.safetensors: not the published tensors: digest .*, published 0{16}…$"):
        verify_weights(copy / "model.safetensors", config)


def test_nothing_published_means_the_digest_is_computed(copy):
    """Where the file's own digest is published the tensors' is taken over with it: `verify` and `push` compute it."""
    config = read_config(copy)
    config["ladder_hub"] = {}
    (copy / "config.json").write_text(json.dumps(config))
    receipt = create_model(str(copy)).load_receipt
    assert receipt.digest == tensor_digest(load_tensors(copy / "model.safetensors"))
    assert not receipt.verified


def as_it_is(model, weights):
    """How many tensors of the model are the file's, by a comparison of our own."""
    own = {name.removeprefix("model.").replace(".", "_"): tensor for name, tensor in model.state_dict().items()}
    return sum(torch.equal(own.get(name.replace(".", "_"), torch.empty(0)), tensor) for name, tensor in weights.items())


@pytest.mark.parametrize(
    ("name", "options", "left_out", "random", "adapted"),
    [
        ("test_resnet", {}, 0, 0, 0),
        ("test_resnet", {"features_only": True}, 0, 0, 0),
        ("test_resnet", {"features_only": True, "out_indices": (1, 2)}, 42, 0, 0),
        ("test_resnet", {"output_stride": 16}, 0, 0, 0),
        ("test_resnet", {"num_classes": 7}, 0, 2, 0),
        ("test_resnet", {"in_chans": 1}, 0, 0, 1),
        ("test_resnet", {"in_chans": 6, "features_only": True}, 0, 0, 1),
        ("test_convnext", {"features_only": True}, 2, 0, 0),
        ("test_convnext", {"features_only": True, "out_indices": (0,)}, None, 0, 0),
        ("test_efficientnet", {"features_only": True}, None, 0, 0),
    ],
)
def test_a_receipt_is_that_of_the_finished_model(tmp_path, name, options, left_out, random, adapted):
    make_artifact(tmp_path / "a", recipe=load_recipe("tiny64_byol", [f"model.backbone={name}", "data.train=x"]))
    weights = load_tensors(tmp_path / "a" / "model.safetensors")
    model = create_model(tmp_path / "a", **options)
    receipt = model.load_receipt
    assert receipt.matched == as_it_is(model, weights) > 0
    assert receipt.matched + len(receipt.adapted) + len(receipt.unexpected) == len(weights)
    assert receipt.matched + len(receipt.adapted) + len(receipt.missing) == len(model.state_dict())
    assert (len(receipt.missing), len(receipt.adapted)) == (random, adapted)
    if left_out is not None:
        assert len(receipt.unexpected) == left_out


@pytest.mark.parametrize(
    "argument",
    [
        {"checkpoint_path": "other.safetensors"},
        {"pretrained_cfg": {"file": "other.safetensors"}},
        {"pretrained_cfg_overlay": {"state_dict": None}},
        {"pretrained_strict": False},
    ],
)
@pytest.mark.parametrize("name", ["artifact", "byol_r18"])
def test_what_would_replace_the_weights_is_refused_by_name(artifact, argument, name):
    (key,) = argument
    with pytest.raises(ModelError, match=f"^[^\n]*: {key} would replace the weights of this model"):
        create_model(str(artifact) if name == "artifact" else name, **argument)


def test_no_model_on_the_meta_device_and_no_raw_error(artifact):
    with torch.device("meta"), pytest.raises(ModelError, match="no memory there"):
        create_model(str(artifact))
    for odd in (3, "12", (1.5,)):
        with pytest.raises(ModelError, match="out_indices are whole numbers"):
            create_model(str(artifact), features_only=True, out_indices=odd)


def test_a_damaged_file_is_refused_whatever_its_config_says(copy):
    path = copy / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    config = read_config(copy)
    config["ladder_hub"] = {}
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(WeightsError, match="damaged or cut short: tensors take"):
        create_model(str(copy))


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".bin", ".ckpt"])
def test_no_pickle_is_trusted(tmp_path, suffix):
    path = tmp_path / f"pytorch_model{suffix}"
    torch.save({}, path)
    with pytest.raises(ModelError) as error:
        create_model(str(path))
    assert (
        str(error.value) == f"{path}: a pickle file; no pickle is trusted, a model is a folder with model.safetensors"
    )
    with pytest.raises(ModelError) as error:
        create_model(str(tmp_path))
    assert str(error.value) == f"{tmp_path}: no model.safetensors there, only {path.name}, and no pickle is trusted"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "config.json is not JSON: "),
        ("[]", "config.json: not the config of a timm model: it names no architecture"),
        ('{"architecture": "test_resnet", "ladder_hub": 3}', "config.json: ladder_hub is not a table"),
        (
            '{"architecture": "test_resnet", "model_args": {"act_layer": "nope"}}',
            "config.json: test_resnet can't be built as asked: timm refuses act_layer='nope', num_classes=0",
        ),
        (
            '{"architecture": "test_resnet", "model_args": {"zzz": 1}}',
            "config.json: test_resnet can't be built as asked: ResNet.__init__() got an unexpected keyword",
        ),
        (
            '{"architecture": "test_resnet", "model_args": {"pretrained": false}}',
            "config.json: model_args may not hold 'pretrained'; it is no argument of the network",
        ),
        (
            '{"architecture": "test_resnet", "pretrained_cfg": {"input_size": 64}}',
            "config.json: input_size 64 is not [channels, height, width]",
        ),
        (
            '{"architecture": "test_resnet", "pretrained_cfg": {"zzz": 1}}',
            "test_resnet can't be built as asked: PretrainedCfg.__init__() got an unexpected keyword argument 'zzz'",
        ),
        ('{"architecture": "test_resnet", "ladder_hub": {"sha256": 3}}', "sha256 "),
        ('{"architecture": "resnet10x"}', "timm has no architecture 'resnet10x'; did you mean resnet10t"),
    ],
)
def test_a_broken_config_is_one_line(copy, text, message):
    (copy / "config.json").write_text(text)
    with pytest.raises((ModelError, BackboneError)) as error:
        create_model(str(copy))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_folder_without_a_config_is_one_line(copy):
    (copy / "config.json").unlink()
    with pytest.raises(ModelError) as error:
        create_model(str(copy))
    assert str(error.value) == f"{copy}: no config.json; a model's folder holds config.json and model.safetensors"


def test_a_folder_without_a_model_is_one_line(tmp_path):
    with pytest.raises(ModelError) as error:
        create_model(str(tmp_path))
    assert str(error.value) == f"{tmp_path}: no model.safetensors there, so it is no model's folder"


@pytest.fixture
def published(artifact, tmp_path, monkeypatch):
    """A zoo with one published model, whose repository is in the Hub's cache."""
    zoo, cache, commit = tmp_path / "zoo", tmp_path / "cache", "1" * 40
    snapshot = cache / "models--org--mine" / "snapshots" / commit
    shutil.copytree(artifact, snapshot)
    zoo.mkdir()
    monkeypatch.setattr(registry, "shipped", tmp_path.joinpath)

    def write(sha256):
        (zoo / "index.toml").write_text(
            '["mine_r10.in1k_200e"]\narchitecture = "test_resnet"\nrecipe = "x"\nstatus = "published"\n'
            f'repository = "org/mine"\nrevision = "{commit}"\nsha256 = "{sha256}"\n'
            '["other_r10.in1k_200e"]\narchitecture = "test_resnet"\nrecipe = "x"\nstatus = "recipe only"\n'
        )
        return cache

    return write


def test_a_published_model_loads_by_name_and_is_checked_against_the_registry(artifact, published):
    cache = published(file_sha256(artifact / "model.safetensors"))
    assert list_models(pretrained=True) == ["mine_r10.in1k_200e"]
    receipt = create_model("mine_r10", pretrained=True, cache_dir=cache).load_receipt
    assert (receipt.source, receipt.verified) == ("mine_r10", True)
    with pytest.raises(ModelError, match=r"no weights are published \(published are mine_r10.in1k_200e\)"):
        create_model("other_r10", pretrained=True)


def test_a_repository_that_changed_under_the_registry_is_refused(published):
    cache = published("2" * 64)
    with pytest.raises(
        HubError, match=r"is not what was published \(sha256 .*, published 2{16}…\); it can't be fetched"
    ):
        create_model("mine_r10", pretrained=True, cache_dir=cache)


FORBIDDEN = [
    "pydantic",
    "typer",
    "ladder_hub.cli",
    "ladder_hub.recipe",
    "ladder_hub.siamese",
    "ladder_hub.training",
    "ladder_hub.data",
    "ladder_hub.downstream",
    "ladder_hub.publishing",
    "ladder_hub.formats",
]


def test_using_weights_brings_in_nothing_of_training(artifact, tmp_path):
    code = """
import json, sys
import ladder_hub, ladder_hub.models
ladder_hub.list_models()
listing = sorted(sys.modules)
import ladder_hub.hub, ladder_hub.pyramid
model = ladder_hub.create_model(sys.argv[1], features_only=True)
assert model.load_receipt.verified
loading = sorted(sys.modules)
from ladder_hub.recipe import load_recipe
print(json.dumps([listing, loading, sorted(sys.modules)]))
"""
    listing, loading, training = json.loads(python(code, artifact, cwd=tmp_path))
    assert not {"torch", "timm", "huggingface_hub", "safetensors", "numpy"} & set(listing)
    assert [name for name in FORBIDDEN if name in loading] == []
    # The check can fail: reading a recipe brings in what loading must not.
    assert {"pydantic", "ladder_hub.recipe"} <= set(training)
    assert (REPOSITORY / "ladder_hub" / "recipe.py").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_classes": "many"}, "config.json: num_classes 'many' is no number of classes"),
        ({"architecture": "../x"}, "config.json: architecture '../x' is no name of a timm network"),
        (
            {"model_args": {"layers": [10**8]}},
            "config.json: model_args: 'layers' holds 100000000; at most 8192 is taken",
        ),
        ({"model_args": {"pretrained_strict": False}}, "config.json: model_args may not hold 'pretrained_strict'"),
        ({"model_args": {"in_chans": 8}}, "in_chans is another number of channels than input_size has: 3"),
        ({"pretrained_cfg": {"input_size": [-3, 64, 64]}}, "input_size [-3, 64, 64] is not [channels, height, width]"),
        ({"pretrained_cfg": {"std": [0, 1, 1]}}, "config.json: std [0, 1, 1] is no list of a number a channel"),
        ({"pretrained_cfg": {"crop_pct": 0}}, "config.json: crop_pct 0 is not a share of a side"),
        ({"ladder_hub": {"levels": [3]}}, "config.json: ladder_hub.levels are no list of stage, loss and weight"),
        ({"ladder_hub": {"branch": 3}}, "config.json: ladder_hub.branch 3 is no text"),
    ],
)
def test_a_hostile_config_is_refused_before_anything_is_built(copy, change, message):
    config = json.loads((copy / "config.json").read_text()) | change
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError) as error:
        read_config(copy)
    assert message in str(error.value)


@pytest.mark.parametrize(
    "text", ['{"architecture": NaN}', '{"a": 1e400}', '{"a": 1, "a": 2}', "[" * 50_000, '{"a": "\udc80"}']
)
def test_what_is_not_quite_json_is_refused(copy, text):
    (copy / "config.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ModelError, match=r"config\.json is not (JSON|UTF-8 text): "):
        read_config(copy)


@pytest.mark.parametrize(
    "cfg",
    [
        {"source": "local-dir", "file": "OTHER"},
        {"source": "hf-hub", "hf_hub_id": "org/other"},
        {"classifier": "layer4.0.conv1", "num_classes": 7},
        {"label_offset": 1},
    ],
)
def test_a_config_names_no_other_weights_and_leaves_none_out(copy, artifact, tmp_path, cfg):
    other = make_artifact(tmp_path / "other", backbone=trained_backbone())
    rewrite(other, lambda tensors: {name: torch.full_like(tensor, 3) for name, tensor in tensors.items()})
    config = json.loads((copy / "config.json").read_text())
    config["pretrained_cfg"] |= {key: str(other) if value == "OTHER" else value for key, value in cfg.items()}
    (copy / "config.json").write_text(json.dumps(config))
    expected = safetensors.torch.load_file(copy / "model.safetensors")
    for model in (create_model(copy), create_model(copy, num_classes=4)):
        state = model.state_dict()
        assert all(torch.equal(state[name], tensor) for name, tensor in expected.items())


def test_a_network_out_of_all_proportion_to_its_weights_is_not_built(copy):
    config = json.loads((copy / "config.json").read_text())
    config |= {"architecture": "resnet18", "model_args": {"layers": [8192] * 4}}
    (copy / "config.json").write_text(json.dumps(config | {"ladder_hub": {}}))
    with pytest.raises(ModelError, match="its network has many more layers than there are weights"):
        create_model(copy)
