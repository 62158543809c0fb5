"""`ladder-hub import`: somebody else's checkpoint becomes an artifact, with the same card, config and loaders.

The network is checked name by name against timm's before anything is written; nothing is claimed of it that was not
measured here.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field
from torch import Tensor

from ladder_hub.artifact.writing import write_imported
from ladder_hub.backbone import explicit_cfg
from ladder_hub.documents import plain
from ladder_hub.formats import FormatError
from ladder_hub.formats.architecture import Whole, completed
from ladder_hub.formats.backbones import Backbone, backbones, flat, groups, nearest
from ladder_hub.formats.branches import Choice, choose, is_targets
from ladder_hub.formats.container import Checkpoint, read_checkpoint
from ladder_hub.formats.layouts import AUTO, Layout, look_alikes, part, recognise
from ladder_hub.formats.report import UNKNOWN, ImportReport
from ladder_hub.formats.timm_index import shapes_of
from ladder_hub.settings import Section, settings_from

_Channels = Annotated[tuple[float, ...], Field(min_length=1, max_length=64)]


class ImportSettings(Section):
    """What `import` takes beside the file and `from=`."""

    out: Annotated[str, Field(min_length=1)]
    """Folder of the artifact."""
    branch: str = ""
    """`online`, `target` (the momentum encoder) or the prefix of a network in the file; "": online, or the only one."""
    arch: str = ""
    """timm's name of the network; "": found from the tensors."""
    license: str = ""
    """A Hub licence id; "": what the layout's publishers state."""
    image_size: Annotated[int, Field(ge=32, le=8192)] = 224
    """Side of the input that the artifact's config states, in pixels."""
    crop_pct: Annotated[float, Field(gt=0, le=1)] = 0.875
    mean: _Channels = (0.485, 0.456, 0.406)
    """Of the pixels (red, green, blue in [0, 1]) that the network was trained on; a number a channel."""
    std: _Channels = (0.229, 0.224, 0.225)
    overwrite: bool = False


def import_checkpoint(path: str | Path, overrides: Sequence[str], *, layout: str = AUTO) -> ImportReport:
    """Make an artifact of a checkpoint.

    Args:
        path: .pth, .pt, .ckpt, .torch, .pth.tar, .safetensors or .npz, whatever it is called.
        overrides: `key=value` for the keys of `ImportSettings`; `out=FOLDER` must be among them.
        layout: A layout, a project, or `auto`: recognised from the names.

    Raises:
        FormatError: the file can't be read without trusting it, holds no whole network of timm, or several of which
            nothing tells the online one; something stands at `out` already.
        BackboneError: `arch` is no network of timm with a pyramid.
        SettingError: an unknown key or a value that doesn't fit.
    """
    settings = settings_from(ImportSettings, overrides)
    folder = _free(Path(settings.out).expanduser(), overwrite=settings.overwrite)
    checkpoint = read_checkpoint(Path(path).expanduser())
    try:
        return _import(folder, checkpoint, settings, layout)
    except FormatError as error:
        raise FormatError(f"{checkpoint.path}: {error}") from None


@dataclass(frozen=True)
class Split:
    """A checkpoint taken apart."""

    choice: Choice
    layout: Layout
    dropped: dict[str, int]
    """How many tensors of each other kind the file holds."""


def split(checkpoint: Checkpoint, layout: str = AUTO, *, branch: str = "", arch: str = "") -> Split:
    """Find the backbones of a checkpoint, take one, and say what the rest is.

    Raises:
        FormatError: as `import_checkpoint`.
    """
    tensors = flat(checkpoint.content)
    choice = choose(_found(checkpoint, tensors, arch), branch)
    bare = not choice.taken.group.reading and choice.taken.prefix in ("", "state_dict.", "model.")
    row = recognise(tensors, map(str, checkpoint.content), bare=bare, asked=layout)
    return Split(choice, row, _dropped(tensors, choice))


def _import(folder: Path, checkpoint: Checkpoint, settings: ImportSettings, asked: str) -> ImportReport:
    found = split(checkpoint, asked, branch=settings.branch, arch=settings.arch)
    row, taken = found.layout, found.choice.taken
    whole = completed(taken.group, taken.architecture)
    report = _report(folder, checkpoint, found, whole, settings)
    origin = report.origin() | {"source": row.address, "license_stated_by": _stated_by(settings, row)}
    cfg = _cfg(taken.architecture, whole.channels, report.license, settings)
    write_imported(folder, architecture=report.architecture, tensors=whole.tensors, cfg=cfg, origin=origin)
    return report


def _found(checkpoint: Checkpoint, tensors: dict[str, Tensor], arch: str) -> list[Backbone]:
    """Every backbone in the file.

    Raises:
        FormatError: there is none; the message says what differs from the nearest.
    """
    if not tensors:
        what = ", ".join(plain(str(name)) for name in list(checkpoint.content)[:4]) or "nothing"
        raise FormatError(f"no tensors in it; at its top it holds {what}")
    there = groups(tensors)
    if arch:
        wanted = shapes_of(arch).keys()  # timm's own word where it has no such network
        shared = {id(group): len(wanted & group.tensors.keys()) for group in there}
        most = max(shared.values(), default=0)
        return [Backbone(group, arch) for group in there if most and shared[id(group)] == most] or _nothing(tensors)
    said = checkpoint.content.get("arch")
    if whole := backbones(there, said if isinstance(said, str) else ""):
        return whole
    near = nearest(there)
    return [near] if near else _nothing(tensors)


def _nothing(tensors: dict[str, Tensor]) -> list[Backbone]:
    some = ", ".join(plain(name) for name in list(tensors)[:3])
    raise FormatError(f"no network of timm is in it (its names: {some}, …); which network? arch=NAME")


def _dropped(tensors: dict[str, Tensor], choice: Choice) -> dict[str, int]:
    """How many of the file's other tensors are what."""
    taken = choice.taken.names()
    again = {name for other, far in choice.others if far == 0 for name in other.names()}
    target = choice.branch == "target"
    counts: Counter[str] = Counter()
    for name in tensors:
        if name in taken:
            continue
        what = part(name)
        if name in again and is_targets(name) == target:
            what = "the same backbone again"
        elif what != "optimizer" and is_targets(name):  # an optimizer's momentum is no encoder
            what = "momentum encoder's heads" if target else "momentum encoder"
        counts[what] += 1
    return dict(counts)


def _report(folder: Path, checkpoint: Checkpoint, found: Split, whole: Whole, settings: ImportSettings) -> ImportReport:
    choice, row = found.choice, found.layout
    return ImportReport(
        folder=folder,
        architecture=choice.taken.architecture,
        layout=row.name,
        title=row.title,
        branch=choice.branch,
        file=checkpoint.path,
        sha256=checkpoint.sha256,
        candidates=tuple(choice.lines()),
        taken=len(whole.tensors) - whole.filled,
        filled=whole.filled,
        channels=whole.channels,
        head=tuple(f"{name} {list(tensor.shape)}" for name, tensor in whole.head.items()),
        dropped=found.dropped,
        license=settings.license or row.license or UNKNOWN,
        warning=row.warning,
        also=look_alikes(row),
        twins=choice.taken.twins,
        normalised=bool({"mean", "std"} & settings.model_fields_set),
    )


def _cfg(architecture: str, channels: int, license: str, settings: ImportSettings) -> dict[str, Any]:
    cfg = explicit_cfg(architecture, image_size=settings.image_size, crop_pct=settings.crop_pct, license=license)
    for key, numbers in (("mean", settings.mean), ("std", settings.std)):
        if channels != len(numbers) and key in settings.model_fields_set:
            raise FormatError(f"{key} has {len(numbers)} numbers, its first convolution {channels} channels")
        grey = round(sum(numbers) / len(numbers), 3)
        cfg[key] = list(numbers) if channels == len(numbers) else [grey] * channels
    cfg["input_size"][0] = channels
    return cfg


def _stated_by(settings: ImportSettings, row: Layout) -> str:
    return "the importer" if settings.license else "its publishers" if row.license else "nobody"


def _free(folder: Path, *, overwrite: bool) -> Path:
    """The folder where nothing is lost by writing there."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return folder
    if not (folder / "config.json").is_file():
        raise FormatError(f"out={folder} is there already and is no artifact; name a new folder")
    if not overwrite:
        raise FormatError(f"out={folder} holds an artifact already; overwrite=true replaces it")
    return folder
