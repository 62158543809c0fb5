"""The gallery: a table of all models, a page each. Nothing of anybody else's is touched."""

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element

from ladder_hub.analysis.claims import analyse_claims
from ladder_hub.analysis.gallery import ledger
from ladder_hub.analysis.gallery.model import Shown, ladder, read, sections
from ladder_hub.analysis.pages.markup import Part, table, tag
from ladder_hub.analysis.pages.page import is_made_by, render
from ladder_hub.card import percent
from ladder_hub.errors import UserError
from ladder_hub.ledger import read_ledger
from ladder_hub.registry import entries
from ladder_hub.settings import Section, settings_from
from ladder_hub.weights import write_whole

MADE_BY = "ladder-hub gallery"
_INDEX, _LEDGER = "index.html", "ledger.html"


class GallerySettings(Section):
    """What `gallery` takes."""

    out: str = "site"
    """The folder: a new one, or one in which a gallery was made before."""


@dataclass(frozen=True)
class Site:
    """A gallery that was written."""

    index: Path
    models: int


def gallery(overrides: Sequence[str] = ()) -> Site:
    """Write the pages of all models of the zoo.

    All pages are made before the first is written. A new folder appears whole; in that of a former gallery each page is
    replaced whole, the table last, and pages of models that are gone are removed. A file that no gallery has made
    stays, and where it has a page's name nothing is written.

    Args:
        overrides: `key=value` for the keys of `GallerySettings`: out.

    Raises:
        UserError: an unknown key, a damaged file in the zoo, or a folder that is not a gallery's or can't be written.
    """
    out = settings_from(GallerySettings, overrides).out
    folder = Path(out).expanduser()
    models = [read(entry) for entry in entries().values()]
    pages = {model.file: _page(model) for model in models} | {_LEDGER: _ledger(), _INDEX: _table(models)}
    try:
        _check(folder, pages)
        _write(folder, pages)
    except OSError as error:
        raise UserError(f"out={out} can't be written: {error.strerror}") from None
    return Site(folder / _INDEX, len(models))


def _check(folder: Path, pages: Mapping[str, str]) -> None:
    if not folder.exists():
        return
    if not folder.is_dir():
        raise UserError(f"out={folder} is a file; name a folder")
    if any(folder.iterdir()) and not is_made_by(folder / _INDEX, MADE_BY):
        raise UserError(f"out={folder} is no gallery and not empty; name another folder")
    odd = [name for name in pages if (folder / name).exists() and not is_made_by(folder / name, MADE_BY)]
    if odd:
        raise UserError(f"{folder / odd[0]} is not of a gallery's making; move it, or name another folder")


def _write(folder: Path, pages: Mapping[str, str]) -> None:
    if folder.exists():
        _fill(folder, pages)
        for path in folder.glob("*.html"):
            if path.name not in pages and is_made_by(path, MADE_BY):
                path.unlink()
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    new = folder.with_name(f".{folder.name}.{os.getpid()}")
    new.mkdir()
    try:
        _fill(new, pages)
        new.rename(folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _fill(folder: Path, pages: Mapping[str, str]) -> None:
    for name, html in pages.items():
        write_whole(folder / name, [html.encode()])


def _page(model: Shown) -> str:
    links = [(_INDEX, "All models"), ("#load", "How to load it"), ("#metrics", "Measured"), ("#card", "Card")]
    return render(model.entry.name, *sections(model), made_by=MADE_BY, contents=links)


def _ledger() -> str:
    parts = ledger.sections(read_ledger(), analyse_claims())
    return render("The ledger", *parts, made_by=MADE_BY, contents=[(_INDEX, "All models")])


def _table(models: Sequence[Shown]) -> str:
    columns: list[Part] = ["model", "network", "method", "epochs", "ladder", "measured", "%", "n", "weights"]
    rows = [_row(model) for model in models]
    there = sum(model.entry.published for model in models)
    caption = f"{len(models)} models; {there} with weights. A heading's button sorts by its column."
    words = tag("p", "Backbones trained without labels, with a loss on every stage that the ladder names.")
    sortable = table(caption, columns, rows, id_="models")
    links = [(_LEDGER, "The ledger")]
    return render("The zoo of ladder-hub", words, sortable, made_by=MADE_BY, contents=links, script="sort.js")


def _row(model: Shown) -> list[Part]:
    best, recipe = model.best, model.recipe
    figures: list[Part] = ["nothing yet", "", ""]
    if best:
        figures = [f"{best['protocol']} {best['stage']} {best['metric']}", percent(best["value"]), f"{best['n']:,}"]
    link: Element = tag("a", model.entry.name, href=model.file)
    epochs = f"{recipe.epochs:,}"
    return [link, model.entry.architecture, recipe.method, epochs, ladder(recipe), *figures, model.entry.status]
