"""detectron2: a backbone alone, or the one of a whole detector."""

from ladder_hub.formats import names
from ladder_hub.formats.layout import GITHUB, Layout, at

LAYOUTS = (
    Layout(
        name="detectron2",
        title="detectron2",
        online=(
            *at("backbone.bottom_up.", "model", ""),
            *at("backbone.", "model", ""),
            *at("", "model", ""),
        ),
        signs=(r"(^|\.)stem\.conv1\.norm\.weight$",),
        dropped={
            "pyramid head": r"(^|\.)fpn_",
            "detector": r"^(proposal_generator|roi_heads|pixel_\w+)(\.|$)",
            "classifier": r"(^|\.)(stem\.)?(fc|linear)\.",
        },
        renamed=names.from_detectron2,
        source=f"{GITHUB}facebookresearch/detectron2",
        warning="Taken as RGB with the stride on the 3x3 convolution. detectron2's own ImageNet weights (MSRA) want "
        "BGR and the stride on the first 1x1: with them this network is wrong.",
    ),
)
