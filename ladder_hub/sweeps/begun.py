"""`sweep.toml`: what a sweep's folder was begun with, so that nothing else gets mixed into its table."""

import tomllib
from pathlib import Path

from ladder_hub.documents import read_text
from ladder_hub.errors import UserError
from ladder_hub.settings import Section, validated
from ladder_hub.sweeps.cells import Scale
from ladder_hub.training.resume import SAFE_ON_RESUME
from ladder_hub.weights import write_whole

_FILE = "sweep.toml"


class Begun(Section):
    """What all runs of the folder have in common."""

    sweep: str
    scale: Scale
    keys: tuple[str, ...]
    """The runs' overrides."""

    @property
    def decisive(self) -> dict[str, str]:
        """Those that decide the numbers."""
        keys = dict(word.partition("=")[::2] for word in self.keys)
        return {"sweep": self.sweep, "scale": self.scale} | {k: v for k, v in keys.items() if k not in SAFE_ON_RESUME}


def begin(out: Path, now: Begun) -> None:
    """Note what the sweep is, or see that it is the one that was begun here.

    Raises:
        UserError: another one was, or the folder can't be written.
    """
    path = out / _FILE
    if path.is_file():
        old, new = read_begun(out).decisive, now.decisive
        changed = sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
        if changed:
            told = ", ".join(
                f"{key} (it was {old.get(key, 'not given')}, now {new.get(key, 'not')})" for key in changed
            )
            raise UserError(f"out={out} was begun otherwise: {told}; name another folder")
    try:
        out.mkdir(parents=True, exist_ok=True)
        write_whole(path, [now.to_toml().encode()])
    except OSError as error:
        raise UserError(f"out={out} can't be written: {error.strerror}") from None


def read_begun(out: Path) -> Begun:
    """What was begun in a folder.

    Raises:
        UserError: nothing was.
    """
    path = out / _FILE
    if not path.is_file():
        raise UserError(f"out={out}: no sweep there (it has no {_FILE})")
    try:
        return validated(Begun, tomllib.loads(read_text(path, UserError)), where=str(path))
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{path} is not TOML: {error}") from None
