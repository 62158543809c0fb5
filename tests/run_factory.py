"""Folders of runs as training leaves them, made in a moment."""

import json
from pathlib import Path
from typing import Any

from artifact_factory import PROVENANCE, log_lines, metric, trained_backbone

from ladder_hub.artifact.writing import write_artifact
from ladder_hub.recipe import Recipe, load_recipe
from ladder_hub.training.state import build_learner

SMALL = ["model.backbone=test_resnet", "heads.hidden=16", "heads.out=8", "data.train=shapes:8", "batch_size=8"]
SMALL += ["micro_batch=8", "data.workers=0"]


def small(name: str, *overrides: str) -> Recipe:
    return load_recipe(name, [*SMALL, *overrides])


def make_run(
    folder: Path, recipe: Recipe, *, finished: bool = True, log: list[dict] | None = None, **changes: Any
) -> Path:
    """A run's folder; unfinished ones have no artifact."""
    folder.mkdir(parents=True)
    (folder / "recipe.toml").write_text(recipe.to_toml())
    lines = log_lines([level.name for level in recipe.ladder]) if log is None else log
    (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    if finished:
        learner = build_learner(recipe)
        heads = {k: v for k, v in learner.state_dict().items() if not k.startswith("online.backbone.")}
        write_artifact(
            folder / "artifact",
            backbone=trained_backbone(recipe.model.backbone),
            recipe=recipe,
            provenance=PROVENANCE,
            metrics=[metric(**changes)],
            log=lines,
            heads=heads,
        )
    return folder
