"""The table of projects: what a backbone's shape can't tell.

A row says which names prove that a file is this project's, under which licence its publishers put the weights, and
what a user of them must know. Names come from each project's own saving, loading or converting code.
"""

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass

from ladder_hub.documents import plain
from ladder_hub.formats import FormatError

AUTO = "auto"
NON_COMMERCIAL = "cc-by-nc-4.0"
_GITHUB = "https://github.com/"


@dataclass(frozen=True)
class Layout:
    """One project's way to write a checkpoint."""

    name: str
    """What `from=` takes; the part before a dot stands for all its variants."""
    title: str
    source: str = ""
    """Where the project lives, below github.com."""
    signs: tuple[str, ...] = ()
    """Patterns that each must find a name in the file; none: only `from=` takes it."""
    beside: str = ""
    """A name that must stand at the top of the file."""
    like: str = ""
    """The layout that its names are taken for; only `from=` can tell."""
    license: str = ""
    """A Hub licence id that the publishers state for the weights; "": none is stated."""
    warning: str = ""
    """What a user of these weights must know."""

    @property
    def address(self) -> str:
        """Of the project."""
        return self.source and f"{_GITHUB}{self.source}"


ROWS = (
    Layout(
        "deepmind",
        "DeepMind's BYOL (haiku)",
        "deepmind/deepmind-research/tree/master/byol",
        (r"^online\.conv1\.", r"^online_(params|state)/"),
        license=NON_COMMERCIAL,
        warning="The original pads as TensorFlow does (SAME, more on the right and below where the stride is 2); this "
        "network pads evenly. Its maps are shifted against the original's, and published figures are not reproduced.",
    ),
    Layout(
        "densecl",
        "DenseCL, training checkpoint",
        "WXinlong/DenseCL",
        (r"^encoder_q\.0\.conv1\.", "^queue$", "^queue2"),
        license="gpl-3.0",
    ),
    Layout(
        "densecl.extracted",
        "DenseCL, extracted backbone",
        "WXinlong/DenseCL",
        like="mmselfsup.extracted",
        license="gpl-3.0",
    ),
    Layout(
        "densesiam",
        "DenseSiam",
        "ZwwWayne/DenseSiam",
        (r"^backbone\.conv1\.", r"^decoder\.", r"^projector\.", r"^predictor\."),
        license="apache-2.0",
    ),
    Layout(
        "detco",
        "DetCo",
        "xieenze/DetCo",
        like="timm",
        warning="Its README asks for academic use; there is no licence file.",
    ),
    Layout(
        "detectron2",
        "detectron2",
        "facebookresearch/detectron2",
        (r"(^|\.)stem\.conv1\.norm\.weight$",),
        warning="Taken as RGB with the stride on the 3x3 convolution. detectron2's own ImageNet weights (MSRA) want "
        "BGR and the stride on the first 1x1: with them this network is wrong.",
    ),
    Layout(
        "lewel",
        "LEWEL",
        "LayneH/LEWEL",
        (r"^module\.online_net\.backbone\.conv1\.",),
        license=NON_COMMERCIAL,
    ),
    Layout(
        "lewel.moco",
        "LEWEL, MoCo variant",
        "LayneH/LEWEL",
        (r"^module\.encoder_q\.backbone\.conv1\.",),
        license=NON_COMMERCIAL,
    ),
    Layout(
        "lightly",
        "lightly (Lightning checkpoint)",
        "lightly-ai/lightly",
        (r"^backbone\.conv1\.", r"^(projection_head|prediction_head|online_classifier)\."),
    ),
    Layout(
        "lightly.sequential",
        "lightly (backbone as nn.Sequential)",
        "lightly-ai/lightly",
        (r"^backbone\.0\.weight$", r"^backbone\.4\.0\.conv1\."),
    ),
    Layout(
        "lightly.train",
        "lightly-train",
        "lightly-ai/lightly-train",
        (r"(^|_)embedding_model\.wrapped_model\.",),
        warning="The code of lightly-train is AGPL-3.0; for weights that it trains no licence is stated here.",
    ),
    Layout(
        "byol_pytorch",
        "byol-pytorch",
        "lucidrains/byol-pytorch",
        (r"^online_encoder\.net\.", r"^online_predictor\."),
    ),
    Layout(
        "mmselfsup.0x",
        "OpenSelfSup and mmselfsup 0.x",
        "open-mmlab/mmselfsup",
        (r"^backbone\.conv1\.", r"^(neck|head|online_net\.1)\."),
        license="apache-2.0",
    ),
    Layout(
        "mmselfsup.1x",
        "mmselfsup 1.x and mmpretrain",
        "open-mmlab/mmpretrain",
        (r"^backbone\.conv1\.", r"^(neck|head)\.", r"^(target_net|encoder_k)\.module\."),
        license="apache-2.0",
    ),
    Layout(
        "mmselfsup.extracted",
        "mmselfsup or OpenSelfSup, extracted backbone",
        "open-mmlab/mmselfsup",
        (r"^conv1\.weight$",),
        beside="author",
        license="apache-2.0",
    ),
    Layout(
        "moco",
        "MoCo v1 and v2",
        "facebookresearch/moco",
        (r"^module\.encoder_q\.conv1\.", r"^module\.queue$"),
        warning="The repository was CC BY-NC 4.0 when these weights were published and is MIT since; whether the "
        "weights followed is not said.",
    ),
    Layout(
        "pixpro",
        "PixPro",
        "zdaxie/PixPro",
        (r"^module\.encoder\.conv1\.", r"^module\.(projector|value_transform)\."),
        license="mit",
    ),
    Layout("pixpro.old", "PixPro, older files (`base`)", "zdaxie/PixPro", (r"^module\.base\.conv1\.",), license="mit"),
    Layout("regioncl", "RegionCL, the authors' own", "Annbless/RegionCL", license="apache-2.0"),
    Layout(
        "regioncl.densecl",
        "RegionCL-D of CoinCheung/DenseCL",
        "CoinCheung/DenseCL",
        (r"^module\.encoder_q\.conv1\.", r"^module\.queue_dense", r"^module\.encoder_q\.dense_head\."),
        license=NON_COMMERCIAL,
    ),
    Layout(
        "resim",
        "ReSim",
        "Tete-Xiao/ReSim",
        (r"^module\.encoder_q\.conv1\.", r"^module\.queue$", r"^module\.encoder_q\.fpn_lateral"),
        license=NON_COMMERCIAL,
    ),
    Layout(
        "resim.detectron2",
        "ReSim, detectron2 backbone",
        "Tete-Xiao/ReSim",
        (r"(^|\.)stem\.conv1\.norm\.weight$", r"^backbone\.fpn_"),
        beside="matching_heuristics",
        license=NON_COMMERCIAL,
    ),
    Layout(
        "simsiam",
        "SimSiam",
        "facebookresearch/simsiam",
        (r"^module\.encoder\.conv1\.", r"^module\.predictor\."),
        license=NON_COMMERCIAL,
    ),
    Layout(
        "solo",
        "solo-learn (Lightning checkpoint)",
        "vturrisi/solo-learn",
        (r"^backbone\.conv1\.", r"^(projector|momentum_projector|classifier)\."),
    ),
    Layout(
        "solo.old",
        "solo-learn before 1.0.4 (`encoder`)",
        "vturrisi/solo-learn",
        (r"^encoder\.conv1\.", r"^(projector|momentum_projector|classifier)\."),
    ),
    Layout(
        "swav",
        "SwAV",
        "facebookresearch/swav",
        (r"^module\.conv1\.", r"^module\.(projection_head|prototypes)"),
        license=NON_COMMERCIAL,
    ),
    Layout("timm", "timm", "huggingface/pytorch-image-models"),
    Layout(
        "torchvision",
        "torchvision",
        "pytorch/vision",
        (r"^conv1\.weight$", r"^layer1\.0\.conv1\.", r"^fc\.weight$"),
        warning="These names are timm's too; torchvision's weights were trained with ImageNet's labels.",
    ),
    Layout(
        "transformers",
        "transformers",
        "huggingface/transformers",
        (r"(^|\.)embedder\.embedder\.convolution\.weight$",),
    ),
    Layout(
        "vicregl",
        "VICRegL, training checkpoint",
        "facebookresearch/VICRegL",
        (r"^module\.backbone\.conv1\.", r"^module\.(maps_projector|projector)\."),
        license=NON_COMMERCIAL,
    ),
    Layout(
        "vicregl.backbone", "VICRegL, backbone file", "facebookresearch/VICRegL", like="timm", license=NON_COMMERCIAL
    ),
    Layout(
        "vissl",
        "VISSL (SwAV and others)",
        "facebookresearch/vissl",
        (r"(^|\.)_feature_blocks\.conv1\.",),
        warning="VISSL's code is MIT; for the weights of its zoo no licence is stated here.",
    ),
)
LAYOUTS = {row.name: row for row in ROWS}
OTHER = Layout("unknown", "no project that is known here")
"""A backbone below a prefix that no row names."""

_PARTS = {
    "queue": "queue",
    "optimizer": "optim",
    "haiku's own counters": r"/(hidden|counter)$",
    "pyramid head": r"(^|\.)fpn_",
    "detector": r"(^|\.)(proposal_generator|roi_heads|pixel_\w+)(\.|$)",
    "decoder": r"(^|\.)decoder\.",
    "prototypes": "prototypes",
    "predictor": r"predict|value_transform|qkv",
    "classifier": r"classifier|(^|\.)(fc|linear|head\.fc)\.(weight|bias)$",
    "projector": r"project|(^|\.)neck\.|\.fc\.\d|dense_head|mlp|(online_net|encoder_q)\.1\.",
    "head": r"(^|\.)heads?\.",
}
"""{what it is: pattern} of tensors that are no backbone's; the first that fits."""


def part(name: str) -> str:
    """What a tensor is that no backbone has, by its name; `other` where it doesn't say."""
    return next((what for what, pattern in _PARTS.items() if re.search(pattern, name)), "other")


def recognise(names: Iterable[str], top: Iterable[str], *, bare: bool, asked: str = AUTO) -> Layout:
    """The layout whose names a file has; of several that fit, the one with most to prove it.

    Args:
        names: Of its tensors, whole.
        top: What stands at its top.
        bare: Whether the backbone's names are timm's own, below no prefix.
        asked: A layout, a project (any of its layouts), or `auto`.

    Raises:
        FormatError: two fit equally well, or `asked` is none, or a project of which none fits.
    """
    rows = [row for row in ROWS if asked in (AUTO, row.name, row.name.partition(".")[0])]
    if not rows:
        raise FormatError(f"from={plain(asked)}: no such layout{_nearest(asked)}")
    if asked in LAYOUTS and len(rows) == 1:
        return rows[0]
    there = sorted({re.sub(r"^(state_dict|model)\.", "", name).replace("_orig_mod.", "") for name in names})
    above = set(top)
    fitting = [row for row in rows if _fits(row, there, above)]
    weight = max(map(_weight, fitting), default=0)
    best = [row for row in fitting if _weight(row) == weight]
    if len(best) > 1:
        told = " and ".join(row.name for row in best)
        raise FormatError(f"its names fit {told} equally well; say which: from={best[0].name}")
    if best:
        return best[0]
    if asked == AUTO:
        return LAYOUTS["timm"] if bare else OTHER
    if asked in LAYOUTS:  # a file cut to its backbone has lost its signs
        return LAYOUTS[asked]
    raise FormatError(f"its names ({plain(there[0])}, …) fit none of {', '.join(row.name for row in rows)}")


def look_alikes(layout: Layout) -> tuple[str, ...]:
    """Layouts with the same names, which only `from=` can tell from this one."""
    shared = layout.like or layout.name
    return tuple(row.name for row in ROWS if row.like == shared and row is not layout)


def _fits(row: Layout, names: list[str], top: set[str]) -> bool:
    if not row.signs or (row.beside and row.beside not in top):
        return False
    return all(any(re.search(sign, name) for name in names) for sign in row.signs)


def _weight(row: Layout) -> int:
    return len(row.signs) + bool(row.beside)


def _nearest(asked: str) -> str:
    known = sorted({*LAYOUTS, *(name.partition(".")[0] for name in LAYOUTS)})
    close = difflib.get_close_matches(asked, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else f"; there are {', '.join(known)}"
