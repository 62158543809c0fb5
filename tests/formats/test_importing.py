"""Checkpoints of real libraries, broken ones, and what stands on the card of what was taken."""

import json
import re

import pytest
import safetensors.torch
import timm
import torch
import torchvision
from checkpoints import BUILDERS, under
from originals import randomised, torchvision_backbone
from PIL import Image

import ladder_hub
from ladder_hub import cli
from ladder_hub.backbone import BackboneError
from ladder_hub.formats import FormatError, timm_index
from ladder_hub.formats.importing import import_checkpoint
from ladder_hub.settings import SettingError


@pytest.fixture(scope="module")
def original():
    return torchvision_backbone()


@pytest.fixture
def images():
    return torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(3))


def imported(path, out, *keys, **named):
    report = import_checkpoint(path, [f"out={out}", *keys], **named)
    return report, ladder_hub.create_model(out).eval()


def refusal(path, tmp_path, *keys, **named) -> str:
    with pytest.raises(FormatError) as error:
        import_checkpoint(path, [f"out={tmp_path / 'out'}", *keys], **named)
    assert not (tmp_path / "out").exists()
    assert "\n" not in str(error.value)
    return str(error.value).removeprefix(f"{path}")


def test_lightlys_own_checkpoint(images, tmp_path):
    lightly_heads = pytest.importorskip("lightly.models.modules")
    lightning = pytest.importorskip("pytorch_lightning")

    class Byol(lightning.LightningModule):
        """As lightly's ImageNet benchmark builds it."""

        def __init__(self) -> None:
            super().__init__()
            self.save_hyperparameters({"batch_size": 256})
            self.backbone, self.teacher_backbone = torchvision_backbone(seed=5), torchvision_backbone(seed=6)
            self.projection_head = lightly_heads.BYOLProjectionHead(512, 32, 16)
            self.prediction_head = lightly_heads.BYOLPredictionHead(16, 32, 16)
            self.teacher_projection_head = lightly_heads.BYOLProjectionHead(512, 32, 16)
            self.online_classifier = torch.nn.Linear(512, 10)

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.1)

    network = Byol().eval()
    trainer = lightning.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, enable_model_summary=False)
    trainer.strategy.connect(network)
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    for branch in ("online", "target"):
        report, model = imported(tmp_path / "last.ckpt", tmp_path / branch, f"branch={branch}")
        assert (report.layout, report.branch) == ("lightly", branch)
        source = network.backbone if branch == "online" else network.teacher_backbone
        with torch.no_grad():
            assert torch.equal(model(images), source(images))
        assert model.load_receipt.branch == branch


def test_torchvisions_own_weights_file(images, tmp_path):
    network = randomised(torchvision.models.resnet18(), 7)
    torch.save(network.state_dict(), tmp_path / "resnet18-f37072fd.pth")
    report, model = imported(tmp_path / "resnet18-f37072fd.pth", tmp_path / "out")
    assert (report.layout, report.dropped, report.license) == ("torchvision", {"classifier": 2}, "unknown")
    network.fc = torch.nn.Identity()
    with torch.no_grad():
        assert torch.equal(model(images), network(images))


@pytest.mark.parametrize("name", ["resnet18", "convnext_atto"])
def test_timms_own_checkpoints(name, images, tmp_path):
    network = randomised(timm.create_model(name, num_classes=10), 8)
    torch.save({"epoch": 3, "arch": name, "state_dict": network.state_dict()}, tmp_path / "last.pth.tar")
    report, model = imported(tmp_path / "last.pth.tar", tmp_path / "out", layout="timm")
    assert (report.layout, report.architecture, report.dropped) == ("timm", name, {"classifier": 2})
    with torch.no_grad():
        assert torch.equal(model(images), network.forward_head(network.forward_features(images), pre_logits=True))


def test_a_file_cut_to_its_backbone_is_taken_and_its_project_asked_for(images, tmp_path):
    network = randomised(timm.create_model("resnet18", num_classes=0), 4)
    torch.save({"state_dict": under("module.encoder_q.", network.state_dict())}, tmp_path / "cut.pth")
    for asked, layout in (("auto", "unknown"), ("moco", "moco")):
        report, model = imported(tmp_path / "cut.pth", tmp_path / layout, layout=asked)
        assert (report.layout, report.dropped) == (layout, {})
        with torch.no_grad():
            assert torch.equal(model(images), network(images))


def test_any_network_of_timm_is_found_by_its_shapes(images, tmp_path, monkeypatch):
    monkeypatch.setattr(timm_index.Index, "families", lambda *_: iter([["resnet18"], ["test_resnet", "convnext_atto"]]))
    network = randomised(timm.create_model("test_resnet", num_classes=0), 9)
    safetensors.torch.save_file(network.state_dict(), tmp_path / "model.safetensors")
    for arch in ("", "test_resnet"):
        report, model = imported(tmp_path / "model.safetensors", tmp_path / f"out{arch}", f"arch={arch}")
        assert (report.layout, report.architecture) == ("timm", "test_resnet")
        with torch.no_grad():
            assert torch.equal(model(images), network(images))
    with pytest.raises(BackboneError, match="timm has no architecture 'test_resne'"):
        import_checkpoint(tmp_path / "model.safetensors", [f"out={tmp_path / 'x'}", "arch=test_resne"])


@pytest.mark.parametrize("prefix", ["", "_orig_mod.", "module.", "module._orig_mod.", "a.b.0.net."])
def test_a_backbone_is_found_below_any_prefix(prefix, original, images, tmp_path):
    torch.save({"epoch": 3, "inner": [{"weights": under(prefix, original.state_dict())}]}, tmp_path / "x.pth")
    report, model = imported(tmp_path / "x.pth", tmp_path / "out")
    assert report.candidates == (f"inner.0.weights.{prefix}* (resnet18, taken)",)
    with torch.no_grad():
        assert torch.equal(model(images), original(images))


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_another_number_of_channels_is_kept_and_said(channels, tmp_path):
    network = randomised(timm.create_model("resnet18", num_classes=0, in_chans=channels), 3)
    torch.save(network.state_dict(), tmp_path / "x.pth")
    report, model = imported(tmp_path / "x.pth", tmp_path / "out")
    images = torch.randn(2, channels, 64, 64, generator=torch.Generator().manual_seed(4))
    assert report.channels == channels
    assert report.facts()["channels"] == f"{channels}: the first convolution takes so many"
    with torch.no_grad():
        assert torch.equal(model(images), network(images))
        pyramid = ladder_hub.create_model(tmp_path / "out", features_only=True).eval()
        assert torch.equal(pyramid(images)[-1], network.forward_features(images))
    by_timm = timm.create_model(f"local-dir:{tmp_path / 'out'}", pretrained=True, in_chans=channels)
    assert all(torch.equal(tensor, model.state_dict()[name]) for name, tensor in by_timm.state_dict().items())


def test_several_networks_are_reported_and_nobody_guesses(original, tmp_path):
    other = torchvision_backbone(seed=8).state_dict()
    state = original.state_dict()
    torch.save({**under("left.", state), **under("right.", other), **under("left_ema.", other)}, tmp_path / "x.pth")
    told = refusal(tmp_path / "x.pth", tmp_path)
    assert re.fullmatch(
        r": nothing tells which is the online network: left\.\*, right\.\* \(weights 0\.\d+ apart\); "
        r"say branch=left or branch=right",
        told,
    )
    report, model = imported(tmp_path / "x.pth", tmp_path / "out", "branch=right")
    assert all(torch.equal(tensor, other[name]) for name, tensor in model.state_dict().items())
    assert [line.split(" (")[0] for line in report.candidates] == ["right.*", "left.*", "left_ema.*"]
    report, model = imported(tmp_path / "x.pth", tmp_path / "target", "branch=target")
    assert (report.branch, model.load_receipt.branch) == ("target", "target")


def test_the_same_weights_twice_are_one_network(original, tmp_path):
    state = original.state_dict()
    torch.save({**under("net.", state), **under("copy.", state)}, tmp_path / "x.pth")
    report, _ = imported(tmp_path / "x.pth", tmp_path / "out")
    assert report.dropped == {"the same backbone again": len(state)}
    assert report.candidates[1] == "copy.* (the same weights)"


def changed(state, **tensors):
    return {"state_dict": {**under("backbone.", {**state, **tensors}), "neck.0.weight": torch.zeros(2)}}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda s: changed(s, **{"bn1.bias": torch.full((64,), torch.nan)}),
            "bn1.bias holds values that are not finite",
        ),
        (
            lambda s: changed(s, **{"conv1.weight": torch.zeros(64, 3, 3, 3)}),
            "conv1.weight has the shape [64, 3, 3, 3], resnet18 needs [64, 3, 7, 7]; it is a stem for small images, "
            "which no stock network has",
        ),
        (
            lambda s: changed(s, **{"layer4.1.se.weight": torch.zeros(2)}),
            "1 tensors are unknown to resnet18: layer4.1.se.weight",
        ),
        (
            lambda s: changed(s, **{"bn1.weight": torch.ones(64, dtype=torch.int64)}),
            "bn1.weight holds torch.int64, resnet18 has torch.float32",
        ),
        (
            lambda s: changed(s, **{"bn1.weight": torch.ones(1).expand(2**40)}),
            "bn1.weight has the shape [1099511627776], resnet18 needs [64]",
        ),
        (
            lambda s: changed({k: v for k, v in s.items() if not k.startswith("layer4.")}),
            "25 of the 120 tensors of resnet18 are missing: layer4.0.conv1.weight, layer4.0.bn1.weight, "
            "layer4.0.bn1.bias, layer4.0.bn1.running_mean, layer4.0.bn1.running_var, …",
        ),
        (
            lambda s: changed({k: v for k, v in s.items() if k != "layer1.0.bn2.bias"}),
            "1 of the 120 tensors of resnet18 are missing: layer1.0.bn2.bias",
        ),
    ],
    ids=["nan", "small stem", "unknown", "integers", "expanded", "truncated", "one missing"],
)
def test_a_backbone_that_is_not_whole_is_an_error_that_names_tensors(change, message, original, tmp_path):
    torch.save(change(original.state_dict()), tmp_path / "x.pth")
    assert refusal(tmp_path / "x.pth", tmp_path) == f": {message}"


def test_counters_that_a_file_lacks_are_filled_and_told(original, images, tmp_path):
    state = {name: tensor for name, tensor in original.state_dict().items() if "tracked" not in name}
    torch.save(state, tmp_path / "x.pth")
    report, model = imported(tmp_path / "x.pth", tmp_path / "out")
    assert (report.taken, report.filled) == (100, 20)
    assert report.facts()["missing"] == "nothing but 20 counters that no output depends on"
    with torch.no_grad():
        assert torch.equal(model(images), original(images))


def test_half_precision_becomes_float32(original, tmp_path):
    state = {name: t.half() if t.is_floating_point() else t for name, t in original.state_dict().items()}
    torch.save(state, tmp_path / "x.pth")
    _, model = imported(tmp_path / "x.pth", tmp_path / "out")
    assert all(torch.equal(tensor, state[name].to(tensor.dtype)) for name, tensor in model.state_dict().items())


def test_nothing_is_replaced_unasked(original, tmp_path):
    torch.save(original.state_dict(), tmp_path / "x.pth")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("mine")
    for keys in ([], ["overwrite=true"]):
        with pytest.raises(FormatError, match="is there already and is no artifact; name a new folder"):
            import_checkpoint(tmp_path / "x.pth", [f"out={tmp_path / 'mine'}", *keys])
    imported(tmp_path / "x.pth", tmp_path / "out")
    with pytest.raises(FormatError, match="holds an artifact already; overwrite=true replaces it"):
        import_checkpoint(tmp_path / "x.pth", [f"out={tmp_path / 'out'}"])
    report, _ = imported(tmp_path / "x.pth", tmp_path / "out", "overwrite=true", "license=mit", layout="torchvision")
    assert (report.layout, report.license) == ("torchvision", "mit")
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "mine"


def test_settings_are_checked(tmp_path):
    with pytest.raises(SettingError, match="the key 'out' is missing"):
        import_checkpoint(tmp_path / "x", [])
    with pytest.raises(SettingError, match="did you mean branch"):
        import_checkpoint(tmp_path / "x", ["out=y", "brunch=target"])


def test_from_the_command_line_to_a_figure_on_the_card(original, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save(BUILDERS["moco"](original.state_dict(), original.state_dict()), "moco_v2_200ep_pretrain.pth.tar")
    for label, colour in (("red", (200, 30, 30)), ("blue", (30, 30, 200))):
        (tmp_path / "images" / label).mkdir(parents=True)
        for number in range(3):
            Image.new("RGB", (40, 40), tuple(c + number for c in colour)).save(f"images/{label}/{number}.png")

    def call(*words: str) -> str:
        with pytest.raises(SystemExit) as exit_:
            cli.main(words)
        shown = capsys.readouterr()
        assert exit_.value.code == 0, shown.err
        return shown.out

    text = call("import", "moco_v2_200ep_pretrain.pth.tar", "from=auto", "out=moco")
    for line in (
        "moco: MoCo v1 and v2",
        "resnet18, online branch",
        "momentum encoder 122",
        "queue 2",
        "the same weights",
    ):
        assert line in text
    assert "unknown: ask its publishers" in text
    card = (tmp_path / "moco" / "README.md").read_text()
    assert "**Imported, not trained here.**" in card
    assert "None measured." in card
    assert "license: unknown" in card
    assert "moco" in call("info", "moco")
    call("eval", "knn", "moco", "data.train=images", "data.val=images", "k=1", "image_size=32", "data.workers=0")
    entries = json.loads((tmp_path / "moco" / "metrics.json").read_text())
    assert {entry["protocol"] for entry in entries} == {"knn:k1-t0.07, changed: image_size=32"}
    card = (tmp_path / "moco" / "README.md").read_text()
    assert "| `knn:k1-t0.07, changed: image_size=32` | res5 | top1 |" in card
    assert "**Imported, not trained here.**" in card
    assert (tmp_path / "moco" / "README.md").read_text().count("model-index") == 1
