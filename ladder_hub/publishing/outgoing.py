"""What goes out: the artifact as it lies there, or a copy without its heads, which may be kept."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ladder_hub.artifact.contents import as_json
from ladder_hub.artifact.reading import HEADS, Artifact, read_artifact
from ladder_hub.errors import UserError
from ladder_hub.weights import write_whole


@contextmanager
def outgoing(artifact: Artifact, *, heads: bool, out: str) -> Iterator[Artifact]:
    """The artifact to look at and to send.

    Args:
        artifact: Stays as it is.
        heads: Projectors, predictors and target go along.
        out: A new folder that keeps what goes out, unless something in the block fails; nothing where it is empty.

    Raises:
        UserError: `out` is there already.
    """
    if heads and not out:
        yield artifact
        return
    target = Path(out).expanduser().absolute() if out else None
    if target and target.exists():
        raise UserError(f"out={out} is there already; name a new folder")
    if target:
        target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".outgoing.", dir=target and target.parent) as around:
        copy = Path(around) / "artifact"
        shutil.copytree(artifact.folder, copy, symlinks=True)
        if not heads:
            _drop_heads(copy)
        yield read_artifact(copy)
        if target:
            copy.rename(target)


def _drop_heads(folder: Path) -> None:
    (folder / HEADS).unlink(missing_ok=True)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config["ladder_hub"].pop("heads_sha256", None)
    write_whole(folder / "config.json", [as_json(config).encode()])
