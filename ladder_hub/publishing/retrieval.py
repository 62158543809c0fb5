"""`ladder-hub pull`: models from the Hub into the cache or a folder, checked as `create_model` checks them."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from ladder_hub.config import WEIGHTS, read_config
from ladder_hub.errors import UserError
from ladder_hub.location import is_zoo_name, resolve
from ladder_hub.publishing.files import artifact_files
from ladder_hub.receipt import verify_weights
from ladder_hub.registry import find, list_models
from ladder_hub.settings import Section, settings_from


class PullSettings(Section):
    """What `pull` takes."""

    all: bool = False
    """Every model of the zoo that has weights, for machines without a network."""
    out: str = ""
    """A folder for plain copies, one folder a model where all come; empty: they stay in the Hub's cache."""
    cache_dir: str = ""
    """Empty: the cache of huggingface_hub."""


def retrieve(model: str | None, overrides: Sequence[str] = ()) -> dict[str, Path]:
    """Fetch a model, or all of the zoo, and verify digest, names and shapes.

    Args:
        model: `org/name`, `org/name@revision`, either with `hf-hub:` before it, or a name of the zoo.
        overrides: `key=value` for the keys of `PullSettings`.

    Returns:
        {model: folder}

    Raises:
        UserError: nothing to fetch, a model that can't be had, or a folder that is in the way.
    """
    settings = settings_from(PullSettings, overrides)
    if settings.all == (model is not None):
        raise UserError("pull takes one model (org/name, org/name@revision, a name of the zoo) or all=true")
    names = [model] if model is not None else list_models(pretrained=True)
    if not names:
        raise UserError("no model of the zoo has published weights yet")
    found = {}
    for name in names:
        folder = _checked(name, settings.cache_dir or None)
        if settings.out:
            folder = _copied(folder, Path(settings.out).expanduser() / (name if settings.all else ""))
        found[name] = folder
    return found


def _checked(name: str, cache_dir: str | None) -> Path:
    known = is_zoo_name(name)
    address = name if known or name.startswith("hf-hub:") else f"hf-hub:{name}"
    folder = resolve(address, cache_dir=cache_dir)
    verify_weights(folder / WEIGHTS, read_config(folder), sha256=find(name).sha256 if known else None)
    return folder


def _copied(folder: Path, target: Path) -> Path:
    """The artifact's files alone, by their own names, whole or not at all."""
    files = artifact_files(folder)
    if target.exists() and (not target.is_dir() or {path.name for path in target.iterdir()} - files.keys()):
        raise UserError(f"{target} holds other things; give a new folder for out=")
    target.parent.mkdir(parents=True, exist_ok=True)
    new = target.with_name(f".{target.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir()
    for name, path in files.items():
        shutil.copyfile(path, new / name)
    shutil.rmtree(target, ignore_errors=True)
    new.rename(target)
    return target
