"""Whose weights an evaluation measures: the MODEL of every `eval` verb, and the same weights built another way."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ladder_hub.artifact.reading import Artifact, read_artifact
from ladder_hub.backbone import (
    BackboneError,
    build_pretrained,
    explicit_cfg,
    published_cfg,
    stage_indices,
)
from ladder_hub.models import create_model, read_config, resolve
from ladder_hub.receipt import facts_for_timm
from ladder_hub.weights import tensor_digest

_RANDOM, _TIMM = "random:", "timm:"
# What is true of the weights wherever they are loaded; not the address that they came from.
_FACTS = (
    *("input_size", "fixed_input_size", "interpolation", "crop_pct", "crop_mode", "mean", "std", "pool_size"),
    *("num_classes", "first_conv", "classifier", "license"),
)


@dataclass(frozen=True)
class Subject:
    """A network to be measured: stock timm, without a classifier, float32, on the CPU, in train mode as timm builds it.

    `backbone.pretrained_cfg` says how its images are prepared (input_size, crop_pct, mean, std).
    """

    name: str
    """MODEL as it was typed."""
    architecture: str
    """timm's name, without a tag."""
    backbone: nn.Module
    weights: str
    """Digest of the tensors: for an artifact the published one."""
    artifact: Artifact | None = None
    """What lies beside the weights; None for `random:` and `timm:`."""
    options: dict[str, Any] = field(default_factory=dict)
    """What the architecture was built with."""

    def rebuilt(self, **kwargs: Any) -> nn.Module:
        """A second network with copies of the same weights, built with other options.

        Args:
            kwargs: timm's: `output_stride=8`, `features_only=True, out_indices=(1, 2, 3, 4)`, `drop_path_rate=0.1`.

        Raises:
            BackboneError: the architecture takes no such option, or would leave one of the weights out.
        """
        cfg: dict[str, Any] = self.backbone.pretrained_cfg  # type: ignore[assignment]
        tensors = dict(self.backbone.state_dict())
        facts = {key: cfg[key] for key in _FACTS if cfg.get(key) is not None} | {"state_dict": tensors}
        headless = {} if kwargs.get("features_only") else {"num_classes": 0}
        network: Any = build_pretrained(self.architecture, facts, **(self.options | headless | kwargs))
        del network.pretrained_cfg["state_dict"]
        if not kwargs.get("features_only") and network.state_dict().keys() != tensors.keys():
            odd = sorted(network.state_dict().keys() ^ tensors.keys())[0]
            raise BackboneError(f"{self.architecture} built with {kwargs} has other tensors: {odd}")
        return network


def open_subject(model: str, *, seed: int = 0) -> Subject:
    """The network that MODEL names.

    Args:
        model: `random:resnet50`: untrained, the same for the same seed; `random:runs/mine`: the network of that model,
            untrained, its images prepared alike; `timm:resnet50.a1_in1k`: timm's own weights (timm downloads them);
            else whatever `create_model` takes: a name of the zoo, the folder of a run or an artifact,
            `hf-hub:org/name`.
        seed: Of `random:`.

    Raises:
        BackboneError: timm has no such network or weights, or it yields no pyramid.
        ModelError: no such model, or its weights are not what they should be.
    """
    if model.startswith(_RANDOM):
        subject = _untrained(model, seed)
    elif model.startswith(_TIMM):
        subject = _of_timm(model)
    else:
        artifact = read_artifact(resolve(model))
        backbone: Any = create_model(model, pretrained=True)
        digest = backbone.load_receipt.digest
        subject = Subject(model, artifact.architecture, backbone, digest, artifact, artifact.config["model_args"])
    stage_indices(subject.backbone, subject.architecture)
    return subject


def _untrained(model: str, seed: int) -> Subject:
    name, options = model.removeprefix(_RANDOM), {}
    if "/" in name or Path(name).exists():
        config = read_config(resolve(name))
        name, cfg, options = config["architecture"], facts_for_timm(config), config["model_args"]
    else:
        cfg = explicit_cfg(name, image_size=224, crop_pct=0.875, license="")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        backbone = build_pretrained(name, cfg, pretrained=False, **(options | {"num_classes": 0}))
    return Subject(model, name, backbone, tensor_digest(backbone.state_dict()), options=options)


def _of_timm(model: str) -> Subject:
    name = model.removeprefix(_TIMM)
    cfg = published_cfg(name)
    backbone = build_pretrained(cfg["architecture"], cfg, num_classes=0)
    return Subject(model, cfg["architecture"], backbone, tensor_digest(backbone.state_dict()))
