"""DeepMind's BYOL: a dill pickle of haiku's parameters, which is not opened; its arrays come as .npz."""

from ladder_hub.formats import names
from ladder_hub.formats.layout import GITHUB, NON_COMMERCIAL, Layout, at

LAYOUTS = (
    Layout(
        name="deepmind",
        title="DeepMind's BYOL (haiku), its arrays as .npz",
        online=at("online_", ""),
        target=at("target_", ""),
        signs=(r"^online_params/.*initial_conv/w$", r"^online_state/.*/mean_ema/average$"),
        dropped={
            "momentum encoder": r"^target_",
            "projector": r"projector",
            "predictor": r"predictor",
            "classifier": r"classifier",
            "haiku's own counters": r"/(hidden|counter)$",
        },
        renamed=names.from_haiku,
        license=NON_COMMERCIAL,
        source=f"{GITHUB}deepmind/deepmind-research/tree/master/byol",
        warning="The original pads as TensorFlow does (SAME, more on the right and below where the stride is 2); this "
        "network pads evenly. Its maps are shifted against the original's, and published figures are not reproduced.",
    ),
)
