"""lightly: Lightning checkpoints of its ImageNet benchmarks and of its examples."""

from ladder_hub.formats import names
from ladder_hub.formats.layout import GITHUB, Layout, at

PARTS = {
    "momentum encoder": r"^(teacher_\w+|\w+_momentum)\.",
    "projector": r"^projection_head\.",
    "predictor": r"^prediction_head\.",
    "classifier": r"^(online_classifier|fc)\.|^backbone\.fc\.",
}

LAYOUTS = (
    Layout(
        name="lightly",
        title="lightly (Lightning checkpoint)",
        online=at("backbone."),
        target=(*at("teacher_backbone."), *at("backbone_momentum.")),
        signs=(r"^backbone\.conv1\.", r"^(projection_head|prediction_head|online_classifier)\."),
        dropped=PARTS,
        source=f"{GITHUB}lightly-ai/lightly",
    ),
    Layout(
        name="lightly.sequential",
        title="lightly (backbone as nn.Sequential)",
        online=at("backbone.", "state_dict", ""),
        target=(*at("teacher_backbone.", "state_dict", ""), *at("backbone_momentum.", "state_dict", "")),
        signs=(r"^backbone\.0\.weight$", r"^backbone\.4\.0\.conv1\."),
        dropped=PARTS,
        renamed=names.from_sequential,
        source=f"{GITHUB}lightly-ai/lightly",
    ),
)
