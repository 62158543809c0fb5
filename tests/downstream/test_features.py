"""Features: pooling against the definition, one pass for all stages, shards that are whole or absent."""

import errno
import io
import json
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console
from torch import nn

from ladder_hub.backbone import build_backbone, pyramid
from ladder_hub.data.image_source import BadImage
from ladder_hub.data.sources import Source, open_source
from ladder_hub.downstream import feature_shards
from ladder_hub.downstream.feature_shards import FeatureTable
from ladder_hub.downstream.features import Extractor, pooled
from ladder_hub.downstream.frozen import Frozen, open_frozen
from ladder_hub.downstream.subject import open_subject
from ladder_hub.errors import RunError, UserError
from ladder_hub.progress import Display
from ladder_hub.runtime.distributed import World
from ladder_hub.runtime.signals import Interrupted

DISPLAY = Display(Console(quiet=True))
STAGES = ("res2", "res3", "res4", "res5")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.setenv("LADDER_HUB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "features"


def frozen(**changes) -> Frozen:
    keys = {"cache": True, "image_size": 64, "crop_pct": 1.0, "batch_size": 10, "workers": 0}
    return open_frozen(open_subject("random:test_resnet"), World(), **(keys | changes))


def no_pass(*_: object, **__: object) -> None:
    raise AssertionError("the network was asked again")


def test_one_pass_reads_all_stages_and_leaves_the_network_alone() -> None:
    torch.manual_seed(0)
    backbone = build_backbone("test_resnet").train()
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    val = open_source("shapes:24", split="val")
    seen: list[int] = []
    extractor = Extractor(64, 1.0, torch.device("cpu"), batch_size=10, workers=0, advance=seen.append)
    found, kept = extractor.read(backbone, val, ("res3", "res5"))
    assert set(found) == {"res3", "res5"}
    assert seen == [10, 10, 4]
    assert kept.tolist() == list(range(24))
    assert backbone.training
    assert all(torch.equal(value, before[name]) for name, value in backbone.state_dict().items())
    images = torch.stack([val.image(i) for i in range(24)]) / 255
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    with torch.no_grad():
        expected = backbone.eval()((images - mean) / std)
    torch.testing.assert_close(found["res5"], expected, atol=1e-4, rtol=1e-3)


WINDOWS = [("res2", 56, 16, 8), ("res3", 28, 13, 5), ("res4", 14, 8, 3), ("res5", 7, 6, 1)]


@pytest.mark.parametrize(("stage", "side", "kernel", "stride"), WINDOWS)
def test_multi_head_pooling_is_that_of_mmselfsup_at_224(stage: str, side: int, kernel: int, stride: int) -> None:
    maps = torch.randn(2, 3, side, side)
    torch.testing.assert_close(pooled(maps, stage, "mhead"), nn.AvgPool2d(kernel, stride)(maps))


@pytest.mark.parametrize("side", [1, 2, 3, 4, 8, 16, 20, 40])
def test_multi_head_pooling_of_other_sizes_keeps_the_number_of_windows(side: int) -> None:
    for stage, cells in zip(STAGES, (6, 4, 3, 2), strict=True):
        found = pooled(torch.ones(1, 2, side, side), stage, "mhead")
        assert found.shape == (1, 2, min(cells, side), min(cells, side))
        torch.testing.assert_close(found, torch.ones_like(found))


def test_global_pooling_is_the_mean() -> None:
    maps = torch.randn(2, 3, 5, 5)
    torch.testing.assert_close(pooled(maps, "res4", "gap"), maps.mean((2, 3)))


@pytest.mark.parametrize("pool", ["gap", "mhead"])
def test_what_is_kept_is_what_was_read_and_is_read_once(pool: str, monkeypatch) -> None:
    val = open_source("shapes:24", split="val")
    plain = frozen(cache=False, pool=pool).table(val, STAGES, DISPLAY)
    kept = frozen(pool=pool).table(val, STAGES, DISPLAY)
    monkeypatch.setattr("ladder_hub.downstream.features.evaluation_batches", no_pass)
    again = frozen(pool=pool, batch_size=7).table(val, ("res5", "res2"), DISPLAY)
    for stage in ("res2", "res5"):
        assert torch.equal(kept.all(stage), plain.all(stage))
        assert torch.equal(again.all(stage), plain.all(stage))
        numbers = np.array([5, 0, 23, 5])
        assert torch.equal(again.rows(stage, numbers), plain.all(stage)[numbers])


def test_rows_come_out_of_any_block() -> None:
    from ladder_hub.downstream.feature_shards import FeatureTable

    whole = np.arange(60, dtype=np.float32).reshape(20, 3)
    table = FeatureTable({"res5": [whole[:7], whole[7:7], whole[7:8], whole[8:]]}, np.arange(20))
    numbers = np.random.default_rng(0).permutation(20)
    np.testing.assert_array_equal(table.rows("res5", numbers), whole[numbers])
    np.testing.assert_array_equal(table.all("res5"), whole)


def test_a_stage_more_is_the_only_one_that_is_read() -> None:
    val = open_source("shapes:24", split="val")
    frozen().table(val, ("res5",), DISPLAY)
    asked: list[tuple[str, ...]] = []

    def spy(backbone, images, stages):
        asked.append(tuple(stages))
        return pyramid(backbone, images, stages)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ladder_hub.downstream.features.pyramid", spy)
        frozen().table(val, STAGES, DISPLAY)
    assert set(asked) == {("res2", "res3", "res4")}


@pytest.mark.parametrize(
    "change",
    [{"image_size": 32}, {"crop_pct": 0.5}, {"pool": "mhead"}, {"weights": 1}, {"images": "shapes:23"}],
    ids=lambda change: next(iter(change)),
)
def test_whatever_decides_the_numbers_has_a_folder_of_its_own(change: dict, cache: Path) -> None:
    frozen().table(open_source("shapes:24", split="val"), ("res5",), DISPLAY)
    changed = dict(change)
    source = open_source(changed.pop("images", "shapes:24"), split="val")
    other = frozen(**{key: value for key, value in changed.items() if key != "weights"})
    if "weights" in changed:
        other = open_frozen(
            open_subject("random:test_resnet", seed=1), World(), cache=True, image_size=64, crop_pct=1.0,
            batch_size=10, workers=0,
        )  # fmt: skip
    other.table(source, ("res5",), DISPLAY)
    folders = list(cache.iterdir())
    assert len(folders) == 2
    assert all(json.loads((folder / "facts.json").read_text())["architecture"] == "test_resnet" for folder in folders)


def test_interrupted_reading_goes_on_where_it_was(cache: Path, monkeypatch) -> None:
    """A failure in the third batch: the first two are kept, and only the rest is read again."""
    val = open_source("shapes:24", split="val")
    expected = frozen(cache=False).table(val, ("res5",), DISPLAY).all("res5")
    seen: list[int] = []
    image = val.image

    def fails(index: int):
        seen.append(index)
        if index == 20:
            raise RunError("pulled the plug")
        return image(index)

    val.image = fails
    with pytest.raises(RunError, match="pulled"):
        frozen().table(val, ("res5",), DISPLAY)
    assert [path.name for path in cache.glob("*/res5-*")] == ["res5-000000000-000000020.safetensors"]
    seen.clear()
    val.image = lambda index: (seen.append(index), image(index))[1]
    assert torch.equal(frozen().table(val, ("res5",), DISPLAY).all("res5"), expected)
    assert seen == [20, 21, 22, 23]


def test_asked_to_stop_it_keeps_what_it_has(cache: Path) -> None:
    val = open_source("shapes:24", split="val")
    image = val.image

    def signals(index: int):
        if index == 12:
            signal.raise_signal(signal.SIGTERM)
        return image(index)

    val.image = signals
    with pytest.raises(Interrupted, match="stopped by SIGTERM while features were read; they are kept") as stop:
        frozen().table(val, ("res5",), DISPLAY)
    assert stop.value.exit_status == 75
    assert [path.name for path in cache.glob("*/res5-*")] == ["res5-000000000-000000020.safetensors"]


def test_a_damaged_shard_is_made_anew(cache: Path) -> None:
    val = open_source("shapes:24", split="val")
    expected = frozen().table(val, ("res5",), DISPLAY).all("res5")
    (shard,) = cache.glob("*/res5-*")
    shard.write_bytes(shard.read_bytes()[:-5])
    assert torch.equal(frozen().table(val, ("res5",), DISPLAY).all("res5"), expected)


def test_images_that_can_not_be_decoded_are_left_out(cache: Path) -> None:
    val = open_source("shapes:24", split="val")
    image = val.image

    def decode(index: int):
        if index in (3, 20, 21, 22, 23):  # the whole last batch among them
            raise BadImage(val.key(index), "torn")
        return image(index)

    val.image = decode
    for _ in range(2):
        table = frozen().table(val, ("res5",), DISPLAY)
        assert table.indices.tolist() == [i for i in range(20) if i != 3]
        assert len(table.all("res5")) == 19
    val.image = lambda index: (_ for _ in ()).throw(BadImage(val.key(index), "torn"))
    for keep in (True, False):
        with pytest.raises(UserError, match="shapes:24: no image could be decoded"):
            frozen(cache=keep, crop_pct=0.9).table(val, ("res5",), DISPLAY)


def told(val: Source) -> tuple[FeatureTable, str]:
    said = io.StringIO()
    with Display(Console(file=said, width=10_000)) as display:
        return frozen().table(val, ("res5",), display), said.getvalue()


def test_a_disk_that_takes_nothing_is_one_line_and_no_failure(cache: Path) -> None:
    cache.parent.mkdir()
    cache.write_text("in the way")
    val = open_source("shapes:24", split="val")
    table, said = told(val)
    assert torch.equal(table.all("res5"), frozen(cache=False).table(val, ("res5",), DISPLAY).all("res5"))
    lines = [line for line in said.splitlines() if "not kept" in line]
    assert len(lines) == 1
    assert "can't be written (" in lines[0]


def test_a_disk_that_fills_up_loses_no_figure(cache: Path, monkeypatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    val = open_source("shapes:24", split="val")
    expected = frozen(cache=False).table(val, ("res5",), DISPLAY).all("res5")
    monkeypatch.setattr(feature_shards, "save_canonical", full)
    table, said = told(val)
    assert torch.equal(table.all("res5"), expected)
    assert said.count("(No space left on device)") == 1


def test_a_user_without_a_home_has_nowhere_to_keep_things(monkeypatch) -> None:
    def unknown(_: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("LADDER_HUB_CACHE", raising=False)
    monkeypatch.setattr(Path, "expanduser", unknown)
    val = open_source("shapes:24", split="val")
    table, said = told(val)
    assert len(table) == 24
    assert said.count("features are not kept") == 1
