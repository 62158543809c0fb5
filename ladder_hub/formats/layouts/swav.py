"""SwAV's own repository. It pads 1 first and 2 in conv1, which is torchvision's 3."""

from ladder_hub.formats.layout import GITHUB, NON_COMMERCIAL, Layout, at

LAYOUTS = (
    Layout(
        name="swav",
        title="SwAV",
        online=at("module.", "", "state_dict"),
        signs=(r"^module\.conv1\.", r"^module\.(projection_head|prototypes)"),
        dropped={"projector": r"^module\.projection_head\.", "prototypes": r"^module\.prototypes"},
        license=NON_COMMERCIAL,
        source=f"{GITHUB}facebookresearch/swav",
    ),
)
