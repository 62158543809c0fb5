"""timm's own names, of whatever network: what is left when no other row fits."""

from ladder_hub.formats.layout import ANYWHERE, GITHUB, Layout, at

LAYOUTS = (
    Layout(
        name="timm",
        title="timm",
        online=at("", *ANYWHERE),
        target=at("", "state_dict_ema", "model_ema"),
        signs=(),
        source=f"{GITHUB}huggingface/pytorch-image-models",
    ),
)
