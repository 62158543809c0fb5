"""What a load did, and the checks that come before it.

timm alone returns random weights without a word for a prefixed, truncated or foreign file; here every name
and shape is compared with the architecture before anything is built.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from timm.models import PretrainedCfg
from torch import Tensor, nn
from torch.nn.modules.module import register_module_module_registration_hook

from ladder_hub.backbone import BackboneError, skeleton
from ladder_hub.documents import plain, shown, without_controls
from ladder_hub.registry import ModelError
from ladder_hub.weights import load_tensors, readable_sha256, tensor_digest

_CFG_FACTS = {
    "crop_mode",
    "crop_pct",
    "description",
    "fixed_input_size",
    "input_size",
    "interpolation",
    "label_descriptions",
    "label_names",
    "license",
    "mean",
    "min_input_size",
    "notes",
    "origin_url",
    "paper_ids",
    "paper_name",
    "pool_size",
    "std",
    "tag",
    "test_crop_pct",
    "test_input_size",
    "test_pool_size",
}
# Parts of a network without weights of their own (activations, containers) are few beside those that have them.
_MODULES = 1000
_REASON = 400  # letters of what timm says to a config's own words
_MODULES_A_TENSOR = 20


@dataclass(frozen=True)
class Receipt:
    """What was loaded into a model, from where."""

    source: str
    """As asked for: a name, a path, `hf-hub:org/name@revision`."""
    architecture: str
    file: str
    """Name of the weights file."""
    sha256: str
    """Of the file."""
    digest: str
    """Of the tensors alone (`ladder_hub.weights.tensor_digest`), as published beside the file's where that is equal."""
    matched: int
    """Tensors of the network that are those of the file, value for value."""
    missing: tuple[str, ...]
    """Tensors left at random: a new classifier's, never the backbone's."""
    unexpected: tuple[str, ...]
    """Tensors of the file left out: a classifier's, or of stages that were not asked for."""
    adapted: tuple[str, ...]
    """Tensors that timm made of the file's: a first convolution for other channels, positions of another raster."""
    branch: str
    """`online` or `target` network; `unknown` where the publisher doesn't say."""
    verified: bool
    """The publisher's digest stood beside the file and was equal."""

    def facts(self) -> dict[str, str]:
        """What the receipt says, for people: {"source": ..., "sha256": ..., ...}, without the empty ones."""
        check = "equal to the published one" if self.verified else "nothing published to compare it with"
        facts = {
            "source": self.source,
            "architecture": self.architecture,
            "weights": f"{self.file}, {self.branch} branch",
            "sha256": f"{self.sha256} ({check})",
            "digest": self.digest,
            "tensors": f"{self.matched} matched, {len(self.missing)} missing, {len(self.unexpected)} unused",
            "adapted": ", ".join(self.adapted),
            "at random": ", ".join(self.missing),
            "left out": ", ".join(self.unexpected),
        }
        return {key: value for key, value in facts.items() if value}

    def __str__(self) -> str:
        return "\n".join(f"{key:<13}{value}" for key, value in self.facts().items())


@dataclass(frozen=True)
class VerifiedWeights:
    """A weights file that passed every check: what it holds and what it is called."""

    path: Path
    tensors: dict[str, Tensor]
    sha256: str
    digest: str
    verified: bool


def verify_weights(
    path: Path, config: Mapping[str, Any], *, sha256: str | None = None, anew: bool = True
) -> VerifiedWeights:
    """Check a weights file against its published digests and against its architecture, name by name.

    Args:
        path: The safetensors file.
        config: Its `config.json`, as `ladder_hub.models.read_config` gives it.
        sha256: Of the file as our registry knows it; None: only what `config` says.
        anew: Compute the tensors' digest too where the file's is the published one; else the published one is taken
            over, which takes half the time.

    Raises:
        ModelError: another digest than published; a tensor missing, unexpected, prefixed or of another shape; a
            config that describes no network of timm.
        WeightsError: not a sound safetensors file.
    """
    ours: Mapping[str, Any] = config["ladder_hub"]
    found = readable_sha256(path)
    published = [str(digest) for digest in (sha256, ours.get("sha256")) if digest]
    for digest in published:
        if digest != found:
            raise ModelError(
                f"{path}: not the published weights: sha256 {found[:16]}…, published {plain(digest[:16])}…; "
                "fetch them again"
            )
    tensors = load_tensors(path)
    _check_names(path, tensors, config)
    if published and "digest" in ours and not anew:
        return VerifiedWeights(path, tensors, found, ours["digest"], True)
    content = tensor_digest(tensors)
    if ours.get("digest", content) != content:
        raise ModelError(
            f"{path}: not the published tensors: digest {content[:16]}…, published {plain(ours['digest'][:16])}…"
        )
    return VerifiedWeights(path, tensors, found, content, bool(published))


def receipt_for(source: str, config: Mapping[str, Any], weights: VerifiedWeights, model: nn.Module) -> Receipt:
    """The receipt of a finished model that was built with `weights`: every tensor of it is looked at.

    Raises:
        ModelError: a tensor that the file has is another one in the model.
    """
    matched, missing, adapted, taken = 0, [], [], set()
    names = {_flat(name): name for name in weights.tensors}
    classifier = tuple(_flat(name) for name in _texts(model_facts(config).get("classifier")))
    for name, tensor in model.state_dict().items():
        key = names.get(_flat(name.removeprefix("model.")), names.get(_flat(name)))
        if key is None:
            missing.append(name)
        elif _equal(tensor, weights.tensors[key]):
            matched += 1
            taken.add(key)
        elif tensor.shape == weights.tensors[key].shape:
            raise ModelError(f"{source}: {name} of the model is not the file's {key}; leave out what replaces it")
        elif classifier and _flat(key).startswith(classifier):
            missing.append(name)  # of another number of classes
        else:
            adapted.append(name)
            taken.add(key)
    return Receipt(
        source=source,
        architecture=config["architecture"],
        file=weights.path.name,
        sha256=weights.sha256,
        digest=weights.digest,
        matched=matched,
        missing=tuple(missing),
        unexpected=tuple(key for key in weights.tensors if key not in taken),
        adapted=tuple(adapted),
        branch=config["ladder_hub"].get("branch", "unknown"),
        verified=weights.verified,
    )


def _texts(names: Any) -> tuple[str, ...]:
    """A name, or several, as timm gives the classifier's."""
    return (names,) if isinstance(names, str) else tuple(names or ())


def _flat(name: str) -> str:
    """A tensor's name wherever timm has flattened the network: `stages_0.blocks` is `stages.0.blocks`."""
    return name.replace(".", "_")


def _equal(found: Tensor, wanted: Tensor) -> bool:
    if found.shape != wanted.shape:
        return False
    found, wanted = found.detach().cpu(), wanted.to(found.dtype)
    return torch.equal(found, wanted) or bool(torch.isclose(found, wanted, rtol=0, atol=0, equal_nan=True).all())


def _classes(config: Mapping[str, Any]) -> int:
    known = (table.get("num_classes") for table in (config, config["pretrained_cfg"]))
    return next((classes for classes in known if classes is not None), 0)


def facts_for_timm(config: Mapping[str, Any]) -> dict[str, Any]:
    """The `pretrained_cfg` of a config, without what would make timm load other tensors than the verified ones.

    Its other fields name a file, an address or another repository, or shift the classes. The names of the first
    convolution and of the classifier are the architecture's own: of a wrong name timm leaves out any layer.
    """
    own = model_facts(config)
    odd = PretrainedCfg.__dataclass_fields__.keys() - _CFG_FACTS
    facts = {key: value for key, value in config["pretrained_cfg"].items() if key not in odd and value is not None}
    return facts | {"num_classes": _classes(config)} | {key: own.get(key) for key in ("first_conv", "classifier")}


def model_facts(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """What timm says of the architecture: the names of its first convolution and its classifier, and more."""
    facts: Mapping[str, Any] = getattr(skeleton(config["architecture"], num_classes=0), "pretrained_cfg", {})
    return facts


def _check_names(path: Path, tensors: Mapping[str, Tensor], config: Mapping[str, Any]) -> None:
    name = config["architecture"]
    channels = (config["pretrained_cfg"].get("input_size") or [3])[0]
    options = {**config["model_args"], "num_classes": _classes(config)} | (
        {} if channels == 3 else {"in_chans": channels}
    )
    try:
        with _at_most(_MODULES + _MODULES_A_TENSOR * len(tensors)):
            expected = skeleton(name, **options).state_dict()
    except BackboneError as error:
        # What timm says of an argument may hold it, letter by letter.
        raise ModelError(f"{path.parent / 'config.json'}: {without_controls(str(error))[:_REASON]}") from None
    missing = [key for key in expected if key not in tensors]
    unexpected = [key for key in tensors if key not in expected]
    if missing:
        raise ModelError(f"{path}: {_explain_missing(name, missing, unexpected, len(expected))}")
    if unexpected:
        raise ModelError(f"{path}: {_count(unexpected)} {name} doesn't have: {_some(unexpected)}")
    for key, tensor in expected.items():
        if tensor.is_floating_point() != tensors[key].is_floating_point():
            raise ModelError(f"{path}: {key} holds {tensors[key].dtype} where {name} has {tensor.dtype}")
        if tensor.shape != tensors[key].shape:
            shapes = f"{list(tensors[key].shape)}, {name} needs {list(tensor.shape)}"
            raise ModelError(f"{path}: {key} has the shape {shapes}; the weights are another architecture's")


@contextmanager
def _at_most(modules: int) -> Iterator[None]:
    """Networks built inside may have so many parts: a config can ask for more than a machine ever builds."""
    built = 0

    def count(*_: Any) -> None:
        nonlocal built
        built += 1
        if built > modules:
            raise ValueError("its network has many more layers than there are weights")

    hook = register_module_module_registration_hook(count)
    try:
        yield
    finally:
        hook.remove()


def _explain_missing(name: str, missing: list[str], unexpected: list[str], total: int) -> str:
    for key in unexpected:
        if key.endswith(missing[0]):
            prefix = key.removesuffix(missing[0])
            return f"its names carry the prefix {shown(prefix)} that {name} doesn't have; save the backbone's own"
    return f"{len(missing)} of the {total} tensors of {name} are missing: {_some(missing)}"


def _count(names: list[str]) -> str:
    return "holds a tensor that" if len(names) == 1 else f"holds {len(names)} tensors that"


def _some(names: list[str]) -> str:
    return ", ".join(map(plain, names[:3])) + (", …" if len(names) > 3 else "")
