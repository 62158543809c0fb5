"""What measures a run: command lines of `ladder-hub eval`, and the figures that they have left.

The figures of one evaluation of one run are a file beside the run: `seed0.knn-1a2b3c4d.json`.
"""

import hashlib
import json
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ladder_hub.documents import read_json, shown
from ladder_hub.errors import UserError
from ladder_hub.recipe import Recipe
from ladder_hub.settings import nearest
from ladder_hub.weights import write_whole

VERBS = ("knn", "linear", "detect", "segment")
_LONG = VERBS[1:]  # they have a folder of their own and go on after an interruption
_OURS = ("out", "resume", "seed")


@dataclass(frozen=True)
class Evaluation:
    """A command line of `ladder-hub eval`, without MODEL."""

    verb: str
    keys: tuple[str, ...]

    @property
    def text(self) -> str:
        """As it was typed: what tells two evaluations apart."""
        return shlex.join((self.verb, *self.keys))

    @property
    def slug(self) -> str:
        """Its part of a file's name: `knn-1a2b3c4d`."""
        return f"{self.verb}-{hashlib.sha256(self.text.encode()).hexdigest()[:8]}"

    def words(self, model: str, seed: int, folder: Path) -> tuple[str, ...]:
        """The whole command for a model, after `ladder-hub`.

        Args:
            model: MODEL.
            seed: Of `random:` and of what is trained on the model.
            folder: Where a long one works.
        """
        place = (f"out={folder}", "resume=auto") if self.verb in _LONG else ()
        return ("eval", self.verb, model, *self.keys, f"seed={seed}", *place, "--json")


def parse(text: str, recipe: Recipe) -> Evaluation:
    """An evaluation as it was typed; `knn` and `linear` take the runs' images where it names none.

    Raises:
        UserError: no verb of `eval`, no key=value, or a key that the sweep decides.
    """
    try:
        verb, *keys = shlex.split(text) or [""]
    except ValueError as error:
        raise UserError(f"evals: {shown(text)}: {str(error).lower()}") from None
    if verb not in VERBS:
        raise UserError(f"evals: {shown(text)}: begin with one of {', '.join(VERBS)}{nearest(verb, VERBS)}")
    names = [key.partition("=")[0] for key in keys]
    for key, name in zip(keys, names, strict=True):
        if "=" not in key:
            raise UserError(f"evals: {shown(text)}: {shown(key)} is not key=value; MODEL is left out")
        if name in _OURS:
            raise UserError(f"evals: {shown(text)}: {name} is decided by the sweep; leave it out")
    if verb in ("knn", "linear"):
        for name, value in (("data.train", recipe.data.train), ("data.val", recipe.data.val)):
            if name not in names:
                if not value:
                    raise UserError(f"evals: {shown(text)}: {name} is missing here and among the runs' keys")
                keys.append(f"{name}={value}")
    return Evaluation(verb, tuple(keys))


@dataclass(frozen=True)
class Figures:
    """What one evaluation has measured of one run."""

    evaluation: str
    """`Evaluation.text`."""
    weights: str
    """Digest of the run's weights, or `untrained`."""
    entries: list[dict[str, Any]]
    """As in metrics.json."""

    def write(self, path: Path) -> None:
        """Write the file, whole or not at all."""
        text = json.dumps(self.__dict__, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        write_whole(path, [text.encode()])


def read_figures(path: Path) -> Figures:
    """The figures in a file.

    Raises:
        UserError: it is damaged; the message says what to do.
    """
    keys = read_json(path, UserError)
    try:
        figures = Figures(str(keys["evaluation"]), str(keys["weights"]), list(keys["entries"]))
        for entry in figures.entries:
            float(entry["value"]), int(entry["n"]), str(entry["protocol"]), str(entry["stage"]), str(entry["metric"])
    except (TypeError, KeyError, ValueError):
        raise UserError(f"{path} holds no figures of an evaluation; delete it, and it is measured again") from None
    return figures
