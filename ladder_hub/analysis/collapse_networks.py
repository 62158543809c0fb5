"""The networks that a run has left, by step: its checkpoints, or the model it became."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from ladder_hub.backbone import build_backbone
from ladder_hub.data.photometric import IMAGENET_MEAN, IMAGENET_STD
from ladder_hub.downstream.subject import open_subject
from ladder_hub.models import resolve
from ladder_hub.recipe import Recipe, load_recipe
from ladder_hub.runtime.checkpoint import CheckpointError, load_checkpoint

_ONLINE = "online.backbone."


@dataclass(frozen=True)
class Network:
    """An online backbone at some step, float32, on the CPU, and how its images are prepared."""

    step: int | None
    """None where nobody knows: a model without its run."""
    backbone: nn.Module
    size: int
    crop_pct: float
    mean: tuple[float, ...]
    std: tuple[float, ...]


def recipe_of(run: str) -> Recipe | None:
    """The recipe of a run's folder; None where RUN is no run but a model.

    Raises:
        ModelError: it is neither.
    """
    path = Path(run).expanduser() / "recipe.toml"
    # An artifact has a recipe too; its images are named without their folder.
    if path.is_file() and not (path.parent / "model.safetensors").is_file():
        return load_recipe(str(path))
    if not run.startswith(("random:", "timm:")):
        resolve(run)
    return None


def networks(run: str) -> Iterator[Network]:
    """Every checkpoint of a run, earliest first, read one after the other; where there is none, the model itself.

    Args:
        run: The folder of a run, or whatever `open_subject` takes.

    Raises:
        UserError: it is neither; or a checkpoint is damaged, or of another network.
    """
    recipe = recipe_of(run)
    paths = sorted((Path(run).expanduser() / "checkpoints").glob("step_*.pt")) if recipe else []
    for path in paths:
        assert recipe is not None
        yield _of_checkpoint(path, recipe)
    if not paths:
        yield _of_model(run)


def _of_checkpoint(path: Path, recipe: Recipe) -> Network:
    state = load_checkpoint(path)
    backbone = build_backbone(recipe.model.backbone)
    try:
        tensors = {key.removeprefix(_ONLINE): t for key, t in state["learner"].items() if key.startswith(_ONLINE)}
        backbone.load_state_dict(tensors)
        step = int(state["step"])
    except (AttributeError, KeyError, RuntimeError, TypeError, ValueError):
        raise CheckpointError(f"{path} is no checkpoint of a {recipe.model.backbone} that ladder-hub trained") from None
    data = recipe.data
    return Network(step, backbone, data.image_size, data.crop_pct, IMAGENET_MEAN, IMAGENET_STD)


def _of_model(model: str) -> Network:
    subject = open_subject(model)
    cfg: Any = subject.backbone.pretrained_cfg
    return Network(
        None, subject.backbone, cfg["input_size"][-1], cfg["crop_pct"], tuple(cfg["mean"]), tuple(cfg["std"])
    )
