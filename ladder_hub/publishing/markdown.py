"""As much of Markdown as a card needs to be read back: sections, tables, and the words beside them."""

import re

Table = tuple[list[str], list[list[str]]]

_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_FRONT = re.compile(r"\A---\n.*?^---\n", re.MULTILINE | re.DOTALL)
_BAR = re.compile(r"(?<!\\)\|")


def sections(text: str) -> dict[str, str]:
    """{heading: text}; before the first heading it is "". Code and front matter are left out."""
    text = _FENCE.sub("", _FRONT.sub("", text))
    found: dict[str, str] = {"": ""}
    heading = ""
    for line in text.splitlines():
        if line.startswith("#"):
            heading = line.lstrip("#").strip()
        else:
            found[heading] = found.get(heading, "") + line + "\n"
    return found


def tables(text: str) -> list[Table]:
    """Every table: (header, rows)."""
    found: list[Table] = []
    block: list[list[str]] = []
    for line in [*text.splitlines(), ""]:
        if line.lstrip().startswith("|"):
            block.append([cell.strip() for cell in _BAR.split(line.strip().strip("|"))])
        elif block:
            rows = [row for row in block[1:] if not all(set(cell) <= set("-: ") for cell in row)]
            found.append((block[0], rows))
            block = []
    return found


def prose(text: str) -> str:
    """What stands outside tables, links without their addresses."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("|")]
    return re.sub(r"\]\([^)]*\)|https?://\S+", "]", "\n".join(lines))
