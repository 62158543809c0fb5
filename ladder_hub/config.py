"""The config.json of a model, which anybody may have written: read within limits, checked before timm sees it.

It names a network of timm and its arguments. It can't name code: nothing of it is ever imported.
"""

import os
import re
from pathlib import Path
from typing import Any

from ladder_hub.documents import read_json, shown
from ladder_hub.registry import ModelError

WEIGHTS = "model.safetensors"
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
_LEAST_CROP = 0.1


def read_config(folder: Path) -> dict[str, Any]:
    """The config.json of a model's folder, with the tables `pretrained_cfg`, `ladder_hub` and `model_args`.

    Raises:
        ModelError: it is absent or is not the config of a timm model.
    """
    path = folder / "config.json"
    if not os.path.lexists(path):
        raise ModelError(f"{folder}: no config.json; a model's folder holds config.json and {WEIGHTS}")
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
    for key in ("crop_pct", "test_crop_pct"):
        if cfg.get(key) is not None and not (_is_number(cfg[key]) and _LEAST_CROP <= cfg[key] <= 4):
            # The image is enlarged to size / crop_pct before its centre is taken.
            raise ModelError(f"{path}: {key} {shown(cfg[key])} is not a share of a side from {_LEAST_CROP} to 4")
    test_size = cfg.get("test_input_size")
    if test_size is not None and not (_counts(test_size) and len(test_size) == 3):
        raise ModelError(f"{path}: test_input_size {shown(test_size)} is not [channels, height, width]")
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
