"""solo-learn: Lightning checkpoints of every method."""

from ladder_hub.formats.layout import GITHUB, Layout, at

PARTS = {
    "momentum encoder": r"^momentum_",
    "projector": r"^projector\.",
    "predictor": r"^predictor\.",
    "classifier": r"classifier|^(backbone|encoder)\.fc\.",
    "queue": r"queue",
}

LAYOUTS = (
    Layout(
        name="solo",
        title="solo-learn (Lightning checkpoint)",
        online=at("backbone."),
        target=at("momentum_backbone."),
        signs=(r"^backbone\.conv1\.", r"^(projector|momentum_projector|classifier)\."),
        dropped=PARTS,
        source=f"{GITHUB}vturrisi/solo-learn",
    ),
    Layout(
        name="solo.old",
        title="solo-learn before 1.0.4 (`encoder`)",
        online=at("encoder."),
        target=at("momentum_encoder."),
        signs=(r"^encoder\.conv1\.", r"^(projector|momentum_projector|classifier)\."),
        dropped=PARTS,
        source=f"{GITHUB}vturrisi/solo-learn",
    ),
)
