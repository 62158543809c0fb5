"""MoCo v1 and v2, and what its many descendants share with it."""

from ladder_hub.formats.layout import GITHUB, Layout, at

MOCO = {
    "momentum encoder": r"^module\.encoder_k\.",
    "queue": r"^module\.queue",
    "projector": r"\.(fc|dense_head)\.",
}
"""What MoCo and its forks call their parts."""

LAYOUTS = (
    Layout(
        name="moco",
        title="MoCo v1 and v2",
        online=at("module.encoder_q."),
        target=at("module.encoder_k."),
        signs=(r"^module\.encoder_q\.conv1\.", r"^module\.queue$"),
        dropped=MOCO,
        source=f"{GITHUB}facebookresearch/moco",
        warning="The repository was CC BY-NC 4.0 when these weights were published and is MIT since; whether the "
        "weights followed is not said.",
    ),
)
