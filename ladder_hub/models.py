"""Models by name: our registry, a run's folder, a repository on the Hub.

A path or a Hub id IS weights: they are always loaded, and always verified first. Importing this module
brings in neither torch nor timm; building a model does.
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ladder_hub.documents import plain, read_json, shown
from ladder_hub.registry import DEFAULT_TAG, Entry, ModelError, entries, find, list_models

if TYPE_CHECKING:
    from torch import nn

__all__ = ["ModelError", "create_model", "list_models", "read_config", "resolve"]

_WEIGHTS = "model.safetensors"
_PICKLES = {".pth", ".pt", ".bin", ".pkl", ".pickle", ".ckpt", ".tar"}
# timm's create_model would act on these: other weights, none at all, a part of them without a word, or a pyramid
# that nobody asked for.
_NOT_THE_NETWORKS = {
    "cache_dir",
    "checkpoint_path",
    "device",
    "dtype",
    "exportable",
    "feature_cfg",
    "features_only",
    "kwargs_filter",
    "model_cfg",
    "model_name",
    "name",
    "cfg",
    "no_jit",
    "out_indices",
    "pretrained",
    "pretrained_cfg",
    "pretrained_cfg_overlay",
    "pretrained_filter_fn",
    "pretrained_model_args",
    "pretrained_strict",
    "scriptable",
}
_ARCHITECTURE = re.compile(r"\w[\w.-]{0,199}", re.ASCII)
_LARGEST = 8192


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
    try:
        return _folder(Path(text.removeprefix("local-dir:")).expanduser())
    except RuntimeError:
        raise ModelError(f"{plain(text)}: the home folder is not known; write the path out") from None
    except (OSError, ValueError) as error:  # a name too long, a folder that may not be entered, a zero byte
        reason = getattr(error, "strerror", None) or "it is no path"
        raise ModelError(f"can't read {plain(text)}: {reason}") from None


def read_config(folder: Path) -> dict[str, Any]:
    """The config.json of a model's folder, with the tables `pretrained_cfg`, `ladder_hub` and `model_args`.

    Raises:
        ModelError: it is absent or is not the config of a timm model.
    """
    path = folder / "config.json"
    if not os.path.lexists(path):
        raise ModelError(f"{folder}: no config.json; a model's folder holds config.json and {_WEIGHTS}")
    config = read_json(path, ModelError)
    if not isinstance(config, dict) or not isinstance(config.get("architecture"), str):
        raise ModelError(f"{path}: not the config of a timm model: it names no architecture")
    if not _ARCHITECTURE.fullmatch(config["architecture"]):
        raise ModelError(f"{path}: architecture {shown(config['architecture'])} is no name of a timm network")
    for key in ("pretrained_cfg", "ladder_hub", "model_args"):
        if not isinstance(config.setdefault(key, {}), dict):
            raise ModelError(f"{path}: {key} is not a table")
    _check_arguments(path, config["model_args"])
    _check_facts(path, config)
    _check_ours(path, config["ladder_hub"])
    return config


def _check_arguments(path: Path, arguments: dict[str, Any]) -> None:
    odd = sorted(_NOT_THE_NETWORKS & arguments.keys())
    if odd:
        raise ModelError(f"{path}: model_args may not hold {odd[0]!r}; it is no argument of the network")
    pending = list(arguments.items())
    while pending:
        key, value = pending.pop()
        if isinstance(value, dict | list):
            inner = value.values() if isinstance(value, dict) else value
            pending += [(key, part) for part in inner]
        # A width or depth of a million is no network's, and building one would take the machine.
        elif isinstance(value, int | float) and abs(value) > _LARGEST:
            raise ModelError(f"{path}: model_args: {shown(key)} holds {shown(value)}; at most {_LARGEST} is taken")


def _check_facts(path: Path, config: dict[str, Any]) -> None:
    """What a reader of pixels goes by must be what it seems; the rest of `pretrained_cfg` is words."""
    cfg = config["pretrained_cfg"]
    size = cfg.get("input_size")
    if size is not None and not (_counts(size) and len(size) == 3):
        raise ModelError(f"{path}: input_size {shown(size)} is not [channels, height, width]")
    channels = size[0] if size else 3
    if config["model_args"].get("in_chans", channels) != channels:
        # timm would stretch the first convolution to it without a word.
        raise ModelError(f"{path}: model_args: in_chans is another number of channels than input_size has: {channels}")
    for key in ("mean", "std"):
        if cfg.get(key) is not None and not _channel_numbers(cfg[key], above_zero=key == "std"):
            raise ModelError(f"{path}: {key} {shown(cfg[key])} is no list of a number a channel")
    crop = cfg.get("crop_pct")
    if crop is not None and not (_is_number(crop) and 0 < crop <= 4):
        raise ModelError(f"{path}: crop_pct {shown(crop)} is no share of an image's side")
    for table, where in ((config, ""), (cfg, "pretrained_cfg.")):
        classes = table.get("num_classes")
        if classes is not None and not (type(classes) is int and 0 <= classes < 2**31):
            raise ModelError(f"{path}: {where}num_classes {shown(classes)} is no number of classes")


def _check_ours(path: Path, ours: dict[str, Any]) -> None:
    for key in ("sha256", "digest", "heads_sha256", "branch", "method", "recipe", "recipe_fingerprint", "version"):
        if not isinstance(ours.get(key, ""), str):
            raise ModelError(f"{path}: ladder_hub.{key} {shown(ours[key])} is no text")
    seen = ours.get("samples_seen")
    if seen is not None and type(seen) is not int:
        raise ModelError(f"{path}: ladder_hub.samples_seen {shown(seen)} is no count")
    levels = ours.get("levels", [])
    if not isinstance(levels, list) or not all(map(_is_level, levels)):
        raise ModelError(f"{path}: ladder_hub.levels are no list of stage, loss and weight")


def _is_level(level: Any) -> bool:
    if not isinstance(level, dict) or not _is_number(level.get("weight")):
        return False
    return isinstance(level.get("stage"), str) and isinstance(level.get("loss"), str)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _counts(value: Any) -> bool:
    return isinstance(value, list) and all(type(number) is int and 0 < number <= _LARGEST for number in value)


def _channel_numbers(value: Any, *, above_zero: bool) -> bool:
    if not isinstance(value, list) or not 0 < len(value) <= 64 or not all(map(_is_number, value)):
        return False
    return all(abs(number) < 1e6 and (number > 0 or not above_zero) for number in value)


def is_zoo_name(name: str | os.PathLike[str]) -> bool:
    """Whether `create_model` takes `name` for one of the zoo's; a `Path` never is one."""
    if isinstance(name, os.PathLike):
        return False
    if {name, f"{name}.{DEFAULT_TAG}"} & entries().keys():
        return True
    return not any(mark in name for mark in "/\\:") and not os.path.lexists(name)


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
    from ladder_hub.receipt import facts_for_timm, receipt_for, verify_weights

    config = read_config(folder)
    published = find(os.fspath(name)).sha256 if is_zoo_name(name) else None
    weights = verify_weights(folder / _WEIGHTS, config, sha256=published)
    # What was verified is what is loaded: the tensors, not the file a second time.
    cfg = facts_for_timm(config) | {"state_dict": dict(weights.tensors)}
    model: Any = build_pretrained(config["architecture"], cfg, **(config["model_args"] | shape))
    del model.pretrained_cfg["state_dict"]
    model.load_receipt = receipt_for(os.fspath(name), config, weights, num_classes=shape.get("num_classes", 0))
    return model
