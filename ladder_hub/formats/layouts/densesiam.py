"""DenseSiam."""

from ladder_hub.formats.layout import GITHUB, Layout, at

LAYOUTS = (
    Layout(
        name="densesiam",
        title="DenseSiam",
        online=at("backbone."),
        signs=(r"^backbone\.conv1\.", r"^decoder\.", r"^projector\.", r"^predictor\."),
        dropped={"decoder": r"^decoder\.", "projector": r"projector\.", "predictor": r"predictor\."},
        license="apache-2.0",
        source=f"{GITHUB}ZwwWayne/DenseSiam",
    ),
)
