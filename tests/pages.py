"""An HTML page read by the standard library's parser: whether it holds together, and what it asks for."""

import itertools
import re
from html.parser import HTMLParser

VOID = {"br", "hr", "img", "input", "link", "meta", "source", "wbr"}


class Page(HTMLParser):
    """Attributes: `elements` [(tag, attributes)] in order; `text` by place; `scripts` inline."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.scripts: list[str] = []
        self.text = ""
        self._open: list[str] = []
        self.faults: list[str] = []
        self.feed(html)
        self.close()
        self.faults += [f"<{name}> is never closed" for name in self._open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if len({name for name, _ in attrs}) < len(attrs):
            self.faults.append(f"<{tag}> has an attribute twice")
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open[-1] != tag:
            self.faults.append(f"</{tag}> closes {self._open[-1:]}")
        else:
            self._open.pop()

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] == "script":
            self.scripts.append(data)
        elif not self._open or self._open[-1] != "style":
            self.text += data

    def all(self, name: str) -> list[dict[str, str]]:
        return [attributes for tag, attributes in self.elements if tag == name]

    @property
    def addresses(self) -> list[str]:
        """Whatever the page could fetch or lead to, but for places in itself and what it holds."""
        keys = ("src", "href", "srcset", "action", "data", "poster", "xlink:href")
        found = [value for _, attributes in self.elements for key, value in attributes.items() if key in keys]
        return [value for value in found if not value.startswith(("#", "data:"))]

    def check(self) -> list[str]:
        """Everything that is wrong with it."""
        faults = list(self.faults)
        ids = [attributes["id"] for _, attributes in self.elements if "id" in attributes]
        faults += [f"id {name} stands twice" for name in {name for name in ids if ids.count(name) > 1}]
        faults += [f"nothing has the id {name}" for name in self._pointed() - set(ids)]
        faults += [f"an image without words: {image['src'][:40]}" for image in self.all("img") if not image.get("alt")]
        images = [svg for svg in self.all("svg") if svg.get("aria-hidden") != "true"]
        faults += [
            "a chart without words" for svg in images if not (svg.get("role") == "img" and svg.get("aria-label"))
        ]
        faults += [
            "a heading of no row or column" for cell in self.all("th") if cell.get("scope") not in ("row", "col")
        ]
        if len(self.all("table")) != len(self.all("caption")):
            faults.append("a table without a caption")
        levels = [int(tag[1]) for tag, _ in self.elements if re.fullmatch("h[1-6]", tag)]
        if levels.count(1) != 1 or any(after > before + 1 for before, after in itertools.pairwise(levels)):
            faults.append(f"headings out of order: {levels}")
        faults += [f"{len(self.all(tag))} {tag}" for tag in ("main", "nav", "header") if len(self.all(tag)) != 1]
        if len(self.scripts) != len(self.all("script")) or any("src" in script for script in self.all("script")):
            faults.append("a script from elsewhere")
        return faults

    def _pointed(self) -> set[str]:
        found: set[str] = set()
        for _, attributes in self.elements:
            found |= {value[1:] for key, value in attributes.items() if key == "href" and value.startswith("#")}
            found |= {name for key in ("aria-labelledby", "for") for name in attributes.get(key, "").split()}
            found |= {name for value in attributes.values() for name in re.findall(r"url\(#([^)]+)\)", value)}
        return found
