"""`ladder-hub reproduce`: train a model again from its own recipe, and hold the result against what was published."""

from collections.abc import Sequence
from typing import Any

from ladder_hub.artifact.reading import Artifact, read_artifact
from ladder_hub.errors import UserError
from ladder_hub.models import resolve
from ladder_hub.publishing.lint import Check
from ladder_hub.publishing.verify import compared
from ladder_hub.training.run import Run, train


class ReproduceError(UserError):
    """A model that can't be trained again, or that did not come out again."""


def reproduce(model: str, overrides: Sequence[str] = (), *, resume: str | None = None) -> list[Check] | None:
    """Train a model again and compare.

    Args:
        model: whatever `create_model` takes, as long as ladder-hub trained it.
        overrides: `key=value` of the recipe: `data.train=IMAGES data.val=IMAGES out=FOLDER` where the images are not
            the embedded ones: a published recipe names them without their folder. Keys that change the experiment are
            told by a check of their own.
        resume: as `train`: the folder of an interrupted reproduction, or `auto`.

    Returns:
        What was compared: recipe, images, weights, and every figure that the run itself measures, which has a problem
        where it lies outside the published 95 % interval. Other weights are no problem: another processor, another
        number of threads or another version adds up in another order. None on all processes but the first.

    Raises:
        ReproduceError: the model has no recipe.
        UserError, RunError: as `train`.
    """
    artifact = read_artifact(resolve(model))
    if not artifact.recipe:
        raise ReproduceError(f"{model} was not trained by ladder-hub: it has no recipe.toml to train it from")
    run = train("" if resume not in (None, "auto") else str(artifact.folder / "recipe.toml"), overrides, resume=resume)
    return None if run is None else _compared(artifact, run)


def _compared(published: Artifact, run: Run) -> list[Check]:
    new = read_artifact(run.artifact)
    old, now = published.provenance, new.provenance
    checks = [
        _same("recipe", old.get("recipe_fingerprint"), now["recipe_fingerprint"], "what decides the numbers differs"),
        _same("images", _digest(old), _digest(now), "they are not the ones that it was trained on"),
        _weights(old, now),
    ]
    checks += [compared(entry, published.metrics) for entry in run.metrics]
    measured = {entry["protocol"] for entry in run.metrics}
    others = dict.fromkeys(entry["protocol"] for entry in published.metrics if entry["protocol"] not in measured)
    note = f"not measured by the run; `ladder-hub eval` does, on {new.folder}"
    return checks + [Check(name, note=note) for name in others]


def _same(name: str, old: Any, new: Any, problem: str) -> Check:
    return Check(name, note="as published") if old == new else Check(name, (problem,))


def _weights(old: dict[str, Any], now: dict[str, Any]) -> Check:
    if old.get("weights_digest") == now["weights_digest"]:
        return Check("weights", note="the same to the last bit")
    there, here = (_place(facts) for facts in (old, now))
    return Check("weights", note=f"other bits: {there} then, {here} now")


def _place(facts: dict[str, Any]) -> str:
    versions = facts.get("versions")
    torch = versions.get("torch", "unknown") if isinstance(versions, dict) else "unknown"
    return f"{facts.get('device', 'unknown')}, torch {torch}"


def _digest(facts: dict[str, Any]) -> Any:
    data = facts.get("data")
    return data.get("digest") if isinstance(data, dict) else data
