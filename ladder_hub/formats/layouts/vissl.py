"""VISSL: SwAV and others, trained under ClassyVision."""

from ladder_hub.formats.layout import GITHUB, Layout, at

LAYOUTS = (
    Layout(
        name="vissl",
        title="VISSL (SwAV and others)",
        online=at("_feature_blocks.", "classy_state_dict.base_model.model.trunk", "model_state_dict"),
        signs=(r"^_feature_blocks\.conv1\.",),
        dropped={"head": r"^(heads|head)\.", "classifier": r"\.fc\."},
        source=f"{GITHUB}facebookresearch/vissl",
        warning="VISSL's code is MIT; for the weights of its zoo no licence is stated here.",
    ),
)
