"""`ladder-hub import`: somebody else's checkpoint becomes an artifact, with the same card, config and loaders.

The network is checked name by name against timm's before anything is written; nothing is claimed of it that was not
measured here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from ladder_hub.artifact.writing import write_imported
from ladder_hub.backbone import explicit_cfg
from ladder_hub.documents import plain
from ladder_hub.formats import FormatError
from ladder_hub.formats.architecture import architecture_of, completed
from ladder_hub.formats.container import Checkpoint, read_checkpoint
from ladder_hub.formats.recognise import AUTO, Split, readers, recognise, split
from ladder_hub.settings import Section, settings_from

UNKNOWN = "unknown"
_Channels = Annotated[tuple[float, ...], Field(min_length=3, max_length=3)]


class ImportSettings(Section):
    """What `import` takes beside the file and `from=`."""

    out: Annotated[str, Field(min_length=1)]
    """Folder of the artifact."""
    branch: Literal["online", "target"] = "online"
    arch: str = ""
    """timm's name of the network; "": found from the tensors."""
    license: str = ""
    """A Hub licence id; "": what the layout's publishers state."""
    image_size: Annotated[int, Field(ge=32, le=8192)] = 224
    """Side of the input that the artifact's config states, in pixels."""
    crop_pct: Annotated[float, Field(gt=0, le=1)] = 0.875
    mean: _Channels = (0.485, 0.456, 0.406)
    """Of the pixels (red, green, blue in [0, 1]) that the network was trained on."""
    std: _Channels = (0.229, 0.224, 0.225)
    overwrite: bool = False


@dataclass(frozen=True)
class ImportReport:
    """What was taken, what was left, and what to know."""

    folder: Path
    architecture: str
    layout: str
    title: str
    branch: str
    file: Path
    sha256: str
    taken: int
    """Tensors of the file that are in the artifact."""
    filled: int
    """BatchNorm counters that the file lacks, set to 0."""
    dropped: dict[str, int]
    license: str
    warning: str
    also: tuple[str, ...]
    """Other layouts with the same names."""

    def facts(self) -> dict[str, str]:
        """The report for people, without the empty lines."""
        also = f"{', '.join(self.also)} look the same: from=NAME tells whose it is" if self.also else ""
        facts = {
            "file": f"{self.file} (sha256 {self.sha256})",
            "layout": f"{self.layout}: {self.title}",
            "network": f"{self.architecture}, {self.branch} branch",
            "taken": f"{self.taken} tensors",
            "dropped": ", ".join(f"{group} {count}" for group, count in self.dropped.items()),
            "missing": f"nothing but {self.filled} counters that no output depends on" if self.filled else "nothing",
            "licence": self.license if self.license != UNKNOWN else "unknown: ask its publishers before you pass it on",
            "mind": self.warning,
            "could be": also,
            "artifact": str(self.folder),
        }
        return {key: value for key, value in facts.items() if value}


def import_checkpoint(path: str | Path, overrides: Sequence[str], *, layout: str = AUTO) -> ImportReport:
    """Make an artifact of a checkpoint.

    Args:
        path: .pth, .pt, .ckpt, .torch, .pth.tar, .safetensors or .npz, whatever it is called.
        overrides: `key=value` for the keys of `ImportSettings`; `out=FOLDER` must be among them.
        layout: A layout, a project, or `auto`: recognised from the names.

    Raises:
        FormatError: the file can't be read without trusting it, no layout fits, the backbone is not whole, or
            something stands at `out` already.
        BackboneError: `arch` is no network of timm with a pyramid.
        SettingError: an unknown key or a value that doesn't fit.
    """
    settings = settings_from(ImportSettings, overrides)
    folder = _free(Path(settings.out).expanduser(), overwrite=settings.overwrite)
    checkpoint = read_checkpoint(Path(path).expanduser())
    found = split(checkpoint, recognise(checkpoint, layout), settings.branch)
    return _write(folder, checkpoint, found, settings)


def _write(folder: Path, checkpoint: Checkpoint, found: Split, settings: ImportSettings) -> ImportReport:
    hint = checkpoint.content.get("arch")
    try:
        name = architecture_of(found.backbone, asked=settings.arch, hint=hint if isinstance(hint, str) else "")
        whole = completed(found.backbone, name)
    except FormatError as error:
        others = [] if found.layout.signs else readers(checkpoint)
        also = f"; names of {', '.join(others)} begin like that: from={others[0]}" if others else ""
        raise FormatError(f"{checkpoint.path} ({found.layout.name}): {error}{also}") from None
    report = ImportReport(
        folder=folder,
        architecture=name,
        layout=found.layout.name,
        title=found.layout.title,
        branch=settings.branch,
        file=checkpoint.path,
        sha256=checkpoint.sha256,
        taken=len(whole.tensors) - whole.filled,
        filled=whole.filled,
        dropped=_with_classifier(found.dropped, whole.classifier),
        license=settings.license or found.layout.license or UNKNOWN,
        warning=found.layout.warning,
        also=found.also,
    )
    cfg = explicit_cfg(name, image_size=settings.image_size, crop_pct=settings.crop_pct, license=report.license)
    cfg |= {"mean": list(settings.mean), "std": list(settings.std)}
    write_imported(folder, architecture=name, tensors=whole.tensors, cfg=cfg, origin=_origin(report, found, settings))
    return report


def _origin(report: ImportReport, found: Split, settings: ImportSettings) -> dict[str, Any]:
    """What provenance.json keeps; the file's name alone, not the folders of the machine it lay on."""
    stated = "the importer" if settings.license else "its publishers" if found.layout.license else "nobody"
    return {
        "file": plain(report.file.name),
        "sha256": report.sha256,
        "layout": report.layout,
        "title": report.title,
        "source": found.layout.source,
        "branch": report.branch,
        "taken": report.taken,
        "filled": report.filled,
        "dropped": report.dropped,
        "license": report.license,
        "license_stated_by": stated,
        "warning": report.warning,
        "also": list(report.also),
    }


def _with_classifier(dropped: dict[str, int], count: int) -> dict[str, int]:
    return dropped | ({"classifier": dropped.get("classifier", 0) + count} if count else {})


def _free(folder: Path, *, overwrite: bool) -> Path:
    """The folder where nothing is lost by writing there."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return folder
    if not (folder / "config.json").is_file():
        raise FormatError(f"out={folder} is there already and is no artifact; name a new folder")
    if not overwrite:
        raise FormatError(f"out={folder} holds an artifact already; overwrite=true replaces it")
    return folder
