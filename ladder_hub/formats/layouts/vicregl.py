"""VICRegL. It pads 1 first and 2 in conv1, which is torchvision's 3."""

from ladder_hub.formats.layout import GITHUB, NON_COMMERCIAL, Layout, at

LAYOUTS = (
    Layout(
        name="vicregl",
        title="VICRegL, training checkpoint",
        online=at("module.backbone.", "model"),
        signs=(r"^module\.backbone\.conv1\.", r"^module\.(maps_projector|projector)\."),
        dropped={"projector": r"^module\.(maps_)?projector\.", "classifier": r"^module\.classifier\."},
        license=NON_COMMERCIAL,
        source=f"{GITHUB}facebookresearch/VICRegL",
    ),
    Layout(
        name="vicregl.backbone",
        title="VICRegL, backbone file",
        online=at("", ""),
        license=NON_COMMERCIAL,
        source=f"{GITHUB}facebookresearch/VICRegL",
    ),
)
