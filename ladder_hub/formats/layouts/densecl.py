"""DenseCL, a fork of OpenSelfSup."""

from ladder_hub.formats.layout import GITHUB, OPENMMLAB, Layout, at

LAYOUTS = (
    Layout(
        name="densecl",
        title="DenseCL, training checkpoint",
        online=(*at("backbone."), *at("encoder_q.0.")),
        target=at("encoder_k.0."),
        signs=(r"^encoder_q\.0\.conv1\.", r"^queue$", r"^queue2"),
        dropped=OPENMMLAB,
        license="gpl-3.0",
        source=f"{GITHUB}WXinlong/DenseCL",
    ),
    Layout(
        name="densecl.extracted",
        title="DenseCL, extracted backbone",
        online=at("", "state_dict", ""),
        dropped={"classifier": r"^fc\."},
        license="gpl-3.0",
        source=f"{GITHUB}WXinlong/DenseCL",
    ),
)
