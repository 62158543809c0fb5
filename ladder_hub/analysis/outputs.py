"""What an analysis leaves: NAME.json, NAME.png and NAME.svg, each whole or not there."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from ladder_hub.errors import UserError
from ladder_hub.plotting import save_figure
from ladder_hub.weights import write_whole

_SUFFIXES = (".json", ".png", ".svg")


def place_for(out: str) -> Path:
    """The path without a suffix that `out=NAME` means; the folders above it are made.

    Asked before anything is measured: what can't be written should not cost an hour first.

    Raises:
        UserError: it is empty, a folder, or lies where nothing can be written.
    """
    path = Path(out).expanduser()
    path = path.with_suffix("") if path.suffix in _SUFFIXES else path
    try:
        if not path.name or path.is_dir():
            raise UserError(f"out={out}: give the name of the files, such as out={path / 'analysis'}")
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"out={out} can't be written: {error.strerror}") from None
    return path


def write_outputs(path: Path, facts: Mapping[str, Any], figure: Figure) -> list[Path]:
    """Write an analysis beside `path`, from `place_for`.

    Args:
        path: Without a suffix.
        facts: For NAME.json: numbers, texts, lists, tables; no NaN.
        figure: For NAME.png and NAME.svg.

    Returns:
        What was written.

    Raises:
        UserError: it can't be.
    """
    files = [path.with_name(path.name + suffix) for suffix in _SUFFIXES]
    try:
        write_whole(files[0], [(json.dumps(facts, ensure_ascii=False, allow_nan=False) + "\n").encode()])
        for file in files[1:]:
            partial = file.with_name(f".partial.{file.name}")
            try:
                save_figure(figure, partial)
                partial.replace(file)
            finally:
                partial.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"out={path} can't be written: {error.strerror}") from None
    return files
