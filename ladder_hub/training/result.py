"""What a run leaves: its artifact, then the figures on its card."""

from typing import Any

from ladder_hub.artifact.changing import add_metrics
from ladder_hub.artifact.writing import write_artifact
from ladder_hub.data.contents import named_by_content
from ladder_hub.data.sources import Source, StreamSource
from ladder_hub.training.loop import Loop
from ladder_hub.training.scoring import score_network
from ladder_hub.training.state import build_learner
from ladder_hub.weights import tensor_digest


def publish(loop: Loop, facts: dict[str, Any]) -> None:
    """The artifact, before anything is measured: what can fail after it can't lose it."""
    state, recipe = loop.state, loop.recipe
    if not loop.world.is_first:
        return
    val = ["data.val=IMAGES"] if recipe.data.val else []
    write_artifact(
        loop.folder / "artifact",
        backbone=state.learner.online.backbone,
        recipe=recipe,
        provenance={
            **facts,
            "data": loop.inputs.fingerprint,
            "seed": recipe.seed,
            "precision": recipe.precision,
            "processes": loop.world.size,
            "batch": str(state.layout),
            "steps": state.step,
            "epochs": recipe.epochs,
            "samples_seen": state.samples,
            "wall_seconds": round(loop.seconds, 1),
            "joules": loop.energy.joules,
            "bad_images": len(loop.bad),
            "command": " ".join(["ladder-hub train recipe=recipe.toml data.train=IMAGES", *val]),
        },
        metrics=[],
        log=loop.log.records,
        heads=state.heads(),
    )


def measure(loop: Loop, val: Source) -> None:
    """Score the trained network and the one it started from by kNN, all training images voting."""
    train = loop.inputs.train
    assert not isinstance(train, StreamSource)
    recipe, trained = loop.recipe, loop.state.learner.online.backbone.float()  # as it is published
    after = score_network(loop, trained, "kNN, trained")
    untrained = build_learner(recipe).online.backbone.to(loop.world.device)
    before = score_network(loop, untrained, "kNN, before training")
    if not loop.world.is_first:
        return
    add_metrics(
        loop.folder / "artifact",
        after.entries(
            temperature=recipe.knn.temperature,
            weights=tensor_digest(dict(trained.state_dict())),
            train=named_by_content(train, workers=recipe.data.workers),
            val=named_by_content(val, workers=recipe.data.workers),
            before={"top1": before.top1, "top5": before.top5},
            overlap=loop.inputs.overlap,
        ),
    )
