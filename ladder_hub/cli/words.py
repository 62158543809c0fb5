"""What verbs are told on the command line: MODEL, KEY=VALUE, --json."""

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
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def take(keys: Sequence[str], *names: str) -> tuple[dict[str, str], list[str]]:
    """Split off the keys that are the verb's own."""
    taken = {key.partition("=")[0]: key.partition("=")[2] for key in keys if key.partition("=")[0] in names}
    return taken, [key for key in keys if key.partition("=")[0] not in names]
