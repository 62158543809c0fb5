"""HTML as a tree: whatever is text is escaped when the tree is written, so no name or path can become markup."""

import re
from collections.abc import Sequence
from xml.etree.ElementTree import Element, SubElement

from ladder_hub.documents import has_controls

Part = str | Element
"""What stands inside an element: text, or another element."""
_KEPT = re.compile(r"[\n\t]")


def tag(name: str, /, *parts: Part, **attributes: str) -> Element:
    """An element.

    Args:
        name: `p`, `table`, ...
        parts: What is inside, in order. Control characters in texts become U+FFFD.
        attributes: A trailing or inner underscore stands for what Python has no name for: `class_`, `aria_label`.
    """
    names = {key.removesuffix("_").replace("_", "-"): harmless(value) for key, value in attributes.items()}
    element = Element(name, names)
    for part in parts:
        if isinstance(part, Element):
            element.append(part)
        elif len(element):
            element[-1].tail = (element[-1].tail or "") + harmless(part)
        else:
            element.text = (element.text or "") + harmless(part)
    return element


def harmless(text: str) -> str:
    """`text` without what no HTML file may hold; line breaks and tabs stay."""
    if not has_controls(_KEPT.sub("", text)):
        return text
    return "".join("\ufffd" if has_controls(letter) and letter not in "\n\t" else letter for letter in text)


def section(name: str, heading: str, *parts: Part) -> Element:
    """A landmark of the page, named by its heading; the page's list of contents points to `name`."""
    return tag("section", tag("h2", heading, id=f"{name}-heading"), *parts, id=name, aria_labelledby=f"{name}-heading")


def note(text: str) -> Element:
    """A line that says what is missing and why."""
    return tag("p", text, class_="note")


def table(
    caption: str, columns: Sequence[Part], rows: Sequence[Sequence[Part]], *, class_: str = "", id_: str = ""
) -> Element:
    """A table that scrolls inside its own frame where it is too wide; the first cell of a row is its heading.

    Args:
        caption: What the table shows.
        columns: The headings, none for a list of facts; over row headings it may be empty.
        rows: As many cells each; a cell that is a `td` element stays as it is.
        class_: For the style.
        id_: For the script.
    """
    whole = tag(
        "table",
        tag("caption", tag("span", caption)),
        **({"class_": class_} if class_ else {}),
        **({"id": id_} if id_ else {}),
    )
    if columns:
        head = SubElement(SubElement(whole, "thead"), "tr")
        head.extend(tag("th", column, scope="col") if column != "" else tag("td") for column in columns)
    body = SubElement(whole, "tbody")
    for first, *rest in rows:
        line = SubElement(body, "tr")
        line.append(tag("th", first, scope="row"))
        line.extend(cell if isinstance(cell, Element) and cell.tag == "td" else tag("td", cell) for cell in rest)
    return frame(caption, whole)


def frame(name: str, *parts: Part) -> Element:
    """What may be wider than the page: it scrolls by itself, with the keyboard too."""
    return tag("div", *parts, class_="frame", role="region", aria_label=name, tabindex="0")


def picture(chart: Element, caption: Part) -> Element:
    """A chart or image with the line under it."""
    return tag("figure", chart, tag("figcaption", caption))
