"""`report` and `gallery`: pages for people who look rather than read."""

from typing import Annotated

import typer

from ladder_hub.cli.words import Keys, split


def report(
    words: Annotated[list[str], typer.Argument(metavar="RUN... KEY=VALUE", help="Folders of runs, and settings.")],
) -> None:
    """Runs side by side in one HTML file: RUN... out=report.html data.images=IMAGES n=128 maps=6.

    Without data.images the pictures are those that the first run's recipe names. An unfinished run is shown as far as
    it is.
    """
    from ladder_hub.analysis.report.page import report as make

    runs, keys = split(words)
    path = make(runs, keys)
    typer.echo(f"{path}: {path.stat().st_size / 1e6:.1f} MB")


def gallery(keys: Keys = None) -> None:
    """The zoo as static pages: out=site. A former gallery is replaced; a file that is none stays."""
    from ladder_hub.analysis.gallery.site import gallery as make

    site = make(keys or [])
    typer.echo(f"{site.index}: {site.models} models")
