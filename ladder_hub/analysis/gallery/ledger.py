"""The gallery's page of the ledger: what was to come out, what others reached, what ours did, which claims held."""

from collections.abc import Mapping, Sequence
from xml.etree.ElementTree import Element

from ladder_hub.analysis.claims_result import ClaimsAnalysis
from ladder_hub.analysis.pages.markup import Part, section, table, tag
from ladder_hub.ledger import Entry, Measured, measured
from ladder_hub.paper import SOURCE, tasks


def sections(entries: Sequence[Entry], claims: ClaimsAnalysis) -> list[Element]:
    """The words and the tables."""
    words = tag(
        "p",
        f"The paper is {SOURCE}; its figures are the paper's. Those of others are for the same method, each at the "
        "setting that stands beside it. Ours come from runs of this project; what did not come out stays.",
    )
    columns: list[Part] = ["recipe", "ours", "the paper's", "others', public"]
    there = sum(entry.status != "not run" for entry in entries)
    caption = f"{len(entries)} recipes, {there} of them run; percent"
    recipes = table(caption, columns, [_row(entry) for entry in entries])
    return [words, recipes, section("claims", "The paper's claims, in runs of this project", *_claims(claims))]


def _claims(claims: ClaimsAnalysis) -> list[Element]:
    """The table of `ladder-hub analyse claims`, and its notes."""
    header, rows = claims.table()
    caption = f"{len(rows)} figures; percentage points with 95 % intervals; above zero is as claimed"
    columns: list[Part] = list(header)
    return [table(caption, columns, [list(row) for row in rows]), *(tag("p", line) for line in claims.notes())]


def _row(entry: Entry) -> list[Part]:
    ours = [_ours(measured(run)) for run in entry.runs]
    status = [tag("p", entry.status), *([tag("p", entry.note)] if entry.note else [])]
    others = [tag("p", f"{_named(other.figures)} ({other.setting}; {other.source})") for other in entry.others]
    return [
        tag("code", entry.recipe),
        tag("td", *status, *ours),
        _named(entry.paper) or "none is at hand",
        tag("td", *others) if others else "none is known",
    ]


def _named(figures: Mapping[str, float]) -> str:
    names = tasks()
    return "; ".join(f"{names[task]} {value:g}" for task, value in figures.items())


def _ours(found: Measured) -> Element:
    figures = [tag("li", f"{figure}, {figure.images}") for figure in found.figures if figure.is_main]
    took = f"{found.setting}; {', '.join(f'{hours:.1f}' for hours in found.hours)} hours on {found.device}"
    return tag("div", tag("p", took), tag("ul", *figures))
