"""Every export target: read back by the tool it is for where that is installed, and by our own import."""

import ast
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch
import torch
import torchvision
import yaml
from artifact_factory import make_artifact, trained_backbone
from originals import DetectronResNet18, randomised

import ladder_hub
from ladder_hub import cli
from ladder_hub.backbone import build_backbone
from ladder_hub.formats import FormatError, exporting
from ladder_hub.formats.exporting import TARGETS, export_model
from ladder_hub.formats.importing import import_checkpoint
from ladder_hub.models import create_model
from ladder_hub.recipe import load_recipe

STAGES = ["res2", "res3", "res4", "res5"]


def artifact_of(name: str, folder: Path) -> Path:
    recipe = load_recipe("tiny64_ladder_dense", [f"model.backbone={name}", "data.train=train"])
    return make_artifact(folder, backbone=randomised(build_backbone(name), 3), recipe=recipe)


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    return artifact_of("resnet18", tmp_path_factory.mktemp("run") / "artifact")


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """test_resnet: a thirtieth of resnet18, with a stem that no other tool has."""
    return make_artifact(tmp_path_factory.mktemp("run") / "artifact", backbone=trained_backbone("test_resnet"))


@pytest.fixture(scope="module")
def program(small, tmp_path_factory):
    """The exported program of `small`."""
    path = tmp_path_factory.mktemp("program") / "r.pt2"
    export_model(str(small), "torch_export", [f"out={path}"])
    return path


@pytest.fixture(scope="module")
def graph(small, tmp_path_factory):
    """`small` as ONNX."""
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    path = tmp_path_factory.mktemp("graph") / "r.onnx"
    export_model(str(small), "onnx", [f"out={path}"])
    return path


@pytest.fixture
def images():
    return torch.randn(2, 3, 70, 96, generator=torch.Generator().manual_seed(3))


def refusal(*arguments) -> str:
    with pytest.raises(FormatError) as error:
        export_model(*arguments)
    assert "\n" not in str(error.value)
    return str(error.value)


def maps(artifact, images):
    with torch.no_grad():
        return create_model(artifact, features_only=True).eval()(images)


def test_the_targets_are_those_of_the_docs():
    assert list(TARGETS) == ["torchvision", "detectron2", "mmdet", "mmseg", "onnx", "torch_export", "safetensors"]
    page = (Path(__file__).parents[2] / "docs" / "interop.md").read_text()
    assert all(f"`{target}`" in page for target in TARGETS)


SUFFIX = {"safetensors": ".safetensors"}


@pytest.mark.parametrize("target", ["torchvision", "detectron2", "mmdet", "mmseg", "safetensors"])
def test_there_and_back_is_the_same_to_the_bit(target, artifact, tmp_path):
    out = tmp_path / f"model{SUFFIX.get(target, '.pth')}"
    report = export_model(str(artifact), target, [f"out={out}"])
    assert report.files[0] == out
    import_checkpoint(out, [f"out={tmp_path / 'back'}"])
    before, after = (create_model(folder) for folder in (artifact, tmp_path / "back"))
    assert after.load_receipt.digest == before.load_receipt.digest == report.digest
    assert (tmp_path / "back" / "model.safetensors").read_bytes() == (artifact / "model.safetensors").read_bytes()


def test_torchvision_takes_the_file_and_gives_the_same_outputs(artifact, images, tmp_path):
    report = export_model(str(artifact), "torchvision", [f"out={tmp_path / 'r18.pth'}"])
    names = {"torch": torch, "torchvision": torchvision}
    exec("\n".join(report.notes), names)
    with torch.no_grad():
        assert torch.equal(names["model"].eval()(images), create_model(artifact).eval()(images))


def test_detectron2_takes_plain_tensors_under_its_names(artifact, images, tmp_path):
    report = export_model(str(artifact), "detectron2", [f"out={tmp_path / 'r18.pth'}"])
    assert [path.name for path in report.files] == ["r18.pth", "r18.yaml"]
    network = DetectronResNet18()
    network.load_state_dict(torch.load(tmp_path / "r18.pth", weights_only=True))
    with torch.no_grad():
        torch.testing.assert_close(network.eval()(images), create_model(artifact).eval()(images))


def test_detectron2s_config_says_what_its_defaults_do_not(artifact, tmp_path):
    export_model(str(artifact), "detectron2", [f"out={tmp_path / 'r18.pth'}"])
    config = yaml.safe_load((tmp_path / "r18.yaml").read_text())
    assert config["MODEL"] == {
        "WEIGHTS": f"{tmp_path / 'r18.pth'}?matching_heuristics=True",
        "PIXEL_MEAN": [123.675, 116.28, 103.53],
        "PIXEL_STD": [58.395, 57.12, 57.375],
        "BACKBONE": {"FREEZE_AT": 0},
        "RESNETS": {
            "DEPTH": 18,
            "NUM_GROUPS": 1,
            "WIDTH_PER_GROUP": 64,
            "STRIDE_IN_1X1": False,
            "NORM": "SyncBN",
            "RES2_OUT_CHANNELS": 64,
        },
        "FPN": {"NORM": "SyncBN"},
    }
    assert config["INPUT"] == {"FORMAT": "RGB"}


def test_a_pickle_is_written_only_when_asked_for(artifact, tmp_path):
    assert "ends in .pth" in refusal(str(artifact), "detectron2", [f"out={tmp_path / 'r18.pkl'}"])
    assert "ends in .pkl" in refusal(str(artifact), "detectron2", [f"out={tmp_path / 'r18.pth'}", "pickle=true"])
    export_model(str(artifact), "detectron2", [f"out={tmp_path / 'r18.pkl'}", "pickle=true"])
    found = pickle.loads((tmp_path / "r18.pkl").read_bytes())
    assert (found["__author__"], found["matching_heuristics"]) == ("ladder-hub", True)
    assert found["model"].keys() == DetectronResNet18().state_dict().keys()
    assert yaml.safe_load((tmp_path / "r18.yaml").read_text())["MODEL"]["WEIGHTS"] == str(tmp_path / "r18.pkl")


@pytest.mark.parametrize(
    ("target", "preprocessor"), [("mmdet", "DetDataPreprocessor"), ("mmseg", "SegDataPreProcessor")]
)
def test_openmmlabs_config_names_the_file_and_warns_of_deep_stems(target, preprocessor, artifact, tmp_path):
    report = export_model(str(artifact), target, [f"out={tmp_path / 'r18.pth'}"])
    names: dict = {}
    exec((tmp_path / "r18.py").read_text(), names)
    backbone = names["model"]["backbone"]
    assert (backbone["type"], backbone["depth"], backbone["style"]) == ("ResNet", 18, "pytorch")
    assert (backbone["frozen_stages"], backbone["norm_eval"]) == (-1, False)
    assert backbone["init_cfg"] == {"type": "Pretrained", "checkpoint": str(tmp_path / "r18.pth")}
    pixels = names["model"]["data_preprocessor"]
    assert (pixels["type"], pixels["mean"], pixels["bgr_to_rgb"]) == (preprocessor, [123.675, 116.28, 103.53], True)
    assert "V1c" in report.notes[-1]
    assert "V1c" in (tmp_path / "r18.py").read_text()
    found = torch.load(tmp_path / "r18.pth", weights_only=True)
    assert found["state_dict"].keys() == create_model(artifact).state_dict().keys()


def test_a_fragment_holds_any_path(artifact, tmp_path):
    folder = tmp_path / 'a "b" \\ c'
    folder.mkdir()
    export_model(str(artifact), "mmdet", [f"out={folder / 'x.pth'}"])
    ast.parse((folder / "x.py").read_text())
    names: dict = {}
    exec((folder / "x.py").read_text(), names)
    assert names["model"]["backbone"]["init_cfg"]["checkpoint"] == str(folder / "x.pth")


def test_resnext_and_wide_networks(tmp_path):
    for name in ("resnext50_32x4d", "wide_resnet50_2"):
        folder = artifact_of(name, tmp_path / name)
        export_model(str(folder), "detectron2", [f"out={tmp_path / 'x.pth'}", "overwrite=true"])
        facts = yaml.safe_load((tmp_path / "x.yaml").read_text())["MODEL"]["RESNETS"]
        groups = (facts["DEPTH"], facts["NUM_GROUPS"], facts["WIDTH_PER_GROUP"])
        assert groups == ((50, 32, 4) if "next" in name else (50, 1, 128))
        assert "RES2_OUT_CHANNELS" not in facts
    assert "its ResNet knows no width" in refusal(str(folder), "mmdet", [f"out={tmp_path / 'y.pth'}"])
    export_model(str(tmp_path / "resnext50_32x4d"), "mmdet", [f"out={tmp_path / 'y.pth'}"])
    names: dict = {}
    exec((tmp_path / "y.py").read_text(), names)
    assert {"type": "ResNeXt", "groups": 32, "base_width": 4}.items() <= names["model"]["backbone"].items()


@pytest.mark.parametrize("target", ["torchvision", "detectron2", "mmdet", "mmseg"])
def test_a_network_that_the_tool_lacks_is_refused(target, small, tmp_path):
    text = refusal(str(small), target, [f"out={tmp_path / 'x.pth'}"])
    assert text.startswith(f"to={target} has no test_resnet; it takes resnet18, ")
    assert list(tmp_path.iterdir()) == []


def test_onnx_runs_in_another_process_without_torch(small, graph, tmp_path):
    sizes = [(1, 64, 64), (3, 97, 130)]
    generator = torch.Generator().manual_seed(1)
    batches = [torch.randn(batch, 3, height, width, generator=generator) for batch, height, width in sizes]
    safetensors.torch.save_file({str(i): batch for i, batch in enumerate(batches)}, tmp_path / "in")
    code = (
        "import sys, onnxruntime\nfrom safetensors.numpy import load_file, save_file\n"
        "session = onnxruntime.InferenceSession(sys.argv[1], providers=['CPUExecutionProvider'])\n"
        "found = {f'{key}.{out.name}': array for key, images in load_file(sys.argv[2]).items()\n"
        "  for out, array in zip(session.get_outputs(), session.run(None, {'images': images}))}\n"
        "save_file(found, sys.argv[3])\nassert 'torch' not in sys.modules\n"
    )
    words = [sys.executable, "-c", code, str(graph), *(str(tmp_path / name) for name in ("in", "out"))]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = safetensors.torch.load_file(tmp_path / "out")
    for number, batch in enumerate(batches):
        for stage, expected in zip(STAGES, maps(small, batch), strict=True):
            torch.testing.assert_close(found[f"{number}.{stage}"], expected, atol=1e-4, rtol=1e-4)


def test_onnx_without_its_packages_says_what_to_install(small, tmp_path, monkeypatch):
    from ladder_hub.formats.targets import onnx

    monkeypatch.setattr(onnx, "find_spec", lambda name: None if name == "onnxscript" else object())
    text = refusal(str(small), "onnx", [f"out={tmp_path / 'r.onnx'}"])
    assert text == "to=onnx needs onnxscript: pip install 'ladder-hub[onnx]'"


def test_an_exported_program_runs_without_timm(small, program, tmp_path):
    batch = torch.randn(3, 3, 97, 130, generator=torch.Generator().manual_seed(1))
    torch.save(batch, tmp_path / "in")
    code = (
        "import sys, torch\nprogram = torch.export.load(sys.argv[1]).module()\n"
        "torch.save(list(program(torch.load(sys.argv[2]))), sys.argv[3])\n"
        "assert not {'timm', 'ladder_hub'} & sys.modules.keys()\n"
    )
    words = [sys.executable, "-c", code, str(program), *(str(tmp_path / name) for name in ("in", "out"))]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for found, expected in zip(torch.load(tmp_path / "out"), maps(small, batch), strict=True):
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("kind", ["program", "graph"])
def test_no_exported_file_names_a_folder_of_this_machine(kind, request):
    data = request.getfixturevalue(kind).read_bytes()
    for place in (Path(ladder_hub.__file__).parents[1], Path(torch.__file__).parents[1]):
        assert os.fsencode(place) not in data


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_safetensors_in_each_precision(dtype, small, tmp_path):
    export_model(str(small), "safetensors", [f"out={tmp_path / 'x.safetensors'}", f"dtype={dtype}"])
    found = safetensors.torch.load_file(tmp_path / "x.safetensors")
    for name, tensor in create_model(small).state_dict().items():
        expected = tensor.to(getattr(torch, dtype)) if tensor.is_floating_point() else tensor
        assert torch.equal(found[name], expected)
        assert found[name].dtype == expected.dtype


def test_a_value_beyond_half_precision_is_refused(tmp_path):
    backbone = trained_backbone("test_resnet")
    with torch.no_grad():
        backbone.bn1.running_var[0] = 1e5
    folder = make_artifact(tmp_path / "a", backbone=backbone)
    text = refusal(str(folder), "safetensors", [f"out={tmp_path / 'x.safetensors'}", "dtype=float16"])
    assert text == "bn1.running_var has values that torch.float16 can't hold; take dtype=bfloat16 or float32"
    export_model(str(folder), "safetensors", [f"out={tmp_path / 'x.safetensors'}", "dtype=bfloat16"])


def test_nothing_is_overwritten_unasked(artifact, tmp_path):
    out = tmp_path / "x.pth"
    (tmp_path / "x.yaml").write_text("mine")
    text = refusal(str(artifact), "detectron2", [f"out={out}"])
    assert text == f"{tmp_path / 'x.yaml'} is there already; overwrite=true replaces it"
    assert (tmp_path / "x.yaml").read_text() == "mine"
    assert not out.exists()
    export_model(str(artifact), "detectron2", [f"out={out}", "overwrite=true"])
    assert (tmp_path / "x.yaml").read_text() != "mine"


def test_a_second_file_that_fails_takes_the_first_with_it(artifact, tmp_path, monkeypatch):
    write = exporting.write_whole

    def full(path, chunks):
        if path.suffix == ".yaml":
            raise OSError(28, "No space left on device", str(path))
        write(path, chunks)

    monkeypatch.setattr(exporting, "write_whole", full)
    text = refusal(str(artifact), "detectron2", [f"out={tmp_path / 'x.pth'}"])
    assert text == f"{tmp_path / 'x.pth'} can't be written: No space left on device"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("target", "keys", "message"),
    [
        ("tensorflow", ["out=x"], "to=tensorflow: no such target"),
        ("onnx", ["out=x.pth"], "out=x.pth: a file for to=onnx ends in .onnx"),
        ("onnx", ["out=x.onnx", "dtype=float16"], "dtype= is for to=safetensors; to=onnx has no use for it"),
        ("mmdet", ["out=x.pth", "pickle=true"], "pickle= is for to=detectron2; to=mmdet has no use for it"),
        ("onnx", ["out=nowhere/x.onnx"], "out=nowhere/x.onnx: no folder nowhere"),
    ],
)
def test_what_can_not_be_asked_for(target, keys, message, small, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert refusal(str(small), target, keys).startswith(message)
    assert list(tmp_path.iterdir()) == []


def test_the_command_line(small, tmp_path, capsys):
    def call(*words: str) -> int:
        with pytest.raises(SystemExit) as exit_:
            cli.main(words)
        return exit_.value.code

    out = tmp_path / "x.safetensors"
    assert call("export", str(small), "to=safetensors", f"out={out}") == 0
    assert capsys.readouterr().out.splitlines()[0] == str(out)
    assert call("export", str(small), f"out={out}") == 2
    assert capsys.readouterr().err.startswith("ladder-hub: export takes to=torchvision, detectron2, mmdet, ")
