"""`ladder-hub check`: look at the data that was named, and write the page."""

import sys
from collections.abc import Sequence

from rich.console import Console

from ladder_hub.analysis.pages.page import place_for_page, write_page
from ladder_hub.check.page import MADE_BY, page
from ladder_hub.check.report import Report, look_at
from ladder_hub.check.sets import CheckSettings, open_sets
from ladder_hub.progress import Display
from ladder_hub.settings import settings_from


def check(alone: str = "", overrides: Sequence[str] = (), *, console: Console | None = None) -> Report:
    """Look at one set, or at those that teach and are asked.

    Args:
        alone: One source: a folder, shards, `hf:`, a COCO JSON, pairs of image and mask; or empty.
        overrides: `key=value` for the keys of `CheckSettings`: data.train, data.val, data.images, n, out, ...
        console: Where progress goes; None: standard error.

    Returns:
        What was found; `faults` is why an evaluation of it would lie.

    Raises:
        UserError: nothing is named or it can't be opened, or `out` can't be written.
    """
    settings = settings_from(CheckSettings, overrides)
    out = place_for_page(settings.out, MADE_BY) if settings.out else None
    sets = open_sets(settings.data, alone)
    with Display(console or Console(file=sys.stderr)) as display:
        report = look_at(sets, settings, display.show)
        if out is not None:
            display.show("page")
            write_page(out, page(report))
    return report
