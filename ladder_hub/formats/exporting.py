"""`ladder-hub export`: a model in the file that another tool reads, compared with the model before it is written."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ladder_hub.documents import plain
from ladder_hub.formats import FormatError
from ladder_hub.formats.target import Exported, ExportSettings, Product
from ladder_hub.formats.targets import detectron2, onnx, openmmlab, safetensors, torch_export, torchvision
from ladder_hub.models import create_model
from ladder_hub.settings import nearest, settings_from
from ladder_hub.weights import write_whole

TARGETS: dict[str, Callable[[Exported, Path, ExportSettings], Product]] = {
    "torchvision": torchvision.make,
    "detectron2": detectron2.make,
    "mmdet": openmmlab.make_mmdet,
    "mmseg": openmmlab.make_mmseg,
    "onnx": onnx.make,
    "torch_export": torch_export.make,
    "safetensors": safetensors.make,
}
_ONLY = {"dtype": ("safetensors",), "pickle": ("detectron2",)}


@dataclass(frozen=True)
class ExportReport:
    """What was written, and what to do with it."""

    files: tuple[Path, ...]
    digest: str
    """Of the exported tensors, as the model had them."""
    notes: tuple[str, ...]


def export_model(model: str, target: str, overrides: Sequence[str]) -> ExportReport:
    """Write a model for another tool.

    Args:
        model: Whatever `create_model` takes; its weights are verified first.
        target: One of `TARGETS`.
        overrides: `key=value` for the keys of `ExportSettings`; `out=FILE` must be among them.

    Raises:
        FormatError: no such target, one that can't hold this network, a file that is there already, or a copy whose
            outputs differ.
        ModelError: the model can't be had.
        SettingError: an unknown key or a value that doesn't fit.
    """
    if target not in TARGETS:
        hint = nearest(target, list(TARGETS)) or f"; there are {', '.join(TARGETS)}"
        raise FormatError(f"to={plain(target)}: no such target{hint}")
    settings = settings_from(ExportSettings, overrides)
    for key, targets in _ONLY.items():
        if key in settings.model_fields_set and target not in targets:
            raise FormatError(f"{key}= is for to={targets[0]}; to={target} has no use for it")
    out = Path(settings.out).expanduser()
    if not out.parent.is_dir():
        raise FormatError(f"out={out}: no folder {out.parent}")
    exported = _open(model)
    product = TARGETS[target](exported, out, settings)
    files = {out: product.data, **{out.with_suffix(end): text.encode() for end, text in product.beside.items()}}
    _write(files, overwrite=settings.overwrite)
    return ExportReport(tuple(files), exported.digest, product.notes)


def _open(model: str) -> Exported:
    network: Any = create_model(model, pretrained=True).eval()
    cfg, receipt = network.pretrained_cfg, network.load_receipt
    return Exported(
        model, receipt.architecture, network, receipt.digest, tuple(cfg.get("mean", ())), tuple(cfg.get("std", ()))
    )


def _write(files: dict[Path, bytes], *, overwrite: bool) -> None:
    """All of them or none: what was new is taken back where a later one fails."""
    there = [path for path in files if path.exists()]
    if there and not overwrite:
        raise FormatError(f"{there[0]} is there already; overwrite=true replaces it")
    written: list[Path] = []
    try:
        for path, data in files.items():
            write_whole(path, [data])
            written.append(path)
    except OSError as error:
        for path in written:
            if path not in there:
                path.unlink()
        raise FormatError(f"{next(iter(files))} can't be written: {error.strerror or error}") from None
