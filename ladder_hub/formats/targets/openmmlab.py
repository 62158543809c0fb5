"""For mmdetection and mmsegmentation: a checkpoint for `init_cfg`, and the lines of config that go with it."""

import json
from pathlib import Path

from ladder_hub.formats import FormatError
from ladder_hub.formats.target import Exported, ExportSettings, Product, checked_path
from ladder_hub.formats.targets.tensor_file import tensor_file

_DEEP_STEM = (
    "ResNetV1c and ResNetV1d (most mmsegmentation configs) have a deep stem: these weights have none for it, it would "
    "stay random and nothing would say so; keep type='ResNet'"
)


def make_mmdet(model: Exported, out: Path, settings: ExportSettings) -> Product:
    """A .pth under OpenMMLab's names and a .py of config for mmdetection 3."""
    return _make(model, out, "mmdet", "DetDataPreprocessor", "pad_size_divisor=32")


def make_mmseg(model: Exported, out: Path, settings: ExportSettings) -> Product:
    """The same for mmsegmentation 1."""
    return _make(model, out, "mmseg", "SegDataPreProcessor", "pad_val=0, seg_pad_val=255")


def _make(model: Exported, out: Path, target: str, preprocessor: str, padding: str) -> Product:
    facts = model.resnet(target)
    checked_path(out, ".pth", target)
    if facts.groups == 1 and facts.width != 64:
        raise FormatError(f"to={target} has no {model.architecture}: its ResNet knows no width")
    kind = "ResNet" if facts.groups == 1 else "ResNeXt"
    grouped = "" if facts.groups == 1 else f"\n        groups={facts.groups},\n        base_width={facts.width},"
    mean, std = model.pixels()
    config = f"""\
# {model.comment()}
# Mind: {_DEEP_STEM}.
model = dict(
    data_preprocessor=dict(type="{preprocessor}", mean={mean}, std={std}, bgr_to_rgb=True, {padding}),
    backbone=dict(
        type="{kind}",
        depth={facts.depth},{grouped}
        num_stages=4,
        out_indices=(0, 1, 2, 3),
        style="pytorch",
        frozen_stages=-1,
        norm_cfg=dict(type="SyncBN", requires_grad=True),
        norm_eval=False,
        init_cfg=dict(type="Pretrained", checkpoint={json.dumps(str(out))}),
    ),
)
"""
    data = tensor_file(model.tensors, meta={"architecture": model.architecture, "digest": model.digest})
    return Product(data, {".py": config}, (f"put {out.with_suffix('.py')} into your config", f"mind: {_DEEP_STEM}"))
