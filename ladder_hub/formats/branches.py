"""Which of several backbones in a file is the online network's: by the words of its prefix, else it is asked."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ladder_hub.documents import plain
from ladder_hub.formats import FormatError
from ladder_hub.formats.backbones import Backbone, apart

_TARGET = re.compile(
    r"(^|[._])(teacher|target|momentum|ema|key|averaged|swa|slow|shadow)([._]|$)|\w_[km]([._]|$)", re.IGNORECASE
)
_ONLINE = re.compile(r"(^|[._])(online|student|query|fast)([._]|$)|\w_q([._]|$)", re.IGNORECASE)


@dataclass(frozen=True)
class Choice:
    """The backbone that is taken, and what the others are."""

    taken: Backbone
    branch: str
    """`online` or `target`."""
    others: tuple[tuple[Backbone, float | None], ...]
    """How far each lies from the taken one, |a - b| / |a|; None where it is another network."""

    def lines(self) -> list[str]:
        """What the report says of every backbone in the file."""
        first = f"{shown_prefix(self.taken)} ({self.taken.architecture}, taken)"
        return [first, *(f"{shown_prefix(other)} ({_distance(far, other)})" for other, far in self.others)]


def is_targets(name: str) -> bool:
    """Whether a name in a file is a momentum encoder's, by the words in it."""
    return bool(_TARGET.search(name))


def choose(found: Sequence[Backbone], branch: str = "") -> Choice:
    """Take one.

    Args:
        found: At least one.
        branch: `online`; `target`: the momentum encoder; a prefix; "": the online one, or the only one there is.

    Raises:
        FormatError: there is none such, or nothing tells which of several it is.
    """
    different = _different(found)
    if branch in ("", "online", "target"):
        fitting = [one for one in different if is_targets(one.prefix) == (branch == "target")]
        marked = [one for one in fitting if _ONLINE.search(one.prefix)]
        fitting = marked if len(marked) == 1 else fitting
        if not branch and not fitting:
            fitting = different
    else:
        fitting = [one for one in found if one.prefix.rstrip(".") == branch.rstrip(".")]
    if len(fitting) != 1:
        raise FormatError(_asked(branch, fitting, different))
    taken = fitting[0]
    others = tuple((other, apart(taken, other)) for other in found if other is not taken)
    return Choice(taken, "target" if is_targets(taken.prefix) else "online", others)


def shown_prefix(backbone: Backbone) -> str:
    """`state_dict.backbone.*`."""
    return plain(f"{backbone.prefix}*")


def _different(found: Sequence[Backbone]) -> list[Backbone]:
    """One of those with equal weights; an online or a plain name stands for a target's that is its copy."""
    kept: list[Backbone] = []
    for one in sorted(found, key=lambda one: is_targets(one.prefix)):
        same = [other for other in kept if is_targets(other.prefix) == is_targets(one.prefix)]
        if not any(apart(other, one) == 0 for other in same):
            kept.append(one)
    return kept


def _asked(branch: str, fitting: Sequence[Backbone], found: Sequence[Backbone]) -> str:
    listed = ", ".join(shown_prefix(one) for one in found)
    if not fitting:
        what = (
            f"no {branch} network in it" if branch in ("online", "target") else f"branch={plain(branch)} is not in it"
        )
        return f"{what}; it holds {listed}"
    first, *rest = fitting
    lie = ", ".join(f"{shown_prefix(one)} ({_distance(apart(first, one), one)})" for one in rest)
    which = branch or "online"
    ask = " or ".join(f"branch={plain(one.prefix.rstrip('.'))}" for one in fitting if one.prefix)
    return f"nothing tells which is the {which} network: {shown_prefix(first)}, {lie}; say {ask}"


def _distance(far: float | None, other: Backbone) -> str:
    if far is None:
        return f"{other.architecture}, another network"
    return "the same weights" if far == 0 else f"weights {far:.3g} apart"
