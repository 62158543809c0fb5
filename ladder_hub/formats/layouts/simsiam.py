"""SimSiam: its `fc` is the projector."""

from ladder_hub.formats.layout import GITHUB, NON_COMMERCIAL, Layout, at

LAYOUTS = (
    Layout(
        name="simsiam",
        title="SimSiam",
        online=at("module.encoder."),
        signs=(r"^module\.encoder\.conv1\.", r"^module\.predictor\."),
        dropped={"projector": r"\.fc\.", "predictor": r"^module\.predictor\."},
        license=NON_COMMERCIAL,
        source=f"{GITHUB}facebookresearch/simsiam",
    ),
)
