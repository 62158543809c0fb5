"""What verbs are told on the command line: MODEL, KEY=VALUE, --json."""

import re
from collections.abc import Sequence
from typing import Annotated

import typer

Keys = Annotated[list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Settings, such as epochs=50.")]
Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL", help="A name, an artifact, a run, hf-hub:org/name, random:resnet50, timm:resnet50.a1_in1k."
    ),
]
Published = Annotated[
    str, typer.Argument(metavar="MODEL", help="A name of the zoo, an artifact, a run, hf-hub:org/name.")
]
Models = Annotated[
    list[str],
    typer.Argument(metavar="MODEL... KEY=VALUE", help="Models as `eval` takes them, and settings, in any order."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def take(keys: Sequence[str], *names: str) -> tuple[dict[str, str], list[str]]:
    """Split off the keys that are the verb's own."""
    taken = {key.partition("=")[0]: key.partition("=")[2] for key in keys if key.partition("=")[0] in names}
    return taken, [key for key in keys if key.partition("=")[0] not in names]


def split(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Models or runs, and settings: a word is a setting where a key and `=` begin it (`runs/a=b` is a path)."""
    settings = [word for word in words if _SETTING.match(word)]
    return [word for word in words if not _SETTING.match(word)], settings


_SETTING = re.compile(r"[\w.-]*=")
