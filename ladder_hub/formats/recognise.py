"""Which layout a checkpoint has, and what of it is the backbone."""

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass

from torch import Tensor

from ladder_hub.documents import plain, shown
from ladder_hub.formats import FormatError
from ladder_hub.formats.container import Checkpoint
from ladder_hub.formats.layout import Layout, Place
from ladder_hub.formats.layouts import layouts

AUTO = "auto"
# What names the chosen network itself says nothing about its own parts.
_WHOLE = {"the same backbone again", "momentum encoder"}


@dataclass(frozen=True)
class Split:
    """A checkpoint taken apart."""

    layout: Layout
    backbone: dict[str, Tensor]
    """Under torchvision's names, which are timm's."""
    dropped: dict[str, int]
    """How many tensors of each other kind the file holds."""
    also: tuple[str, ...]
    """Layouts with the same names, which only `from=` can tell from this one."""


def recognise(checkpoint: Checkpoint, asked: str = AUTO) -> Layout:
    """The layout whose names the checkpoint has; of several that fit, the one with most to prove it.

    Args:
        checkpoint: As read.
        asked: A layout, a project (any of its layouts), or `auto`.

    Raises:
        FormatError: no layout fits, two fit equally well, or `asked` is none.
    """
    known = layouts()
    rows = [row for row in known.values() if asked in (AUTO, row.name, row.name.partition(".")[0])]
    if not rows:
        raise FormatError(f"from={plain(asked)}: no such layout{_nearest(asked, known)}")
    if asked in known and len(rows) == 1:
        return known[asked]
    fitting = [row for row in rows if row.signs is not None and _fits(checkpoint, row)]
    weight = max((_weight(row) for row in fitting), default=0)
    best = [row for row in fitting if _weight(row) == weight]
    if len(best) > 1:
        names = " and ".join(row.name for row in best)
        raise FormatError(f"{checkpoint.path}: its names fit {names} equally well; say which: from={best[0].name}")
    # Of a project that was named, a layout without signs of its own is taken where no other fits.
    best = best or [row for row in rows if asked != AUTO and row.signs is None and _present(checkpoint, row.online)]
    if not best:
        raise FormatError(f"{checkpoint.path}: {_nothing_fits(checkpoint, asked, rows)}")
    return best[0]


def split(checkpoint: Checkpoint, layout: Layout, branch: str = "online") -> Split:
    """Take a checkpoint apart.

    Args:
        checkpoint: As read.
        layout: From `recognise`.
        branch: `online`, or `target`: the momentum encoder.

    Raises:
        FormatError: the branch is not there.
    """
    place = _present(checkpoint, layout.target if branch == "target" else layout.online)
    if place is None:
        raise FormatError(f"{checkpoint.path}: {_no_branch(layout, branch)}")
    taken: dict[str, Tensor] = {}
    dropped: dict[str, int] = {}
    for name, tensor in checkpoint.table(place.inside).items():
        group = _group(name, layout, place, branch)
        if group:
            dropped[group] = dropped.get(group, 0) + 1
        else:
            taken[name.removeprefix(place.prefix)] = tensor
    backbone = layout.renamed(taken)
    if len(backbone) < len(taken):
        raise FormatError(f"{checkpoint.path}: two of its names mean the same tensor; it is no {layout.name} file")
    dropped |= {f"{plain(name)} (elsewhere)": count for name, count in checkpoint.elsewhere(place.inside).items()}
    also = [row.name for row in layouts().values() if row.signs is None and _present(checkpoint, row.online) == place]
    return Split(layout, backbone, dropped, tuple(name for name in also if name != layout.name))


def readers(checkpoint: Checkpoint) -> list[str]:
    """Layouts with the longest prefix that the names have: a file cut to its backbone has lost the other signs."""
    placed = [(row.name, place) for row in layouts().values() for place in row.online]
    found = [(len(place.prefix), name) for name, place in placed if place.prefix and _present(checkpoint, [place])]
    return sorted({name for length, name in found if length == max(found)[0]})


def _group(name: str, layout: Layout, place: Place, branch: str) -> str:
    """What a tensor is that isn't the backbone's; "" where it is."""
    inside = name.startswith(place.prefix)
    if branch == "target" and not inside and any(name.startswith(p.prefix) for p in layout.online if p.prefix):
        return "online network"
    for group, pattern in layout.dropped.items():
        if re.search(pattern, name) and not (inside and group in _WHOLE):
            return "momentum encoder's heads" if branch == "target" and group == "momentum encoder" else group
    return "" if inside else "other"


def _present(checkpoint: Checkpoint, places: Iterable[Place]) -> Place | None:
    """The first of `places` where the file has tensors."""
    for place in places:
        if any(name.startswith(place.prefix) for name in checkpoint.table(place.inside)):
            return place
    return None


def _fits(checkpoint: Checkpoint, layout: Layout) -> bool:
    place = _present(checkpoint, layout.online)
    if place is None or not set(layout.beside) <= checkpoint.content.keys():
        return False
    names = list(checkpoint.table(place.inside))
    return all(any(re.search(sign, name) for name in names) for sign in layout.signs or ())


def _weight(layout: Layout) -> int:
    return len(layout.signs or ()) + len(layout.beside)


def _nothing_fits(checkpoint: Checkpoint, asked: str, rows: list[Layout]) -> str:
    tables = {place.inside for row in rows for place in row.online}
    names = [name for inside in sorted(tables) for name in checkpoint.table(inside)]
    if names:
        return f"its names ({plain(names[0])}, …) fit none of {', '.join(row.name for row in rows)}"
    what = ", ".join(shown(str(name)) for name in list(checkpoint.content)[:4]) or "nothing"
    where = "any layout" if asked == AUTO else f"from={asked}"
    return f"no tensors where {where} has them; at its top it holds {what}"


def _no_branch(layout: Layout, branch: str) -> str:
    if branch == "target" and not layout.target:
        return f"a {layout.name} checkpoint has no target network; leave branch= out"
    looked = " or ".join(f"{place.prefix}* in {place.inside or 'the file'}" for place in getattr(layout, branch))
    return f"no {branch} backbone of the layout {layout.name} there: no names {looked}"


def _nearest(asked: str, known: dict[str, Layout]) -> str:
    names = sorted({*known, *(name.partition(".")[0] for name in known)})
    close = difflib.get_close_matches(asked, names, n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else f"; there are {', '.join(names)}"
