"""LEWEL."""

from ladder_hub.formats.layout import GITHUB, NON_COMMERCIAL, Layout, at
from ladder_hub.formats.layouts.moco import MOCO

LAYOUTS = (
    Layout(
        name="lewel",
        title="LEWEL",
        online=at("module.online_net.backbone."),
        target=at("module.target_net.backbone."),
        signs=(r"^module\.online_net\.backbone\.conv1\.",),
        dropped={
            "momentum encoder": r"^module\.target_net\.",
            "classifier": r"\.backbone\.fc\.",
            "projector": r"^module\.online_net\.neck\.",
            "predictor": r"^module\.predictor",
        },
        license=NON_COMMERCIAL,
        source=f"{GITHUB}LayneH/LEWEL",
    ),
    Layout(
        name="lewel.moco",
        title="LEWEL, MoCo variant",
        online=at("module.encoder_q.backbone."),
        target=at("module.encoder_k.backbone."),
        signs=(r"^module\.encoder_q\.backbone\.conv1\.",),
        dropped={**MOCO, "classifier": r"\.backbone\.fc\.", "projector": r"^module\.encoder_q\.neck\."},
        license=NON_COMMERCIAL,
        source=f"{GITHUB}LayneH/LEWEL",
    ),
)
