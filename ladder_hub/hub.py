"""The door to huggingface_hub: fetch a model's folder into the shared cache.

Only named files are asked for, and never a pickle: a repository's `pytorch_model.bin` stays where it is.
"""

from pathlib import Path

from huggingface_hub import hf_hub_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from ladder_hub.documents import plain, shown
from ladder_hub.errors import UserError

_WELCOME = ("README.md", "recipe.toml", "provenance.json", "metrics.json", "ladder_heads.safetensors")


class HubError(UserError):
    """The Hub doesn't have it, doesn't give it, or can't be reached."""


def pull(repo_id: str, revision: str | None = None, cache_dir: str | Path | None = None) -> Path:
    """The folder of a model on the Hub, from the cache where it is complete.

    Args:
        repo_id: `org/name`.
        revision: Branch, tag or commit; None: the main branch.
        cache_dir: None: the cache of huggingface_hub (`HF_HOME`).

    Returns:
        A folder with config.json and model.safetensors, and card, recipe, provenance, metrics where there
        are any.

    Raises:
        HubError: no such repository, revision or file, no permission, or neither network nor cache.
    """
    where = plain(f"hf-hub:{repo_id}" + (f"@{revision}" if revision else ""))
    folder = _fetch(where, repo_id, "config.json", revision, cache_dir).parent
    # All else at the commit of the first file, so that one folder never mixes two revisions.
    commit = folder.name
    _fetch(where, repo_id, "model.safetensors", commit, cache_dir)
    for name in _WELCOME:
        try:
            hf_hub_download(repo_id, name, revision=commit, cache_dir=cache_dir)
        except LocalEntryNotFoundError:
            break  # No network: what the cache has is already in the folder.
        except EntryNotFoundError:
            continue
        except Exception:
            break  # The model itself is complete.
    return folder


def _fetch(where: str, repo_id: str, name: str, revision: str | None, cache_dir: str | Path | None) -> Path:
    try:
        return Path(hf_hub_download(repo_id, name, revision=revision, cache_dir=cache_dir))
    except HFValidationError:
        raise HubError(f"{where}: not a repository id; expected hf-hub:org/name or hf-hub:org/name@revision") from None
    except GatedRepoError:
        raise HubError(
            f"{where}: the repository asks for consent; give it on its page, then log in (HF_TOKEN)"
        ) from None
    except RepositoryNotFoundError:
        raise HubError(f"{where}: no such repository, or a private one that this login (HF_TOKEN) can't see") from None
    except RevisionNotFoundError:
        raise HubError(f"{where}: the repository has no branch, tag or commit {shown(revision)}") from None
    except LocalEntryNotFoundError:
        # A subclass of EntryNotFoundError, and another matter: the Hub was not reached at all.
        raise HubError(f"{where}: {name} is not in the cache and the Hub can't be reached; check the network") from None
    except EntryNotFoundError:
        hint = "; a pickle (.bin) is not taken" if name == "model.safetensors" else "; not a timm model"
        raise HubError(f"{where}: the repository has no {name}{hint}") from None
    except Exception as error:
        # huggingface_hub lets its HTTP client's own errors through; which client that is changes by version.
        reason = plain(str(error).strip().splitlines()[0]) if str(error).strip() else type(error).__name__
        raise HubError(f"{where}: {name} could not be fetched: {reason}") from None
