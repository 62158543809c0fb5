"""A model's folder from the Hub, complete and sound, and from a second address where the Hub fails.

Corruption that keeps the size is noticed by nobody else: not by the Hub's client, whose cache keeps it for good, not by
safetensors, not by timm. Here every file is compared with its digest, on each use, and fetched afresh once.
"""

import contextlib
import hashlib
from pathlib import Path

from ladder_hub.config import WEIGHTS, read_config
from ladder_hub.documents import plain
from ladder_hub.errors import UserError
from ladder_hub.hub import AbsentError, HubError, fetch, known_absent, one_at_a_time
from ladder_hub.mirror import from_mirror, kept

COMPANIONS = ("README.md", "recipe.toml", "provenance.json", "metrics.json", "curves.png", "ladder_heads.safetensors")
"""What an artifact holds beside its config and weights; others' models have some of it, or nothing."""


def pull(
    repo_id: str,
    revision: str | None = None,
    cache_dir: str | Path | None = None,
    *,
    sha256: str = "",
    beside: Path | None = None,
) -> Path:
    """The folder of a model on the Hub, from the cache where it is complete.

    Only named files are asked for, and never a pickle: a repository's `pytorch_model.bin` stays where it is.

    Args:
        repo_id: `org/name`.
        revision: Branch, tag or commit; None: the main branch.
        cache_dir: None: the cache of huggingface_hub (`HF_HOME`).
        sha256: Of model.safetensors, where our registry knows it; else what the model's own config says counts.
        beside: A folder with its config and card, for weights that come from the mirror (`LADDER_HUB_MIRROR`).

    Returns:
        A folder with config.json and model.safetensors, and card, recipe, provenance, metrics where there are any.

    Raises:
        HubError: no such repository, revision or file, no permission, neither network nor cache, or files that stay
            damaged after a fresh download.
    """
    if sha256 and (folder := kept(sha256, cache_dir)):
        return folder
    try:
        folder = _sound(repo_id, "config.json", revision, cache_dir).parent
    except AbsentError as error:
        raise HubError(f"{error}; not a timm model") from None
    except HubError as error:
        return from_mirror(error, sha256, beside, cache_dir)
    published = sha256 or _digest_in(folder)
    # All else at the commit of the first file, so that one folder never mixes two revisions.
    commit = folder.name
    try:
        _sound(repo_id, WEIGHTS, commit, cache_dir, sha256=published)
    except AbsentError as error:
        raise HubError(f"{error}; a pickle (.bin) is not taken") from None
    except HubError as error:
        return from_mirror(error, published, beside or folder, cache_dir)
    for name in COMPANIONS:
        if known_absent(repo_id, name, commit, cache_dir):
            continue
        try:
            _sound(repo_id, name, commit, cache_dir)
        except AbsentError:
            continue
        except HubError:
            break  # no network, say: the model itself is complete
    return folder


def _digest_in(folder: Path) -> str:
    with contextlib.suppress(UserError):  # what is wrong with it is told by who loads it
        return str(read_config(folder)["ladder_hub"].get("sha256", ""))
    return ""


def _sound(repo_id: str, name: str, revision: str | None, cache_dir: str | Path | None, sha256: str = "") -> Path:
    """One file, fetched afresh once where it is not what it should be."""
    path = fetch(repo_id, name, revision, cache_dir)
    if not _damage(path, sha256):
        return path
    lock = f"{repo_id.replace('/', '--')}--{path.parent.name}--{name}"
    try:
        with one_at_a_time(cache_dir, lock):
            damage = _damage(path, sha256)
            if damage:  # else another process has repaired it meanwhile
                damage = f"{plain(f'hf-hub:{repo_id}')}: {name} {damage}"
                _repair(damage, repo_id, name, path, cache_dir, sha256)
    except OSError as error:  # a cache that is shared and not ours to write
        raise HubError(
            f"{path} {_damage(path, sha256)}; it can't be fetched again into this cache ({error.strerror or error}): "
            "remove it there, or name another cache (HF_HOME)"
        ) from None
    return path


def _repair(damage: str, repo_id: str, name: str, path: Path, cache_dir: str | Path | None, sha256: str) -> None:
    try:
        fetch(repo_id, name, path.parent.name, cache_dir, again=True)
    except HubError as error:
        raise HubError(f"{damage}; it can't be fetched again: {error}") from None
    if _damage(path, sha256):
        # Whoever else reads this cache would not notice.
        path.resolve().unlink(missing_ok=True)
        path.unlink(missing_ok=True)
        raise HubError(f"{damage}, nor is it after a fresh download; it is refused and removed from the cache")


def _damage(path: Path, sha256: str) -> str:
    """How a cached file differs from what was published; empty where it doesn't.

    The cache names content by the Hub's digest of it: sha256 of large files, git's of small ones.
    """
    if not path.is_file():
        return "is not in the cache any more"
    expected = {name for name in (path.resolve().name, sha256) if len(name) in (40, 64)}
    for digest in sorted(expected):
        found = sha256_of(path) if len(digest) == 64 else git_digest(path)
        if found != digest:
            kind = "sha256 " if len(digest) == 64 else ""
            return f"is not what was published ({kind}{found[:16]}…, published {plain(digest[:16])}…)"
    return ""


def sha256_of(path: Path) -> str:
    """Of a file's bytes, as hex; `weights.file_sha256` without torch."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def git_digest(path: Path) -> str:
    """Git's name of a file's content: not a defence against anybody, but enough to see damage."""
    data = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
