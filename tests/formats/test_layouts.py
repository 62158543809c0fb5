"""Every layout of the table: a checkpoint as its project writes it, recognised, taken whole, and run."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from checkpoints import BUILDERS, LOOK_ALIKES, detectron2, haiku
from originals import DetectronResNet18, haiku_resnet18, randomised, torchvision_backbone

import ladder_hub
from ladder_hub.formats import FormatError
from ladder_hub.formats.container import Checkpoint
from ladder_hub.formats.importing import ImportReport, import_checkpoint
from ladder_hub.formats.layouts import layouts
from ladder_hub.formats.recognise import recognise, split

NAMES = sorted(layouts())
WITH_TARGET = [name for name in NAMES if layouts()[name].target]


@pytest.fixture(scope="module")
def online():
    return torchvision_backbone(seed=1)


@pytest.fixture(scope="module")
def target():
    return torchvision_backbone(seed=2)


@pytest.fixture
def images():
    return torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(3))


def in_memory(name: str, online, target) -> Checkpoint:
    return Checkpoint(Path("ckpt"), "0" * 64, BUILDERS[name](online.state_dict(), target.state_dict()))


def saved(folder: Path, name: str, content) -> Path:
    """As the project saves it."""
    if name == "deepmind":
        path = folder / "byol.npz"
        np.savez(path, **{key: tensor.numpy() for key, tensor in content.items()})
    else:
        path = folder / "checkpoint.pth.tar"
        torch.save(content, path, _use_new_zipfile_serialization=name not in ("lewel", "moco"))
    return path


def outputs_equal(folder: Path, original, images) -> bool:
    with torch.no_grad():
        return torch.equal(ladder_hub.create_model(folder).eval()(images), original(images))


def test_the_table_is_whole():
    found = {path.stem for path in (Path(ladder_hub.formats.__file__).parent / "layouts").glob("*.py")} - {"__init__"}
    assert {name.partition(".")[0] for name in NAMES} == found
    assert len(found) == 19
    assert len(NAMES) == 29
    assert set(BUILDERS) == set(NAMES)
    assert set(LOOK_ALIKES) == {name for name in NAMES if layouts()[name].signs is None}


@pytest.mark.parametrize("name", NAMES)
def test_a_checkpoint_of_each_layout_runs_as_the_original(name, online, target, images, tmp_path):
    path = saved(tmp_path, name, BUILDERS[name](online.state_dict(), target.state_dict()))
    report = import_checkpoint(path, [f"out={tmp_path / 'out'}"], layout=name if name in LOOK_ALIKES else "auto")
    path.unlink()
    assert (report.layout, report.architecture, report.branch) == (name, "resnet18", "online")
    assert outputs_equal(tmp_path / "out", online, images)
    counters = sum(key.endswith("num_batches_tracked") for key in online.state_dict())
    lacking = counters if name == "deepmind" else 0
    assert (report.taken, report.filled) == (len(online.state_dict()) - lacking, lacking)
    (tmp_path / "out" / "model.safetensors").unlink()


@pytest.mark.parametrize("name", WITH_TARGET)
def test_the_target_branch_is_the_momentum_encoders(name, online, target):
    found = split(in_memory(name, online, target), layouts()[name], "target")
    expected = target.state_dict()
    counters = {key for key in expected if key.endswith("tracked") and key not in found.backbone}
    assert found.backbone.keys() == expected.keys() - counters
    assert all(torch.equal(tensor, expected[key]) for key, tensor in found.backbone.items())
    assert "momentum encoder" not in found.dropped


@pytest.mark.parametrize("name", [name for name in NAMES if name not in LOOK_ALIKES])
def test_the_names_alone_tell_the_layout(name, online, target):
    checkpoint = in_memory(name, online, target)
    assert recognise(checkpoint).name == name
    assert recognise(checkpoint, name.partition(".")[0]).name == name
    assert recognise(checkpoint, name).name == name


@pytest.mark.parametrize(("name", "taken"), [(name, other) for name, other in LOOK_ALIKES.items() if other])
def test_a_look_alike_is_taken_as_nobodys_and_told(name, taken, online, target):
    checkpoint = in_memory(name, online, target)
    found = split(checkpoint, recognise(checkpoint))
    assert found.layout.name == taken
    assert name in found.also
    assert recognise(checkpoint, name).license == layouts()[name].license


def test_a_project_without_signs_of_its_own_is_taken_when_named(online, target):
    assert recognise(in_memory("regioncl", online, target), "regioncl").name == "regioncl"


DROPPED = {
    "moco": {"momentum encoder": 122, "projector": 2, "queue": 2, "optimizer (elsewhere)": 1},
    "mmselfsup.0x": {
        "the same backbone again": 120,
        "momentum encoder": 129,
        "projector": 18,
        "predictor": 9,
    },
    "simsiam": {"projector": 9, "predictor": 9, "optimizer (elsewhere)": 1},
    "lightly": {"momentum encoder": 129, "projector": 9, "predictor": 9, "classifier": 1},
    "vissl": {"heads (elsewhere)": 9, "optimizer (elsewhere)": 1},
    "detectron2": {"detector": 1},
    "timm": {"state_dict_ema (elsewhere)": 120},
}


@pytest.mark.parametrize("name", DROPPED)
def test_what_is_left_is_told_by_group(name, online, target):
    found = split(in_memory(name, online, target), layouts()[name])
    counts = {group: count for group, count in found.dropped.items() if "optimizer_states" not in group}
    assert counts == DROPPED[name]


def test_nothing_is_lost_between_taken_and_dropped(online, target):
    for name in NAMES:
        checkpoint = in_memory(name, online, target)
        found = split(checkpoint, layouts()[name])
        assert "other" not in found.dropped, name
        assert len(found.backbone) + sum(found.dropped.values()) == sum(checkpoint.elsewhere("\0").values()), name


def test_detectron2_names_run_as_detectron2_runs_them(images, tmp_path):
    original = randomised(DetectronResNet18(), 4)
    torch.save({"model": original.state_dict()}, tmp_path / "r18.pth")
    report = import_checkpoint(tmp_path / "r18.pth", [f"out={tmp_path / 'out'}"])
    assert report.layout == "detectron2"
    assert outputs_equal(tmp_path / "out", original, images)


def test_the_builders_renaming_is_detectron2s(online):
    assert detectron2(online.state_dict()).keys() == DetectronResNet18().state_dict().keys()


def test_haikus_arrays_run_as_haiku_runs_them(online, images, tmp_path):
    arrays = haiku("online", online.state_dict())
    np.savez(tmp_path / "byol.npz", **{name: tensor.numpy() for name, tensor in arrays.items()})
    report = import_checkpoint(tmp_path / "byol.npz", [f"out={tmp_path / 'out'}"])
    assert (report.layout, report.filled, report.license) == ("deepmind", 20, "cc-by-nc-4.0")
    with torch.no_grad():
        ours = ladder_hub.create_model(tmp_path / "out").eval()(images)
        torch.testing.assert_close(ours, haiku_resnet18(arrays, images))
    assert "SAME" in (tmp_path / "out" / "README.md").read_text()


@pytest.mark.parametrize("network", ["resnet50", "resnext50_32x4d", "wide_resnet50_2", "resnet34"])
def test_the_network_is_found_from_names_and_shapes(network, images, tmp_path):
    original = torchvision_backbone(network)
    torch.save(original.state_dict(), tmp_path / "net.pth")
    report: ImportReport = import_checkpoint(tmp_path / "net.pth", [f"out={tmp_path / 'out'}"], layout="torchvision")
    assert report.architecture == network
    assert outputs_equal(tmp_path / "out", original, images)
    for big in (tmp_path / "net.pth", tmp_path / "out" / "model.safetensors"):
        big.unlink()


def test_two_layouts_that_fit_alike_are_told(online, target):
    content = BUILDERS["solo"](online.state_dict(), target.state_dict())
    content["state_dict"]["projection_head.weight"] = torch.zeros(2)
    del content["state_dict"]["predictor.0.weight"]
    with pytest.raises(FormatError) as error:
        recognise(Checkpoint(Path("ckpt"), "", content))
    assert str(error.value) == "ckpt: its names fit lightly and solo equally well; say which: from=lightly"


@pytest.mark.parametrize(
    ("asked", "content", "message"),
    [
        ("mocco", {}, "from=mocco: no such layout; did you mean moco?"),
        ("auto", {"hyper": 3}, "ckpt: no tensors where any layout has them; at its top it holds 'hyper'"),
        (
            "mmselfsup",
            {"state_dict": {"model.conv.weight": torch.zeros(2)}},
            "ckpt: its names (model.conv.weight, …) fit none of mmselfsup.0x, mmselfsup.1x, mmselfsup.extracted",
        ),
    ],
)
def test_what_fits_nothing_is_refused(asked, content, message):
    with pytest.raises(FormatError) as error:
        recognise(Checkpoint(Path("ckpt"), "", content), asked)
    assert str(error.value) == message


def test_a_branch_that_is_not_there_is_refused(online, target):
    with pytest.raises(FormatError, match="a simsiam checkpoint has no target network; leave branch= out"):
        split(in_memory("simsiam", online, target), layouts()["simsiam"], "target")
    with pytest.raises(FormatError, match="no online backbone of the layout moco there: no names module.encoder_q"):
        split(in_memory("simsiam", online, target), layouts()["moco"])


def test_provenance_keeps_where_it_came_from(online, target, tmp_path):
    path = saved(tmp_path, "simsiam", BUILDERS["simsiam"](online.state_dict(), target.state_dict()))
    report = import_checkpoint(path, [f"out={tmp_path / 'out'}"])
    origin = json.loads((tmp_path / "out" / "provenance.json").read_text())["imported"]
    assert origin["file"] == "checkpoint.pth.tar"
    assert origin["sha256"] == report.sha256
    assert (origin["layout"], origin["license"], origin["license_stated_by"]) == (
        "simsiam",
        "cc-by-nc-4.0",
        "its publishers",
    )
    assert str(tmp_path) not in (tmp_path / "out" / "provenance.json").read_text()


def test_the_docs_name_every_layout():
    page = (Path(__file__).parents[2] / "docs" / "interop.md").read_text()
    assert all(f"`{name}`" in page for name in NAMES)
