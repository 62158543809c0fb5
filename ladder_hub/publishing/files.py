"""Which files an artifact has, and that nothing else and nothing secret goes along."""

import re
import stat
from collections.abc import Iterator
from pathlib import Path

from ladder_hub.config import WEIGHTS
from ladder_hub.documents import TEXT_LIMIT, plain, read_text
from ladder_hub.errors import UserError
from ladder_hub.pull import COMPANIONS

REQUIRED = ("README.md", "config.json", "metrics.json", WEIGHTS, "provenance.json")
FILES = tuple(sorted({"config.json", WEIGHTS, *COMPANIONS}))
"""All that is ever published."""
_TEXTS = (".md", ".json", ".toml")
_SECRETS = re.compile(r"hf_[A-Za-z0-9]{20,}|gh[pousr]_\w{20,}|AKIA[0-9A-Z]{16}|-----BEGIN [A-Z ]*PRIVATE KEY")


def artifact_files(folder: Path) -> dict[str, Path]:
    """The files of an artifact that are there, by name."""
    return {name: folder / name for name in FILES if (folder / name).is_file()}


def file_problems(folder: Path) -> Iterator[str]:
    """What keeps a folder from being published as it stands."""
    there = sorted(path.name for path in folder.iterdir())
    for name in REQUIRED:
        if name not in there:
            yield f"{name} is missing"
    for name in there:
        if name not in FILES:
            yield f"{plain(name)} is no file of an artifact; only {', '.join(FILES)} are published"
        elif not stat.S_ISREG((folder / name).lstat().st_mode):
            yield f"{name} is a link or no file; only plain files are published"
        elif name.endswith(_TEXTS):
            yield from _text_problems(folder / name)


def _text_problems(path: Path) -> Iterator[str]:
    try:
        text = read_text(path, UserError)
    except UserError as error:
        yield f"{path.name} can't be published: {error} (limit {TEXT_LIMIT:,} bytes)"
        return
    if _SECRETS.search(text):
        yield f"{path.name} holds what looks like a password or token"
