"""Where a model's files lie: a folder, the cache of the Hub, or beside its card in the zoo.

Whatever the name, the answer is a folder with config.json and model.safetensors, and what loads it is the same.
"""

import os
from pathlib import Path

from ladder_hub.config import WEIGHTS
from ladder_hub.documents import plain
from ladder_hub.registry import Entry, ModelError, find, is_name, list_models

_PICKLES = {".pth", ".pt", ".bin", ".pkl", ".pickle", ".ckpt", ".tar"}


def resolve(name: str | os.PathLike[str], *, cache_dir: str | Path | None = None) -> Path:
    """The folder with the config.json and model.safetensors of any source that `create_model` takes.

    Training's `init=`, evaluation and export find their files through this. What comes from the Hub has its published
    digest; the tensors are verified by who loads them.

    Raises:
        ModelError: no such model, no published weights, no folder there, or no safetensors in it.
        HubError: the repository or the network fails, or what came is not what was published.
    """
    text = os.fspath(name)
    if text.startswith("hf-hub:"):
        from ladder_hub.pull import pull

        repository, _, revision = text.removeprefix("hf-hub:").partition("@")
        return pull(repository, revision or None, cache_dir)
    if is_zoo_name(name):
        return _of_the_zoo(find(text), cache_dir)
    try:
        return _folder(Path(text.removeprefix("local-dir:")).expanduser())
    except RuntimeError:
        raise ModelError(f"{plain(text)}: the home folder is not known; write the path out") from None
    except (OSError, ValueError) as error:  # a name too long, a folder that may not be entered, a zero byte
        reason = getattr(error, "strerror", None) or "it is no path"
        raise ModelError(f"can't read {plain(text)}: {reason}") from None


def is_zoo_name(name: str | os.PathLike[str]) -> bool:
    """Whether `create_model` takes `name` for one of the zoo's; a `Path` never is one."""
    if isinstance(name, os.PathLike):
        return False
    if is_name(name):
        return True
    return not any(mark in name for mark in "/\\:") and not os.path.lexists(name)


def _of_the_zoo(entry: Entry, cache_dir: str | Path | None) -> Path:
    if entry.is_shipped:
        return entry.folder
    if not entry.published:
        raise ModelError(_nothing_published(entry))
    from ladder_hub.pull import pull

    return pull(entry.repository, entry.revision, cache_dir, sha256=entry.sha256, beside=entry.folder)


def _folder(path: Path) -> Path:
    if path.suffix in _PICKLES and not path.is_dir():
        raise ModelError(f"{path}: a pickle file; no pickle is trusted, a model is a folder with {WEIGHTS}")
    if path.name == WEIGHTS:
        path = path.parent
    if (path / "artifact").is_dir():
        path = path / "artifact"
    if not path.is_dir():
        raise ModelError(f"no folder {path}; a model on the Hub is written hf-hub:org/name")
    if not (path / WEIGHTS).is_file():
        pickles = sorted(file.name for file in path.iterdir() if file.suffix in _PICKLES)
        reason = f"only {pickles[0]}, and no pickle is trusted" if pickles else "so it is no model's folder"
        raise ModelError(f"{path}: no {WEIGHTS} there, {reason}")
    return path


def _nothing_published(entry: Entry) -> str:
    there = list_models(pretrained=True)
    others = f"published are {', '.join(there)}" if there else "no model of the zoo has published weights yet"
    return f"{entry.name}: no weights are published ({others}); train it: {entry.command}"
