"""ReSim, a fork of MoCo with a pyramid head."""

from ladder_hub.formats import names
from ladder_hub.formats.layout import GITHUB, NON_COMMERCIAL, Layout, at
from ladder_hub.formats.layouts.moco import MOCO

LAYOUTS = (
    Layout(
        name="resim",
        title="ReSim",
        online=at("module.encoder_q."),
        target=at("module.encoder_k."),
        signs=(r"^module\.encoder_q\.conv1\.", r"^module\.queue$", r"^module\.encoder_q\.fpn_lateral"),
        dropped={**MOCO, "pyramid head": r"\.fpn_"},
        license=NON_COMMERCIAL,
        source=f"{GITHUB}Tete-Xiao/ReSim",
    ),
    Layout(
        name="resim.detectron2",
        title="ReSim, detectron2 backbone",
        online=at("", "model"),
        signs=(r"(^|\.)stem\.conv1\.norm\.weight$", r"^backbone\.fpn_"),
        beside=("matching_heuristics",),
        dropped={"pyramid head": r"^backbone\.fpn_", "projector": r"^stem\.fc\."},
        renamed=names.from_detectron2,
        license=NON_COMMERCIAL,
        source=f"{GITHUB}Tete-Xiao/ReSim",
    ),
)
