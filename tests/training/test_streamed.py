"""Runs on streams, in real processes: resumed to the same bits, shared by several, and told when they run dry."""

import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
import webdataset as wds
from PIL import Image
from processes import Processes, command, torchrun_variables
from rich.console import Console
from safetensors.torch import load_file

from ladder_hub.data.addresses import CONSENT
from ladder_hub.errors import UserError
from ladder_hub.runtime.log import read_log
from ladder_hub.training.plan import plan
from ladder_hub.training.run import train
from ladder_hub.training.state import TrainState

SMALL = ["model.backbone=test_resnet", "heads.hidden=32", "heads.out=16", "data.image_size=32", "batch_size=8"]
SMALL += ["micro_batch=4", "data.val=", "epochs=2", "optim.warmup_epochs=1", "data.workers=0", "log.every=1"]
SMALL += ["device=cpu", "precision=float32", "data.samples=40", "data.buffer=8", "timeout=60"]


@pytest.fixture(scope="module")
def stream(tmp_path_factory) -> str:
    """Four shards of twelve images, by a command that holds a secret."""
    folder = tmp_path_factory.mktemp("shards")
    rng = np.random.default_rng(0)
    for shard in range(4):
        with wds.TarWriter(str(folder / f"train-{shard:03d}.tar")) as writer:
            for number in range(12):
                image = Image.fromarray(rng.integers(0, 256, (40, 40, 3), dtype=np.uint8))
                writer.write({"__key__": f"{shard}-{number}", "jpg": image})
    return f"pipe:KEY=s3cr3t cat {folder}/train-{{000..003}}.tar"


def words(stream: str, out: Path, *more: str) -> list[str]:
    return ["train", "recipe=tiny64_byol", *SMALL, f"data.train={stream}", f"out={out}", *more]


def started(stream: str, out: Path, size: int, *more: str, target=command, given=()) -> Processes:
    out.parent.mkdir(exist_ok=True)
    variables = [{**own, CONSENT: "1"} for own in (torchrun_variables(size) if size > 1 else [{}])]
    return Processes(target, *given, *words(stream, out, *more), variables=variables, folder=out.parent)


def stopped_at(step: int, *words: str) -> None:
    """The command line, asking itself to stop when it begins a step."""
    advance = TrainState.advance

    def stopping(state: TrainState, *given):
        if state.step == step:
            os.kill(os.getpid(), signal.SIGTERM)
        return advance(state, *given)

    TrainState.advance = stopping  # type: ignore[method-assign]
    command(*words)


def finished(processes: Processes) -> list[str]:
    processes.results()
    assert processes.statuses == [0] * len(processes.processes), processes.said
    return processes.said


def test_a_resumed_run_ends_in_the_same_bits_whatever_its_workers(stream: str, tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole" / "run", tmp_path / "parts" / "run"
    processes = [started(stream, whole, 1), started(stream, parts, 1, target=stopped_at, given=(6,))]
    finished(processes[0])
    processes[1].results()
    assert processes[1].statuses == [75], processes[1].said
    finished(started(stream, parts, 1, "resume=auto", "data.workers=2"))
    ours, theirs = (load_file(out / "artifact" / "model.safetensors") for out in (parts, whole))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert [r["losses"] for r in read_log(parts)] == [r["losses"] for r in read_log(whole)]
    assert len(read_log(whole)) == 10


def test_several_processes_share_it_and_publish_no_secret(stream: str, tmp_path: Path) -> None:
    out = tmp_path / "run"
    first, second = finished(started(stream, out, 2))
    assert "40 images, 2 epochs, 10 steps of 8 as 2 processes x 1 x 4" in first
    assert second == ""
    assert "s3cr3t" not in first
    for path in (out / "artifact").iterdir():
        assert b"s3cr3t" not in path.read_bytes(), path
    facts = json.loads((out / "artifact" / "provenance.json").read_text())["data"]
    assert (facts["source"], facts["count"]) == ("stream", 40)


def test_a_run_that_runs_dry_ends_for_all(stream: str, tmp_path: Path) -> None:
    processes = started(stream, tmp_path / "run", 2, "data.samples=64")
    processes.results()
    assert processes.statuses == [1, 1]
    assert "finds 24 images in its shards" in processes.said[0]
    assert "try data.samples=48" in processes.said[0]
    assert "Traceback" not in "".join(processes.said)


def tried(*overrides: str) -> str:
    with pytest.raises(UserError) as error:
        train("tiny64_byol", [*SMALL, *overrides], console=Console(quiet=True))
    return str(error.value)


def test_refusals(stream: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.delenv(CONSENT, raising=False)
    assert CONSENT in tried(f"data.train={stream}")
    monkeypatch.setenv(CONSENT, "1")
    assert "no stream can vote in kNN" in tried(f"data.train={stream}", "data.val=shapes:16")
    assert "data.samples is for streams" in tried("data.train=shapes:64")
    assert "fewer than batch_size = 8" in tried(f"data.train={stream}", "data.samples=4")
    assert "give data.samples" in tried(f"data.train={stream}", "data.samples=0")
    assert not list(tmp_path.iterdir())


def test_the_views_of_a_stream_can_be_looked_at(stream: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv(CONSENT, "1")
    picture = tmp_path / "views.png"
    train("tiny64_byol", [*SMALL, f"data.train={stream}", f"views.preview={picture}"], console=Console(quiet=True))
    assert Image.open(picture).width > 500


def test_a_plan_reads_nothing_of_it(stream: str) -> None:
    found = plan("tiny64_byol", [*SMALL, f"data.train={stream}", "data.samples=80"])
    assert found.length.steps_an_epoch == 10
    (said,) = [line for line in found.assumptions if "stream" in line]
    assert "data.samples = 80" in said
    assert "s3cr3t" not in said
