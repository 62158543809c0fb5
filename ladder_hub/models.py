"""Models by name: our registry, a run's folder, a repository on the Hub.

A path or a Hub id IS weights: they are always loaded, and always verified first. Importing this module
brings in neither torch nor timm; building a model does.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ladder_hub.registry import DEFAULT_TAG, Entry, ModelError, entries, find, list_models

if TYPE_CHECKING:
    from torch import nn

__all__ = ["ModelError", "create_model", "list_models", "read_config", "resolve"]

_WEIGHTS = "model.safetensors"
_PICKLES = {".pth", ".pt", ".bin", ".pkl", ".pickle", ".ckpt", ".tar"}
# timm's create_model would act on these: other weights, none at all, or a pyramid that nobody asked for.
_NOT_THE_NETWORKS = {
    "cache_dir",
    "checkpoint_path",
    "features_only",
    "model_name",
    "name",
    "cfg",
    "out_indices",
    "pretrained",
    "pretrained_cfg",
    "pretrained_cfg_overlay",
}


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
    shape = {"output_stride": output_stride, "num_classes": 0, **kwargs}
    if features_only:
        # timm builds pyramids without a classifier and takes no number of classes for them.
        shape.pop("num_classes")
        shape |= {"features_only": True, "out_indices": None if out_indices is None else tuple(out_indices)}
    elif out_indices is not None:
        raise ModelError(f"{name}: out_indices choose maps of a pyramid; add features_only=True")
    if is_zoo_name(name) and not pretrained:
        return _build_at_random(find(os.fspath(name)), shape)
    return _load(name, resolve(name, cache_dir=cache_dir), shape)


def resolve(name: str | os.PathLike[str], *, cache_dir: str | Path | None = None) -> Path:
    """The folder with the config.json and model.safetensors of any source that `create_model` takes.

    Training's `init=`, evaluation and export find their files through this. Nothing is verified yet.

    Raises:
        ModelError: no such model, no published weights, no folder there, or no safetensors in it.
        HubError: the repository or the network fails.
    """
    text = os.fspath(name)
    if text.startswith("hf-hub:"):
        from ladder_hub.hub import pull

        repository, _, revision = text.removeprefix("hf-hub:").partition("@")
        return pull(repository, revision or None, cache_dir)
    if is_zoo_name(name):
        entry = find(text)
        if not entry.published:
            raise ModelError(_nothing_published(entry))
        return resolve(f"hf-hub:{entry.repository}@{entry.revision}", cache_dir=cache_dir)
    return _folder(Path(text.removeprefix("local-dir:")).expanduser())


def read_config(folder: Path) -> dict[str, Any]:
    """The config.json of a model's folder, with the tables `pretrained_cfg`, `ladder_hub` and `model_args`.

    Raises:
        ModelError: it is absent or is not the config of a timm model.
    """
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(f"{folder}: no config.json; a model's folder holds config.json and {_WEIGHTS}") from None
    except ValueError as error:
        raise ModelError(f"{path} is not JSON: {error}") from None
    if not isinstance(config, dict) or not isinstance(config.get("architecture"), str):
        raise ModelError(f"{path}: not the config of a timm model: it names no architecture")
    for key in ("pretrained_cfg", "ladder_hub", "model_args"):
        if not isinstance(config.setdefault(key, {}), dict):
            raise ModelError(f"{path}: {key} is not a table")
    odd = sorted(_NOT_THE_NETWORKS & config["model_args"].keys())
    if odd:
        raise ModelError(f"{path}: model_args may not hold {odd[0]!r}; it is no argument of the network")
    size = config["pretrained_cfg"].get("input_size")
    if size is not None and not (isinstance(size, list) and len(size) == 3):
        raise ModelError(f"{path}: input_size {size!r} is not [channels, height, width]")
    return config


def is_zoo_name(name: str | os.PathLike[str]) -> bool:
    """Whether `create_model` takes `name` for one of the zoo's; a `Path` never is one."""
    if isinstance(name, os.PathLike):
        return False
    if {name, f"{name}.{DEFAULT_TAG}"} & entries().keys():
        return True
    return not any(mark in name for mark in "/\\:") and not Path(name).exists()


def _folder(path: Path) -> Path:
    if path.suffix in _PICKLES and not path.is_dir():
        raise ModelError(f"{path}: a pickle file; no pickle is trusted, a model is a folder with {_WEIGHTS}")
    if path.name == _WEIGHTS:
        path = path.parent
    if (path / "artifact").is_dir():
        path = path / "artifact"
    if not path.is_dir():
        raise ModelError(f"no folder {path}; a model on the Hub is written hf-hub:org/name")
    if not (path / _WEIGHTS).is_file():
        pickles = sorted(file.name for file in path.iterdir() if file.suffix in _PICKLES)
        reason = f"only {pickles[0]}, and no pickle is trusted" if pickles else "so it is no model's folder"
        raise ModelError(f"{path}: no {_WEIGHTS} there, {reason}")
    return path


def _nothing_published(entry: Entry) -> str:
    there = list_models(pretrained=True)
    others = f"published are {', '.join(there)}" if there else "no model of the zoo has published weights yet"
    return f"{entry.name}: no weights are published ({others}); train it: {entry.command}"


def _build_at_random(entry: Entry, shape: dict[str, Any]) -> "nn.Module":
    from ladder_hub.backbone import build_pretrained, explicit_cfg

    cfg = explicit_cfg(entry.architecture, image_size=224, crop_pct=0.875, license="")
    model = build_pretrained(entry.architecture, cfg, pretrained=False, **shape)
    model.load_receipt = None  # type: ignore[assignment]
    return model


def _load(name: str | os.PathLike[str], folder: Path, shape: dict[str, Any]) -> "nn.Module":
    from ladder_hub.backbone import build_pretrained
    from ladder_hub.receipt import receipt_for, verify_weights

    config = read_config(folder)
    published = find(os.fspath(name)).sha256 if is_zoo_name(name) else None
    weights = verify_weights(folder / _WEIGHTS, config, sha256=published)
    cfg = {key: value for key, value in config["pretrained_cfg"].items() if value is not None}
    cfg |= {"num_classes": config.get("num_classes", cfg.get("num_classes", 0))}
    # What was verified is what is loaded: the tensors, not the file a second time.
    cfg |= {"state_dict": dict(weights.tensors)}
    model: Any = build_pretrained(config["architecture"], cfg, **(config["model_args"] | shape))
    del model.pretrained_cfg["state_dict"]
    model.load_receipt = receipt_for(os.fspath(name), config, weights, num_classes=shape.get("num_classes", 0))
    return model
