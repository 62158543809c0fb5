"""OpenSelfSup, mmselfsup 0.x and 1.x, mmpretrain."""

from ladder_hub.formats.layout import GITHUB, OPENMMLAB, Layout, at

LAYOUTS = (
    Layout(
        name="mmselfsup.0x",
        title="OpenSelfSup and mmselfsup 0.x",
        online=at("backbone."),
        target=at("target_net.0."),
        signs=(r"^backbone\.conv1\.", r"^(neck|head|online_net\.1)\."),
        dropped=OPENMMLAB,
        license="apache-2.0",
        source=f"{GITHUB}open-mmlab/mmselfsup",
    ),
    Layout(
        name="mmselfsup.1x",
        title="mmselfsup 1.x and mmpretrain",
        online=at("backbone."),
        target=at("target_net.module.0."),
        signs=(r"^backbone\.conv1\.", r"^(neck|head)\.", r"^target_net\.module\."),
        dropped=OPENMMLAB,
        license="apache-2.0",
        source=f"{GITHUB}open-mmlab/mmselfsup",
    ),
    Layout(
        name="mmselfsup.extracted",
        title="mmselfsup or OpenSelfSup, extracted backbone",
        online=at(""),
        signs=(r"^conv1\.weight$",),
        beside=("author",),
        license="apache-2.0",
        source=f"{GITHUB}open-mmlab/mmselfsup",
    ),
)
