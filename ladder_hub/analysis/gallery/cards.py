"""A model card's Markdown as part of a page: text and tables, no HTML of its own, no image to fetch."""

import re
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from markdown_it import MarkdownIt

from ladder_hub.analysis.pages.markup import frame, harmless, tag

_FRONT = re.compile(r"\A---\n.*?^---\n", re.MULTILINE | re.DOTALL)
_HEADING = re.compile("h[1-6]")
_OUTGOING = ("https://", "http://")
_BELOW = 2  # the page has h1 and h2 of its own: a card's h1 becomes h3


def rendered(card: str) -> list[Element]:
    """The card, without its front matter.

    Args:
        card: Markdown, which anybody may have written. Links stay where they lead out; images become their own
            description; headings go below those of the page.
    """
    markdown = MarkdownIt("commonmark", {"html": False, "xhtmlOut": True}).enable("table")
    html = markdown.render(harmless(_FRONT.sub("", card)))
    body = ElementTree.fromstring(f"<div>{html}</div>")  # noqa: S314 - markdown-it's own, which has no entities
    heading = "The card"
    for parent in list(body.iter()):
        for place, child in enumerate(list(parent)):
            if _HEADING.fullmatch(child.tag):
                heading = "".join(child.itertext())
            parent[place] = _tamed(child, heading)
    return list(body)


def _tamed(element: Element, heading: str) -> Element:
    """An element as the page has it; `heading` is the one that it stands under."""
    match element.tag:
        case "img":
            return _with_tail(tag("em", f"({element.get('alt')})"), element)
        case "a" if not (element.get("href") or "").startswith(_OUTGOING):
            element.tag, element.attrib = "span", {}
        case "pre":
            element.set("tabindex", "0")
        case "th":
            element.tag, element.attrib = ("th", {"scope": "col"}) if element.text or len(element) else ("td", {})
        case "table":
            element.insert(0, tag("caption", tag("span", heading)))
            return _with_tail(frame(heading, element), element)
        case name if _HEADING.fullmatch(name):
            element.tag = f"h{min(6, int(name[1]) + _BELOW)}"
    return element


def _with_tail(new: Element, old: Element) -> Element:
    new.tail, old.tail = old.tail, None
    return new
