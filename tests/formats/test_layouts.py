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
from ladder_hub.formats.importing import import_checkpoint, split
from ladder_hub.formats.layouts import LAYOUTS, look_alikes

NAMES = sorted(LAYOUTS)
WITHOUT_TARGET = {
    "densecl.extracted",
    "densesiam",
    "detco",
    "detectron2",
    "mmselfsup.extracted",
    "pixpro.old",
    "resim.detectron2",
    "simsiam",
    "swav",
    "torchvision",
    "transformers",
    "vicregl",
    "vicregl.backbone",
    "vissl",
}
WITH_TARGET = [name for name in NAMES if name not in WITHOUT_TARGET]


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
    assert len({name.partition(".")[0] for name in NAMES}) == 21
    assert len(NAMES) == 32
    assert set(BUILDERS) == set(NAMES)
    assert len(WITH_TARGET) == 18
    assert set(LOOK_ALIKES) == {name for name in NAMES if not LAYOUTS[name].signs} - {"timm"}


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
    found = split(in_memory(name, online, target), name, branch="target")
    taken, expected = found.choice.taken.tensors(), target.state_dict()
    counters = {key for key in expected if key.endswith("tracked") and key not in taken}
    assert taken.keys() == expected.keys() - counters
    assert all(torch.equal(tensor, expected[key]) for key, tensor in taken.items())
    assert found.choice.branch == "target"
    assert "momentum encoder" not in found.dropped


@pytest.mark.parametrize("name", [name for name in NAMES if name not in LOOK_ALIKES])
def test_the_names_alone_tell_the_layout(name, online, target):
    checkpoint = in_memory(name, online, target)
    for asked in ("auto", name.partition(".")[0], name):
        assert split(checkpoint, asked).layout.name == name


@pytest.mark.parametrize(("name", "taken"), [(name, other) for name, other in LOOK_ALIKES.items() if other])
def test_a_look_alike_is_taken_as_nobodys_and_told(name, taken, online, target):
    checkpoint = in_memory(name, online, target)
    found = split(checkpoint)
    assert found.layout.name == taken
    assert name in look_alikes(found.layout)
    assert split(checkpoint, name).layout.license == LAYOUTS[name].license


def test_a_project_without_signs_of_its_own_is_taken_when_named(online, target):
    assert split(in_memory("regioncl", online, target), "regioncl").layout.name == "regioncl"


DROPPED = {
    "moco": {"momentum encoder": 122, "projector": 2, "queue": 2, "optimizer": 1},
    "mmselfsup.0x": {
        "the same backbone again": 120,
        "momentum encoder": 129,
        "projector": 18,
        "predictor": 9,
    },
    "simsiam": {"projector": 9, "predictor": 9, "optimizer": 1},
    "lightly": {"momentum encoder": 129, "projector": 9, "predictor": 9, "classifier": 1, "optimizer": 1},
    "vissl": {"head": 9, "optimizer": 1},
    "detectron2": {"detector": 1},
    "timm": {"momentum encoder": 120},
}


@pytest.mark.parametrize("name", DROPPED)
def test_what_is_left_is_told_by_group(name, online, target):
    assert split(in_memory(name, online, target)).dropped == DROPPED[name]


def test_nothing_is_lost_between_taken_and_dropped(online, target):
    for name in NAMES:
        checkpoint = in_memory(name, online, target)
        found = split(checkpoint, name)
        assert "other" not in found.dropped, name
        taken = len(found.choice.taken.tensors())
        assert taken + sum(found.dropped.values()) == sum(checkpoint.elsewhere("\0").values()), name


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
    report = import_checkpoint(tmp_path / "net.pth", [f"out={tmp_path / 'out'}"], layout="torchvision")
    assert report.architecture == network
    assert outputs_equal(tmp_path / "out", original, images)
    for big in (tmp_path / "net.pth", tmp_path / "out" / "model.safetensors"):
        big.unlink()


def test_two_layouts_that_fit_alike_are_told(online, target):
    content = BUILDERS["solo"](online.state_dict(), target.state_dict())
    content["state_dict"]["projection_head.weight"] = torch.zeros(2)
    del content["state_dict"]["predictor.0.weight"]
    with pytest.raises(FormatError) as error:
        split(Checkpoint(Path("ckpt"), "", content))
    assert str(error.value) == "its names fit lightly and solo equally well; say which: from=lightly"


def test_what_fits_nothing_is_refused(online):
    def told(asked, content) -> str:
        with pytest.raises(FormatError) as error:
            split(Checkpoint(Path("ckpt"), "", content), asked)
        return str(error.value)

    bare = dict(online.state_dict())
    assert told("mocco", bare) == "from=mocco: no such layout; did you mean moco?"
    assert told("auto", {"hyper": 3}) == "no tensors in it; at its top it holds hyper"
    assert told("mmselfsup", {"net": bare}).startswith("its names (net.bn1.bias, …) fit none of mmselfsup.0x, ")
    conv = {"state_dict": {"model.conv.weight": torch.zeros(2)}}
    assert told("auto", conv).startswith("no network of timm is in it (its names: state_dict.model.conv.weight, …)")


def test_a_branch_that_is_not_there_is_refused(online, target):
    with pytest.raises(FormatError, match=r"no target network in it; it holds state_dict.module.encoder.\*"):
        split(in_memory("simsiam", online, target), branch="target")
    with pytest.raises(FormatError, match=r"branch=encoder_x is not in it; it holds"):
        split(in_memory("moco", online, target), branch="encoder_x")


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
