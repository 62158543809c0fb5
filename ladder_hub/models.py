"""Models by name: our registry, a run's folder, a repository on the Hub.

A path or a Hub id IS weights: they are always loaded, and always verified first. Importing this module
brings in neither torch nor timm; building a model does.
"""

import operator
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ladder_hub.config import WEIGHTS, read_config
from ladder_hub.location import is_zoo_name, resolve
from ladder_hub.registry import Entry, ModelError, find, list_models

if TYPE_CHECKING:
    from torch import nn

_OTHER_WEIGHTS = {
    "checkpoint_path",
    "pretrained_cfg",
    "pretrained_cfg_overlay",
    "pretrained_custom_load",
    "pretrained_filter_fn",
    "pretrained_strict",
}

__all__ = ["ModelError", "create_model", "is_zoo_name", "list_models", "read_config", "resolve"]


def create_model(
    name: str | os.PathLike[str],
    pretrained: bool = False,
    *,
    features_only: bool = False,
    out_indices: Sequence[int] | None = None,
    output_stride: int | None = None,
    cache_dir: str | Path | None = None,
    **kwargs: Any,
) -> "nn.Module":
    """A timm network: a backbone, or with `features_only` its pyramid.

    Args:
        name: A model of the zoo (`ladder_byol_r50`, `ladder_byol_r50.in1k_200e`), the folder of an artifact
            or of a run (a text or a `Path`), `local-dir:FOLDER`, or `hf-hub:org/name[@revision]`.
        pretrained: For a name of the zoo: load its published weights. A folder and a Hub id are weights:
            they are loaded whatever stands here.
        features_only: The model returns a list of maps (B, C, H, W) instead of one vector, and has
            `feature_info` (`channels()`, `reduction()`), as in timm.
        out_indices: Which maps, by timm's indices; None: the four of stride 4, 8, 16, 32.
        output_stride: 8 or 16: dilate the last stages of a ResNet instead of striding.
        cache_dir: Where downloads go; None: the cache of huggingface_hub.
        kwargs: timm's own. `num_classes=10` adds a classifier at random; the default is none, the model
            then returns pooled features (B, C). `in_chans=1` adapts the first convolution.

    Returns:
        The network, with `load_receipt`: a `Receipt` of what was loaded, or None where nothing was
        (`pretrained` False for a name of the zoo).

    Raises:
        ModelError: no such model, no published weights, or a weights file that is not what it should be.
        BackboneError: the network can't be built with these options.
    """
    _refuse_other_weights(name, kwargs)
    shape = {"output_stride": output_stride, "num_classes": 0, **kwargs}
    if features_only:
        # timm builds pyramids without a classifier and takes no number of classes for them.
        shape.pop("num_classes")
        shape |= {"features_only": True, "out_indices": None if out_indices is None else _indices(name, out_indices)}
    elif out_indices is not None:
        raise ModelError(f"{name}: out_indices choose maps of a pyramid; add features_only=True")
    if is_zoo_name(name) and not pretrained:
        return _build_at_random(find(os.fspath(name)), shape)
    return _load(name, resolve(name, cache_dir=cache_dir), shape)


def _indices(name: str | os.PathLike[str], chosen: Any) -> tuple[int, ...]:
    try:
        return tuple(map(operator.index, chosen))
    except TypeError:
        raise ModelError(f"{name}: out_indices are whole numbers such as (1, 2, 3, 4), got {chosen!r}") from None


def _refuse_other_weights(name: str | os.PathLike[str], kwargs: Mapping[str, Any]) -> None:
    """Timm's arguments that bring in other weights than those of `name`, or a part of them without a word."""
    odd = sorted(_OTHER_WEIGHTS & kwargs.keys())
    if odd:
        raise ModelError(f"{name}: {odd[0]} would replace the weights of this model; load those by their own name")


def _build_at_random(entry: Entry, shape: dict[str, Any]) -> "nn.Module":
    from ladder_hub.backbone import build_pretrained, explicit_cfg

    cfg = explicit_cfg(entry.architecture, image_size=224, crop_pct=0.875, license="")
    model = build_pretrained(entry.architecture, cfg, pretrained=False, **shape)
    model.load_receipt = None  # type: ignore[assignment]
    return model


def _load(name: str | os.PathLike[str], folder: Path, shape: dict[str, Any]) -> "nn.Module":
    import torch

    from ladder_hub.backbone import build_pretrained
    from ladder_hub.receipt import facts_for_timm, receipt_for, verify_weights

    if torch.get_default_device().type == "meta":
        raise ModelError(f"{name}: asked for under torch.device('meta'): no memory there to hold weights")
    config = read_config(folder)
    shape = _channels(config) | shape
    published = find(os.fspath(name)).sha256 if is_zoo_name(name) else None
    weights = verify_weights(folder / WEIGHTS, config, sha256=published, anew=False)
    # What was verified is what is loaded: the tensors, not the file a second time.
    cfg = facts_for_timm(config) | {"state_dict": dict(weights.tensors)}
    model: Any = build_pretrained(config["architecture"], cfg, **(config["model_args"] | shape))
    del model.pretrained_cfg["state_dict"]
    model.load_receipt = receipt_for(os.fspath(name), config, weights, model)
    return model


def _channels(config: dict[str, Any]) -> dict[str, Any]:
    """`in_chans` of a network whose first convolution takes other than three channels."""
    size = config["pretrained_cfg"].get("input_size")
    return {"in_chans": size[0]} if size and size[0] != 3 else {}
