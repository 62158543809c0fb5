"""RegionCL: the authors' layout, and the weights that CoinCheung/DenseCL released.

The authors' code forks OpenSelfSup; no weights of theirs were out when this was written.
"""

from ladder_hub.formats.layout import GITHUB, NON_COMMERCIAL, OPENMMLAB, Layout, at
from ladder_hub.formats.layouts.moco import MOCO

LAYOUTS = (
    Layout(
        name="regioncl",
        title="RegionCL, the authors' own",
        online=at("backbone."),
        target=at("encoder_k.0."),
        dropped=OPENMMLAB,
        license="apache-2.0",
        source=f"{GITHUB}Annbless/RegionCL",
    ),
    Layout(
        name="regioncl.densecl",
        title="RegionCL-D of CoinCheung/DenseCL",
        online=at("module.encoder_q."),
        target=at("module.encoder_k."),
        signs=(r"^module\.encoder_q\.conv1\.", r"^module\.queue_dense", r"^module\.encoder_q\.dense_head\."),
        dropped=MOCO,
        license=NON_COMMERCIAL,
        source=f"{GITHUB}CoinCheung/DenseCL",
    ),
)
