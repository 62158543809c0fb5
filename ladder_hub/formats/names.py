"""Other projects' names of a ResNet's tensors, and torchvision's, which are timm's.

Every function takes {name: tensor} and gives it with other names; a name it doesn't know stays as it is.
`readings` is the table of those that a network may have below any prefix.
"""

import re
from collections.abc import Mapping

from torch import Tensor

Tensors = dict[str, Tensor]


def from_sequential(tensors: Mapping[str, Tensor]) -> Tensors:
    """From `nn.Sequential(*resnet.children())`: 0 conv1, 1 bn1, 2 relu, 3 maxpool, 4 to 7 layer1 to layer4."""
    parts = {"0": "conv1", "1": "bn1", **{str(3 + stage): f"layer{stage}" for stage in range(1, 5)}}
    split = {name: name.partition(".") for name in tensors}
    return {f"{parts.get(split[n][0], split[n][0])}.{split[n][2]}": tensor for n, tensor in tensors.items()}


def from_detectron2(tensors: Mapping[str, Tensor]) -> Tensors:
    """From detectron2's `stem.conv1.norm.weight`, `res2.0.shortcut.weight`; names outside stem and res2..5 stay."""
    return {_from_detectron2(name): tensor for name, tensor in tensors.items()}


def to_detectron2(tensors: Mapping[str, Tensor]) -> Tensors:
    """The inverse of `from_detectron2`, for the names of a torchvision ResNet."""
    return {_to_detectron2(name): tensor for name, tensor in tensors.items()}


def _from_detectron2(name: str) -> str:
    stage = re.fullmatch(r"res([2-5])\.(\d+)\.(.+)", name)
    if not (name.startswith("stem.") or stage):
        return name
    name = f"layer{int(stage[1]) - 1}.{stage[2]}.{stage[3]}" if stage else name.removeprefix("stem.")
    name = name.replace("shortcut.norm.", "downsample.1.").replace("shortcut.", "downsample.0.")
    return re.sub(r"conv(\d)\.norm\.", r"bn\1.", name)


def _to_detectron2(name: str) -> str:
    stage = re.fullmatch(r"layer([1-4])\.(\d+)\.(.+)", name)
    name = f"res{int(stage[1]) + 1}.{stage[2]}.{stage[3]}" if stage else f"stem.{name}"
    name = name.replace("downsample.0.", "shortcut.").replace("downsample.1.", "shortcut.norm.")
    return re.sub(r"bn(\d)\.", r"conv\1.norm.", name)


def from_transformers(tensors: Mapping[str, Tensor]) -> Tensors:
    """From transformers' `ResNetModel`: embedder.embedder, encoder.stages.0.layers.0.layer.0, ...shortcut."""
    return {_from_transformers(name): tensor for name, tensor in tensors.items()}


def _from_transformers(name: str) -> str:
    parts = re.fullmatch(
        r"(?:embedder\.embedder|encoder\.stages\.(\d)\.layers\.(\d+)\.(?:layer\.(\d)|(shortcut)))\."
        r"(convolution|normalization)\.(\w+)",
        name,
    )
    if not parts:
        return name
    stage, block, number, shortcut, kind, leaf = parts.groups()
    is_conv = kind == "convolution"
    module = f"{'conv' if is_conv else 'bn'}{int(number or 0) + 1}"
    if shortcut:
        module = f"downsample.{0 if is_conv else 1}"
    return f"{f'layer{int(stage) + 1}.{block}.' if stage else ''}{module}.{leaf}"


def readings(tensors: Mapping[str, Tensor]) -> dict[str, Tensors]:
    """The same tensors under timm's names, by whose names they may be: {"": as they are, "detectron2": ...}."""
    found = {"": dict(tensors)}
    if "0.weight" in tensors and any(name.startswith("4.0.") for name in tensors):
        found["sequential"] = from_sequential(tensors)
    if "stem.conv1.norm.weight" in tensors:
        found["detectron2"] = from_detectron2(tensors)
    if "embedder.embedder.convolution.weight" in tensors:
        found["transformers"] = from_transformers(tensors)
    return found


_HAIKU = re.compile(
    r"(.*?)_?(?:params|state)/(?!projector|predictor).*?/~/(?:block_group_(\d)/~/block_(\d+)/~/)?"
    r"(initial_|shortcut_)?(conv|batchnorm)(?:_(\d))?/(w|scale|offset|~/mean_ema/average|~/var_ema/average)"
)
_HAIKU_LEAVES = {
    "w": "weight",
    "scale": "weight",
    "offset": "bias",
    "~/mean_ema/average": "running_mean",
    "~/var_ema/average": "running_var",
}


def from_haiku(tensors: Mapping[str, Tensor]) -> Tensors:
    """From haiku's `online_params/res_net50/~/block_group_0/~/block_0/~/conv_0/w` and `online_state/...`.

    What stands before `_params` becomes a prefix: `online.layer1.0.conv1.weight`.

    Convolutions come as (height, width, in, out) and leave as torch's (out, in, height, width); BatchNorm comes as
    (1, 1, 1, channels) and leaves as (channels,).
    """
    found = {}
    for name, tensor in tensors.items():
        parts = _HAIKU.fullmatch(name)
        if not parts:
            found[name] = tensor
        elif parts[5] == "conv":
            found[_haiku_name(parts)] = tensor.permute(3, 2, 0, 1) if tensor.ndim == 4 else tensor
        else:
            found[_haiku_name(parts)] = tensor.flatten()
    return found


def _haiku_name(parts: re.Match[str]) -> str:
    owner, group, block, place, kind, number, leaf = parts.groups()
    is_conv = kind == "conv"
    if place == "initial_" or group is None:
        module = "conv1" if is_conv else "bn1"
    elif place == "shortcut_":
        module = "downsample.0" if is_conv else "downsample.1"
    else:
        module = f"{'conv' if is_conv else 'bn'}{int(number or 0) + 1}"
    where = f"layer{int(group) + 1}.{block}." if group is not None else ""
    return f"{owner}{'.' if owner else ''}{where}{module}.{_HAIKU_LEAVES[leaf]}"
