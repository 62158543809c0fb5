"""What a finished run of a sweep leaves, without the training: recipe, config of the artifact, figures."""

import json
from typing import Any

from artifact_factory import FINGERPRINT, PROVENANCE, VAL

from ladder_hub.recipe import Recipe
from ladder_hub.sweeps.evaluations import Evaluation, Figures
from ladder_hub.sweeps.places import Place

SMALL = ["model.backbone=test_resnet", "heads.hidden=32", "heads.out=16", "data.image_size=32", "batch_size=8"]
SMALL += ["micro_batch=8", "data.train=shapes:32", "data.val=shapes:16", "epochs=40", "optim.warmup_epochs=1"]
SMALL += ["log.every=1", "log.checkpoint=40", "knn.every=0", "data.workers=0", "device=cpu", "precision=float32"]
KNN = Evaluation("knn", ("stage=all",))


def leave_run(place: Place, recipe: Recipe, digest: str = "ab") -> None:
    (place.run / "artifact").mkdir(parents=True)
    (place.run / "recipe.toml").write_text(recipe.to_toml())
    ours = {"digest": digest, "recipe_fingerprint": recipe.fingerprint()}
    config = {"architecture": recipe.model.backbone, "ladder_hub": ours}
    (place.run / "artifact" / "config.json").write_text(json.dumps(config))
    (place.run / "artifact" / "provenance.json").write_text(json.dumps(PROVENANCE | {"processes": 1}))


def leave_figures(place: Place, values: dict[str, float], *, weights: str = "ab", by: Evaluation = KNN, **more) -> None:
    """Top-1 by stage."""
    place.cell.mkdir(parents=True, exist_ok=True)
    entries = [figure(stage, value, **more) for stage, value in values.items()]
    Figures(by.text, weights, entries).write(place.beside(f"{by.slug}.json"))


def figure(stage: str, value: float, **more: Any) -> dict[str, Any]:
    data = {"train": FINGERPRINT, "val": VAL}
    entry = {"protocol": "knn:k20-t0.07", "stage": stage, "metric": "top1", "value": value, "n": 500, "data": data}
    return entry | more
