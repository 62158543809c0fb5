"""The door to timm: build a stock network, say what its stages are, run its pyramid.

Everything goes through timm's `feature_info` and `forward_intermediates`, so that the network that trains
is the network that is published. `resK` is the map of stride 2^K, whatever the architecture calls it.
"""

import copy
import difflib
import functools
import inspect
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import timm
import torch
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.models import get_pretrained_cfg
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ladder_hub.errors import UserError

STAGE_NAMES = ("res2", "res3", "res4", "res5")


class BackboneError(UserError):
    """An architecture that timm doesn't know or can't build as asked, or one without a feature pyramid."""


def build_backbone(name: str, **kwargs: Any) -> nn.Module:
    """The stock timm network `name`, random weights, without a classifier.

    Args:
        name: A timm architecture, no tag: `resnet50`, `convnext_atto`.
        kwargs: Passed on to `timm.create_model` (`drop_path_rate`, `in_chans`, ...).

    Raises:
        BackboneError: timm has no such architecture (the message names the nearest), or it yields no maps
            at the strides 4, 8, 16 and 32.
    """
    plan = skeleton(name, num_classes=0)
    stage_indices(plan, name)
    return _build(name, **{"num_classes": 0, **_any_size(plan), **kwargs})


def build_pretrained(name: str, cfg: Mapping[str, Any], *, pretrained: bool = True, **kwargs: Any) -> nn.Module:
    """`timm.create_model` with an explicit `pretrained_cfg`, and a pyramid's maps at the four strides.

    Raises:
        BackboneError: the architecture doesn't take one of `kwargs`, or has no pyramid where one is asked
            for.
    """
    plan = skeleton(name, num_classes=0)
    if kwargs.get("features_only") and kwargs.get("out_indices") is None:
        kwargs["out_indices"] = tuple(stage_indices(plan, name).values())
    # An argument that we don't know may add a layer that no file has, and so may a classifier.
    all_loaded = pretrained and kwargs.keys() <= _WITHOUT_LAYERS and not kwargs.get("num_classes")
    with _Spared(cfg.get("state_dict", {}).values(), draws=not all_loaded):
        return _build(name, pretrained=pretrained, pretrained_cfg=dict(cfg), **{**_any_size(plan), **kwargs})


def published_cfg(name: str) -> dict[str, Any]:
    """What timm's own weights are and where they lie, for `build_pretrained`.

    Args:
        name: A timm architecture with or without the tag of its weights: `resnet50.a1_in1k`, `resnet50`.

    Raises:
        BackboneError: timm publishes no such weights.
    """
    try:
        cfg = get_pretrained_cfg(name)
    except RuntimeError:
        cfg = None
    if cfg is None or not cfg.has_weights:
        tags = ", ".join(timm.list_pretrained(f"{name.split('.')[0]}.*")[:4]) or "none of this architecture"
        raise BackboneError(f"timm publishes no weights {name!r}; it has {tags}")
    return cfg.to_dict()


def skeleton(name: str, **kwargs: Any) -> nn.Module:
    """The network `name` on the meta device: keys, shapes and facts without memory or initialisation.

    The same one is given again: read it, don't change it.

    Raises:
        BackboneError: as `build_pretrained`.
    """
    try:
        return _kept_skeleton(name, tuple(sorted(kwargs.items())))
    except TypeError:  # a list among them
        return _meta(name, kwargs)


@functools.lru_cache(maxsize=4)  # loading one model asks five times, and timm takes a quarter of a second for each
def _kept_skeleton(name: str, options: tuple[tuple[str, Any], ...]) -> nn.Module:
    return _meta(name, dict(options))


def _meta(name: str, options: Mapping[str, Any]) -> nn.Module:
    with torch.device("meta"), _Spared(draws=False):
        return _build(name, **options)


_WITHOUT_LAYERS = {"num_classes", "features_only", "out_indices", "output_stride", "in_chans"}
_DRAWS = {
    torch.Tensor.normal_,
    torch.Tensor.uniform_,
    nn.init.normal_,
    nn.init.uniform_,
    nn.init.kaiming_normal_,
    nn.init.kaiming_uniform_,
}


class _Spared(TorchFunctionMode):
    """Leaves out what takes longer than to load weights: first random ones, and copies of those to be loaded.

    Args:
        tensors: timm copies every one before it loads any; here they stay themselves.
        draws: whether a network's first random weights are wanted.
    """

    def __init__(self, tensors: Iterable[Tensor] = (), *, draws: bool) -> None:
        super().__init__()
        self._kept, self._draws = {id(tensor) for tensor in tensors}, draws

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in _DRAWS and not self._draws:
            return args[0] if args else kwargs["tensor"]
        if func is torch.Tensor.__deepcopy__ and id(args[0]) in self._kept:
            return args[0]
        return func(*args, **(kwargs or {}))


def stage_indices(model: nn.Module, name: str | None = None) -> dict[str, int]:
    """The position of each stage among the maps that a network gives: {"res2": 1, ...} for a ResNet.

    A whole network gives the maps of `forward_intermediates`, a pyramid (`features_only`) its output.

    Raises:
        BackboneError: a stride of 4, 8, 16, 32 is missing, or timm can't give the maps of this network.
    """
    name = name or type(model).__name__
    reductions = [info["reduction"] for info in _feature_info(model)]
    # Where two maps share a stride, the deeper one is the stage's result.
    found = {2**k: f"res{k}" for k in range(2, 6)}
    indices = {found[r]: index for index, r in enumerate(reductions) if r in found}
    hint = "try resnet50, convnext_atto, regnety_008 or efficientnet_b0"
    if set(indices) != set(STAGE_NAMES):
        if lists_maps(model):
            hint = "leave out_indices and output_stride out"
        strides = ", ".join(str(r) for r in sorted(set(reductions))) or "none"
        raise BackboneError(
            f"{name} has no feature pyramid: maps of stride 4, 8, 16 and 32 are needed, it gives {strides}; {hint}"
        )
    if not (lists_maps(model) or hasattr(model, "forward_intermediates")):
        raise BackboneError(f"{name} has no feature pyramid: timm gives it no forward_intermediates; {hint}")
    return indices


def stage_channels(model: nn.Module) -> dict[str, int]:
    """Channels of each stage: {"res2": 256, "res3": 512, "res4": 1024, "res5": 2048} for `resnet50`."""
    info = _feature_info(model)
    return {stage: info[index]["num_chs"] for stage, index in stage_indices(model).items()}


def pyramid(model: nn.Module, images: Tensor, stages: Sequence[str] = STAGE_NAMES) -> dict[str, Tensor]:
    """The maps of `stages`, of a whole network computing nothing above the deepest of them.

    Args:
        model: From `build_backbone` or `create_model`, whole or with `features_only`, in train or eval mode.
        images: (B, 3, H, W), normalised.
        stages: Any of res2, res3, res4, res5.

    Returns:
        {stage: (B, C, ceil(H / stride), ceil(W / stride))}, in the order of `stages`, whatever layout the
        network works in.
    """
    indices = stage_indices(model)
    unknown = [stage for stage in stages if stage not in indices]
    if unknown or not stages:
        raise BackboneError(f"no stage {unknown[0] if unknown else ''!r}; the stages are {', '.join(indices)}")
    wanted = sorted({indices[stage] for stage in stages})
    by_index = _maps(model, images, wanted)
    return {stage: by_index[indices[stage]] for stage in stages}


def outside_pyramid(model: nn.Module, stages: Sequence[str]) -> list[str]:
    """Names of the parameters that no map of `stages` depends on: a classifier's norm, or the stages above.

    They would get no gradient.
    """
    return _idle(model, lambda network, images: list(pyramid(network, images, stages).values()))


def deepest(model: nn.Module, count: int) -> list[tuple[int, int]]:
    """(channels, stride) of the last `count` maps; with an `output_stride` several share one."""
    return [(info["num_chs"], info["reduction"]) for info in _feature_info(model)[-count:]]


def deepest_maps(model: nn.Module, images: Tensor, count: int) -> list[Tensor]:
    """The last `count` maps, as `pyramid` gives the stages, whatever their strides.

    Args:
        model: From `build_backbone` or `create_model`, whole or with `features_only`, in train or eval mode.
        images: (B, 3, H, W), normalised.
        count: How many.

    Returns:
        (B, C, ceil(H / stride), ceil(W / stride)) each, the deepest last.
    """
    maps = len(_feature_info(model))
    wanted = list(range(maps - count, maps))
    by_index = _maps(model, images, wanted)
    return [by_index[index] for index in wanted]


def outside_deepest(model: nn.Module, count: int) -> list[str]:
    """Names of the parameters that none of the last `count` maps depends on; see `outside_pyramid`."""
    return _idle(model, lambda network, images: deepest_maps(network, images, count))


def _idle(model: nn.Module, maps: Callable[[nn.Module, Tensor], list[Tensor]]) -> list[str]:
    """Found by a pass without numbers (meta tensors) through a copy."""
    copied = copy.deepcopy(model).to("meta").requires_grad_(True).train()
    size = getattr(model, "pretrained_cfg", {}).get("input_size", (3, 224, 224))
    found = maps(copied, torch.empty(2, *size, device="meta"))
    torch.stack([m.sum() for m in found]).sum().backward()
    return [name for name, parameter in copied.named_parameters() if parameter.grad is None]


def explicit_cfg(name: str, *, image_size: int, crop_pct: float, license: str) -> dict[str, Any]:
    """Every field of timm's `pretrained_cfg` that matters, for headless weights of our own.

    timm would copy the rest from the architecture's default tag: another training's crop, paper and licence.
    From the architecture come only its facts: the names of first convolution and classifier, a fixed input
    size.

    Args:
        name: A timm architecture.
        image_size: Side of the input in pixels.
        crop_pct: Share of the shorter side that the centre crop takes, in evaluation.
        license: A Hub licence id.
    """
    model = skeleton(name, num_classes=0)
    facts: dict[str, Any] = getattr(model, "pretrained_cfg", {})
    fixed = bool(facts.get("fixed_input_size"))
    side = facts["input_size"][-1] if fixed else image_size
    deepest = max(info["reduction"] for info in _feature_info(model))
    return {
        "tag": "",
        "custom_load": False,
        "input_size": [3, side, side],
        "fixed_input_size": fixed,
        "interpolation": "bicubic",
        "crop_pct": crop_pct,
        "crop_mode": "center",
        "mean": list(IMAGENET_DEFAULT_MEAN),
        "std": list(IMAGENET_DEFAULT_STD),
        "num_classes": 0,
        "pool_size": [math.ceil(side / deepest)] * 2,
        "first_conv": facts.get("first_conv"),
        "classifier": facts.get("classifier"),
        "license": license,
    }


def _build(name: str, **kwargs: Any) -> nn.Module:
    known = timm.list_models()
    if name not in known:
        close = difflib.get_close_matches(name.split(".")[0], known, n=3, cutoff=0.5)
        hint = f"; did you mean {' or '.join(close)}?" if close else ""
        raise BackboneError(f"timm has no architecture {name!r}{hint}")
    try:
        return timm.create_model(name, **{"pretrained": False, **kwargs})
    except Exception as error:  # whatever an argument of the wrong kind trips over, deep inside a network
        raise BackboneError(f"{name} can't be built as asked: {_reason(error, kwargs)}") from None


def _reason(error: Exception, kwargs: Mapping[str, Any]) -> str:
    text = str(error).strip()
    if text and not isinstance(error, KeyError):
        return text.splitlines()[0]
    # timm's asserts have no text, and a missing key is no reason: what was asked for says more.
    shown = {key: value for key, value in kwargs.items() if value is not None and not key.startswith("pretrained")}
    return "timm refuses " + ", ".join(f"{key}={value!r}" for key, value in shown.items())


def _any_size(model: nn.Module) -> dict[str, Any]:
    """Swin and its kin fix the input's size unless told otherwise; the weights are the same either way."""
    known = "strict_img_size" in inspect.signature(type(model).__init__).parameters
    return {"strict_img_size": False} if known else {}


def _maps(model: nn.Module, images: Tensor, wanted: Sequence[int]) -> dict[int, Tensor]:
    if not lists_maps(model):
        maps = model.forward_intermediates(  # type: ignore[operator]
            images, indices=wanted, stop_early=True, output_fmt="NCHW", intermediates_only=True
        )
        return dict(zip(wanted, maps, strict=True))
    channels_last = getattr(model, "output_fmt", "NCHW") == "NHWC"
    return {i: out.permute(0, 3, 1, 2) if channels_last else out for i, out in enumerate(model(images))}


def lists_maps(model: nn.Module) -> bool:
    """Whether timm built `model` with `features_only`: it then returns the list of its maps."""
    return hasattr(getattr(model, "feature_info", None), "out_indices")


def _feature_info(model: nn.Module) -> list[dict[str, Any]]:
    info: Any = getattr(model, "feature_info", None) or []
    # A pyramid returns its maps in the network's order, whatever the order of its out_indices.
    return sorted(info.get_dicts(), key=lambda entry: entry["index"]) if lists_maps(model) else info
