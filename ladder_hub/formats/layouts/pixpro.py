"""PixPro."""

from ladder_hub.formats.layout import GITHUB, Layout, at

LAYOUTS = (
    Layout(
        name="pixpro",
        title="PixPro",
        online=at("module.encoder.", "model"),
        target=at("module.encoder_k.", "model"),
        signs=(r"^module\.encoder\.conv1\.", r"^module\.(projector|value_transform)\."),
        dropped={
            "momentum encoder": r"^module\.(encoder|projector)_k\.",
            "projector": r"^module\.projector\.",
            "predictor": r"^module\.(value_transform|qkv|proj)",
            "classifier": r"\.fc\.",
        },
        license="mit",
        source=f"{GITHUB}zdaxie/PixPro",
    ),
    Layout(
        name="pixpro.old",
        title="PixPro, older files (`base`)",
        online=at("module.base.", "model"),
        signs=(r"^module\.base\.conv1\.",),
        dropped={"projector": r"^module\.projector", "classifier": r"\.fc\."},
        license="mit",
        source=f"{GITHUB}zdaxie/PixPro",
    ),
)
