"""DetCo."""

from ladder_hub.formats.layout import ANYWHERE, GITHUB, Layout, at

LAYOUTS = (
    Layout(
        name="detco",
        title="DetCo",
        online=at("", *ANYWHERE),
        dropped={"classifier": r"^fc\."},
        source=f"{GITHUB}xieenze/DetCo",
        warning="Its README asks for academic use; there is no licence file.",
    ),
)
