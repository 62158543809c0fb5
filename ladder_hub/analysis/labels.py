"""Short names of models for legends and tables."""

from collections.abc import Sequence
from pathlib import PurePath

_LONGEST = 32


def short_names(models: Sequence[str]) -> list[str]:
    """As short as tells them apart: `/data/runs/a` and `random:/data/runs/a` are `a` and `random:a`.

    Where two would be called alike, all keep another folder of their path. Of a very long name the end is kept.
    """
    parts = 1
    names = [_last(model, parts) for model in models]
    while len(set(names)) < len(set(models)) and parts < max(len(PurePath(model).parts) for model in models):
        parts += 1
        names = [_last(model, parts) for model in models]
    return [name if len(name) <= _LONGEST else f"…{name[1 - _LONGEST :]}" for name in names]


def _last(model: str, parts: int) -> str:
    prefix, colon, path = model.rpartition(":")
    if "/" in prefix:  # the colon belongs to the path
        prefix, colon, path = "", "", model
    kept = [part for part in PurePath(path).parts if part != "/"]
    if kept and kept[-1] == "artifact":  # of a run: what tells is the run's name
        kept = kept[:-1] or kept
    shown = "" if prefix in ("hf-hub", "local-dir") else prefix + colon
    return shown + "/".join(kept[-parts:])
