"""torchvision's ResNets, which are timm's name for name."""

from ladder_hub.formats.layout import ANYWHERE, GITHUB, Layout, at

LAYOUTS = (
    Layout(
        name="torchvision",
        title="torchvision",
        online=at("", *ANYWHERE),
        signs=(r"^conv1\.weight$", r"^layer1\.0\.conv1\.", r"^fc\.weight$"),
        dropped={"classifier": r"^fc\."},
        source=f"{GITHUB}pytorch/vision",
        warning="These names are timm's too; torchvision's weights were trained with ImageNet's labels.",
    ),
)
