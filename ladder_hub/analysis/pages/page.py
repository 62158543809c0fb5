"""A whole page: one file that asks for no other, and that runs no script but its own."""

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from ladder_hub.analysis.pages.markup import Part, tag
from ladder_hub.errors import UserError
from ladder_hub.weights import write_whole

_FILES = Path(__file__).parent


def render(title: str, *parts: Part, made_by: str, contents: Sequence[tuple[str, str]] = (), script: str = "") -> str:
    """The page as HTML.

    Its content policy lets a browser load nothing: pictures are in the file, styles too, and a script runs only if
    its digest is that of ours.

    Args:
        title: Of the page, and its first heading.
        parts: What follows the heading.
        made_by: The verb, by which `is_made_by` knows the file again.
        contents: (address, words) of the links above the page.
        script: A second script of this folder (`sort.js`).
    """
    scripts = [(_FILES / name).read_text(encoding="utf-8") for name in ("theme.js", script) if name]
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_policy(scripts)),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="generator", content=made_by),
        tag("title", title),
        tag("link", rel="icon", href="data:,"),
        tag("style", (_FILES / "page.css").read_text(encoding="utf-8")),
    )
    links = [tag("li", tag("a", words, href=address)) for address, words in contents]
    body = tag(
        "body",
        tag("a", "Skip to the content", href="#content", class_="skip"),
        tag(
            "header",
            tag("nav", tag("ul", *links), aria_label="Contents"),
            tag("button", "Dark", type="button", id="theme", aria_pressed="false", hidden=""),
        ),
        tag("main", tag("h1", title), *parts, id="content", tabindex="-1"),
        *(tag("script", text) for text in scripts),
    )
    html = tag("html", head, body, lang="en")
    return "<!doctype html>\n" + ElementTree.tostring(html, encoding="unicode", method="html") + "\n"


def is_made_by(path: Path, made_by: str) -> bool:
    """Whether a file is a page of this verb, and so may be replaced by it."""
    try:
        with path.open("rb") as file:
            start = file.read(2000)
    except OSError:
        return False
    mark = ElementTree.tostring(tag("meta", name="generator", content=made_by), encoding="unicode", method="html")
    return start.startswith(b"<!doctype html>") and mark.encode() in start


def place_for_page(out: str, made_by: str) -> Path:
    """The file that `out=` names; asked before anything is computed.

    Raises:
        UserError: it is a folder, a file that is no page of this verb, or lies where nothing can be written.
    """
    path = Path(out).expanduser()
    try:
        if path.is_dir() or not path.name:
            raise UserError(f"out={out} is a folder; give the file to write: out={path / 'page.html'}")
        if path.exists() and not is_made_by(path, made_by):
            raise UserError(f"out={out} exists and is no page of {made_by}; name another file")
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"out={out} can't be written: {error.strerror}") from None
    return path


def write_page(path: Path, html: str) -> None:
    """Write a page, whole or not at all. Raises UserError."""
    try:
        write_whole(path, [html.encode()])
    except OSError as error:
        raise UserError(f"out={path} can't be written: {error.strerror}") from None


def _policy(scripts: Sequence[str]) -> str:
    digests = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in scripts]
    ours = " ".join(f"'sha256-{digest}'" for digest in digests)
    nothing = "default-src 'none'; base-uri 'none'; form-action 'none'"
    return f"{nothing}; img-src data:; style-src 'unsafe-inline'; script-src {ours}"
