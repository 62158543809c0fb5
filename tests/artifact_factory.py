"""What several rooms' tests share: a small artifact, and Python processes with a chosen environment."""

import os
import subprocess
import sys
from pathlib import Path

import torch
from torch import nn

from ladder_hub.artifact.writing import write_artifact
from ladder_hub.backbone import build_backbone
from ladder_hub.recipe import load_recipe

REPOSITORY = Path(__file__).parent.parent
FINGERPRINT = {
    "source": "folder",
    "name": "train",
    "count": 1234,
    "classes": 10,
    "digest": "ab" * 32,
    "content": "12" * 32,
}
VAL = {"source": "folder", "name": "val", "count": 500, "classes": 10, "digest": "cd" * 32, "content": "34" * 32}
RECIPE = load_recipe("tiny64_ladder_dense", ["model.backbone=test_resnet", "data.train=train"])
PROVENANCE = {
    "commit": "0123abc",
    "batch": "1 x 256 (BatchNorm: ghost, 256 images)",
    "versions": {"torch": "2.11.0", "timm": "1.0.31"},
    "data": FINGERPRINT,
    "seed": 0,
    "device": "cpu",
    "samples_seen": 24_680,
    "steps": 96,
    "epochs": 20,
    "wall_seconds": 1234.5,
    "command": "ladder-hub train recipe=tiny64_ladder_dense",
}


def metric(**changes) -> dict:
    entry = {
        "protocol": "knn:k20-t0.07",
        "stage": "res5",
        "metric": "top1",
        "value": 0.4321,
        "ci95": [0.3891, 0.4762],
        "n": 500,
        "seeds": 1,
        "baseline": 0.1234,
        "data": {"train": FINGERPRINT, "val": VAL},
        "date": "2026-11-25",
        "ladder_hub": "0.1.0",
    }
    return entry | changes


def trained_backbone(name: str = "test_resnet") -> nn.Module:
    """A network whose every tensor, running statistics included, differs from a fresh one's."""
    torch.manual_seed(0)
    backbone = build_backbone(name).to(memory_format=torch.channels_last)
    backbone.train()
    with torch.no_grad():
        backbone(torch.randn(4, 3, 64, 64))
        for parameter in backbone.parameters():
            parameter.add_(0.01 * torch.randn_like(parameter))
    return backbone


def log_lines(levels: list[str], steps: int = 10) -> list[dict]:
    return [
        {
            "step": step,
            "epoch": step / 4,
            "samples": 256 * step,
            "loss": 4.0,
            "losses": dict.fromkeys(levels, 8.0 / (step + 1)),
            "lr": 0.1,
            "momentum": 0.99,
            "std": dict.fromkeys(levels, 0.9),
            "rank": dict.fromkeys(levels, 30.0),
            "samples_per_second": 100.0,
        }
        for step in range(steps)
    ]


def make_artifact(folder: Path, *, backbone: nn.Module | None = None, metrics=None, recipe=RECIPE, heads=None) -> Path:
    write_artifact(
        folder,
        backbone=backbone or trained_backbone(recipe.model.backbone),
        recipe=recipe,
        provenance=PROVENANCE,
        metrics=[metric()] if metrics is None else metrics,
        log=log_lines([level.name for level in recipe.ladder]),
        heads=heads,
    )
    return folder


def python(code: str, *arguments: str | Path, cwd: Path, package: Path | None = REPOSITORY, **environment: str) -> str:
    """What `code` prints in a fresh process that finds `ladder_hub` in `package` (None: not by our doing)."""
    env = os.environ | environment
    env.pop("PYTHONPATH", None)
    if package is not None:
        env["PYTHONPATH"] = str(package)
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
