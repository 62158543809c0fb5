"""A matplotlib figure as an SVG inside the page: its text can be selected, its lines follow light and dark."""

import itertools
import re
from pathlib import Path
from tempfile import TemporaryDirectory
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from matplotlib.figure import Figure

from ladder_hub.analysis.pages.markup import harmless
from ladder_hub.plotting import save_figure

_NUMBERS = itertools.count(1)
_SPACE = re.compile(r"^\{[^}]*\}")
_POINTED = re.compile(r"url\(#([\w.-]+)\)")
# Black on white, as matplotlib draws, is the page's ink on the page's paper.
_THEME = (
    ("#000000", "currentColor"),
    ("#ffffff", "var(--paper)"),
    ("#b0b0b0", "var(--rule)"),
    ("#808080", "var(--quiet)"),
)


def chart(figure: Figure, alt: str, *, least: int = 0) -> Element:
    """The figure as an `svg` element, one image to a screen reader.

    Args:
        figure: From `plotting.new_figure`.
        alt: What the figure shows, and what was found.
        least: Below this width in pixels it scrolls instead of shrinking; 0: it shrinks.
    """
    with TemporaryDirectory() as folder:
        (path,) = save_figure(figure, Path(folder) / "figure.svg")
        svg = ElementTree.parse(path).getroot()  # noqa: S314 - matplotlib's own
    _plain(svg)
    _own_names(svg, f"chart{next(_NUMBERS)}-")
    for name in ("width", "height", "version"):
        svg.attrib.pop(name, None)
    svg.attrib |= {"role": "img", "aria-label": harmless(alt), "class": "chart"}
    if least:
        svg.set("style", f"min-width: {least}px")
    return svg


def _plain(svg: Element) -> None:
    """As HTML has it: no namespaces, no metadata, no style that would be the whole page's; the page's colours."""
    for parent in svg.iter():
        for child in [child for child in parent if str(child.tag).endswith(("metadata", "style"))]:
            parent.remove(child)
        parent.tag = _SPACE.sub("", parent.tag)
        for name, value in list(parent.attrib.items()):
            del parent.attrib[name]
            for theirs, ours in _THEME if name in ("style", "fill", "stroke") else ():
                value = value.replace(theirs, ours)
            parent.set(_SPACE.sub("", name), value)


def _own_names(svg: Element, prefix: str) -> None:
    """Names that nothing points to go; the others become the page's only ones."""
    pointed = set()
    for element in svg.iter():
        for key, value in element.items():
            if key == "href" and value.startswith("#"):
                pointed.add(value[1:])
                element.set(key, f"#{prefix}{value[1:]}")
            elif "url(#" in value:
                pointed |= set(_POINTED.findall(value))
                element.set(key, value.replace("url(#", f"url(#{prefix}"))
    for element in svg.iter():
        name = element.attrib.pop("id", "")
        if name in pointed:
            element.set("id", prefix + name)
