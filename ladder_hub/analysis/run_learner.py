"""The whole learner of a run, heads and target too: from its newest checkpoint, else from what its artifact keeps."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from ladder_hub.artifact.reading import Artifact, load_heads, read_artifact
from ladder_hub.errors import UserError
from ladder_hub.models import resolve
from ladder_hub.recipe import Recipe, load_recipe
from ladder_hub.runtime.checkpoint import load_checkpoint, newest_checkpoint
from ladder_hub.siamese.learner import Learner
from ladder_hub.training.state import build_learner
from ladder_hub.weights import load_tensors

_BACKBONE = "online.backbone."


@dataclass(frozen=True)
class RunLearner:
    """A learner as a run left it: float32, on the CPU, in train mode."""

    name: str
    """RUN as it was typed."""
    learner: Learner
    recipe: Recipe
    step: int | None
    """Optimiser steps taken; None where an artifact doesn't say."""
    origin: str
    """The file that it comes from."""


def open_run(run: str) -> RunLearner:
    """The learner of a run's folder, interrupted or finished, or of an artifact that was published with its heads.

    Args:
        run: A run's folder: its newest sound checkpoint, else its artifact. Or whatever `create_model` takes.

    Raises:
        UserError: no run there, no heads, or weights that are not this recipe's.
    """
    folder = Path(run.removeprefix("local-dir:")).expanduser()
    if run.startswith("random:"):
        raise UserError(f"{run}: a network at random has no heads; name a run")
    if (folder / "recipe.toml").is_file() and (folder / "checkpoints").is_dir():
        path = newest_checkpoint(folder / "checkpoints")
        if path is not None:
            state = load_checkpoint(path)
            recipe = load_recipe(str(folder / "recipe.toml"))
            return RunLearner(run, _filled(recipe, state["learner"], str(path)), recipe, state["step"], str(path))
    return _of_artifact(run, read_artifact(resolve(run)))


def _of_artifact(run: str, artifact: Artifact) -> RunLearner:
    heads = load_heads(artifact.folder)
    if heads is None or not artifact.recipe:
        raise UserError(
            f"{artifact.folder} has no heads (ladder_heads.safetensors), and no loss without them; "
            "name the folder of a run with its checkpoints"
        )
    recipe = load_recipe(str(artifact.folder / "recipe.toml"))
    backbone = {_BACKBONE + name: tensor for name, tensor in load_tensors(artifact.weights).items()}
    steps = artifact.provenance.get("steps")
    learner = _filled(recipe, {**backbone, **heads}, str(artifact.folder))
    return RunLearner(run, learner, recipe, steps if isinstance(steps, int) else None, str(artifact.folder))


def _filled(recipe: Recipe, tensors: Mapping[str, Tensor], where: str) -> Learner:
    plain = recipe.model_copy(update={"init": "", "checkpoint_activations": False})
    learner = build_learner(plain)
    ours = learner.state_dict()
    odd = sorted(ours.keys() ^ tensors.keys()) or [name for name in ours if ours[name].shape != tensors[name].shape]
    if odd:
        raise UserError(f"{where}: {odd[0]} is not as the recipe beside it has it; they are of different runs")
    learner.load_state_dict(dict(tensors))
    return learner
