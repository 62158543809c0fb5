"""What a row of the table of layouts is; the rows are in `layouts/`, a file a project.

A row says where the backbone lies (`Place`: a table of the file, and the prefix of its names), which other names prove
that it is this layout (`signs`), what of the rest is what (`dropped`), and under which licence the weights were
published, where their publishers say so. Names come from each project's own saving, loading or converting code.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from torch import Tensor

from ladder_hub.formats import names

GITHUB = "https://github.com/"
NON_COMMERCIAL = "cc-by-nc-4.0"
ANYWHERE = ("", "state_dict", "model")
"""Tables that a plain dictionary of tensors is found in."""
OPENMMLAB = {
    "the same backbone again": r"^(backbone|online_net\.0|encoder_q\.0)\.",
    "momentum encoder": r"^(target_net|encoder_k|backbone_m)\.",
    "queue": r"^queue",
    "predictor": r"predictor\.",
    "projector": r"^(neck|online_net\.1|encoder_q\.1|projector)\.",
    "head": r"^head\.",
}
"""What OpenSelfSup and everything built on it call their parts."""


@dataclass(frozen=True)
class Place:
    """Where a network's tensors lie in a file."""

    inside: str
    """The table, dotted: `state_dict`; "" for the file itself."""
    prefix: str = ""


@dataclass(frozen=True)
class Layout:
    """One project's way to write a checkpoint."""

    name: str
    """What `from=` takes; the part before a dot stands for all its variants."""
    title: str
    online: tuple[Place, ...]
    """Where the online (or only) backbone may lie; the first that is there."""
    target: tuple[Place, ...] = ()
    """Where the momentum encoder's may lie."""
    signs: tuple[str, ...] | None = None
    """Patterns that each must find a name in the table; None: names alone can't tell it, only `from=` takes it."""
    beside: tuple[str, ...] = ()
    """Names that must stand at the top of the file."""
    dropped: Mapping[str, str] = field(default_factory=dict)
    """{group: pattern} of the other tensors in the table; the first that fits."""
    renamed: Callable[[Mapping[str, Tensor]], dict[str, Tensor]] = names.same
    """To torchvision's names, once the prefix is off."""
    license: str = ""
    """A Hub licence id that the publishers state for the weights; "": none is stated."""
    source: str = ""
    """Where the project lives."""
    warning: str = ""
    """What a user of these weights must know."""


def at(prefix: str, *tables: str) -> tuple[Place, ...]:
    """The places of names with `prefix`, in each of `tables` (none given: `state_dict`)."""
    return tuple(Place(table, prefix) for table in tables or ("state_dict",))
