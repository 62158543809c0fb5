"""The door to huggingface_hub: where it looks, one file of a repository, and its failures in one line each.

The token goes where huggingface_hub sends it, to the endpoint alone; nothing here touches it but to keep it out of
messages. Files are asked for by name and never by a list from outside, so none can lie elsewhere than in the cache.
"""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

from huggingface_hub import _CACHED_NO_EXIST, constants, get_token, hf_hub_download, try_to_load_from_cache
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import WeakFileLock

from ladder_hub.documents import plain, shown, without_controls
from ladder_hub.errors import UserError

_REASON = 300  # letters of what the Hub says
_BUSY = (500, 502, 503, 504)
_REFUSALS = {
    401: "it does not know this login; check HF_TOKEN",
    403: "this login (HF_TOKEN) may not do that",
    412: "somebody else has pushed meanwhile; look at what, and push again",
}


class HubError(UserError):
    """The Hub doesn't have it, doesn't give it, or can't be reached."""


class AbsentError(HubError):
    """The repository is there, the file is not."""


def cache_folder(cache_dir: str | Path | None) -> Path:
    """Where downloads go: `cache_dir`, else the cache of huggingface_hub (`HF_HOME`)."""
    return Path(constants.HF_HUB_CACHE if cache_dir is None else cache_dir).expanduser()


def endpoint() -> str:
    """The Hub's address as it may be shown (`HF_ENDPOINT` may hold a password)."""
    return without_secrets(constants.ENDPOINT)


def _status(error: BaseException) -> int:
    """The status of an answer of the Hub; 0: it is no answer of the Hub."""
    return error.response.status_code if isinstance(error, HfHubHTTPError) else 0


def without_secrets(text: str) -> str:
    """`text` without the token, without names and passwords in addresses, and without their queries (signatures)."""
    if token := get_token():
        text = text.replace(token, "…")
    text = re.sub(r"hf_\w{8,}", "hf_…", text)
    return re.sub(r"(https?://)(?:[^/@\s]*@)?([^\s?]*)(?:\?\S*)?", r"\1\2", text)


def fetch(
    repo_id: str, name: str, revision: str | None, cache_dir: str | Path | None = None, *, again: bool = False
) -> Path:
    """One file of a repository, in the cache's folder of its commit.

    Args:
        repo_id: `org/name`.
        name: One of the names that an artifact has.
        revision: Branch, tag or commit; None: the main branch.
        cache_dir: As in `cache_folder`.
        again: Whatever is cached: download it anew.

    Raises:
        AbsentError: the repository has no such file.
        HubError: anything else; the message says what was tried.
    """
    where = plain(f"hf-hub:{repo_id}" + (f"@{revision}" if revision else ""))
    with asking(f"{where}: {name}", where, revision, cache_dir):
        try:
            return Path(_download(repo_id, name, revision, cache_dir, again))
        except HfHubHTTPError as error:
            # The client repeats its questions where the Hub is busy for a moment, but not the download itself.
            if _status(error) not in _BUSY:
                raise
            return Path(_download(repo_id, name, revision, cache_dir, again))


def known_absent(repo_id: str, name: str, commit: str, cache_dir: str | Path | None = None) -> bool:
    """Whether the Hub once said that a commit has no such file: commits don't change, it need not be asked again."""
    found = try_to_load_from_cache(repo_id, name, cache_dir, revision=commit)
    return found is _CACHED_NO_EXIST


def _download(repo_id: str, name: str, revision: str | None, cache_dir: str | Path | None, again: bool) -> str:
    return hf_hub_download(repo_id, name, revision=revision, cache_dir=cache_dir, force_download=again)


@contextlib.contextmanager
def asking(what: str, where: str, revision: str | None = None, cache_dir: str | Path | None = None) -> Iterator[None]:
    """What huggingface_hub raises inside becomes a `HubError`: one line, and nothing secret in it.

    Args:
        what: What was asked for, to begin a message with: `hf-hub:org/name: config.json`.
        where: The repository alone: `hf-hub:org/name`.
        revision: As asked for.
        cache_dir: Where a download looks first.
    """
    try:
        yield
    except HFValidationError:
        raise HubError(f"{where}: not a repository id; expected hf-hub:org/name or hf-hub:org/name@revision") from None
    except GatedRepoError:
        text = "the repository asks for consent; give it on its page, then log in (HF_TOKEN)"
        raise HubError(f"{where}: {text}") from None
    except RepositoryNotFoundError:
        raise HubError(f"{where}: no such repository, or a private one that this login (HF_TOKEN) can't see") from None
    except RevisionNotFoundError:
        raise HubError(f"{where}: the repository has no branch, tag or commit {shown(revision)}") from None
    except LocalEntryNotFoundError as error:
        # A subclass of EntryNotFoundError, and another matter: the Hub was not reached at all.
        tried = f"not in the cache {cache_folder(cache_dir)}, nor from {endpoint()} ({_cause(error)})"
        raise HubError(f"{what}: {tried}") from None
    except EntryNotFoundError:
        raise AbsentError(f"{what} is not in the repository") from None
    except HubError:
        raise
    except Exception as error:
        # huggingface_hub lets its HTTP client's own errors through; which client that is changes by version.
        raise HubError(f"{what}: {endpoint()} failed: {_cause(error)}") from None


def _cause(error: Exception) -> str:
    """Why, in a few words: what lies below huggingface_hub's own words, which speak of causes in general."""
    below = error.__cause__ if isinstance(error, LocalEntryNotFoundError | ValueError) else None
    cause = below or error
    if isinstance(cause, OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE is set: no network is used"
    status = _status(cause)
    if status in _REFUSALS:
        return _REFUSALS[status]
    text = str(cause).strip()
    line = without_secrets(text.splitlines()[0]) if text else type(cause).__name__
    return without_controls(line)[:_REASON]


def is_offline() -> bool:
    """Whether the user forbids the network (`HF_HUB_OFFLINE=1`)."""
    return bool(constants.HF_HUB_OFFLINE)


@contextlib.contextmanager
def one_at_a_time(cache_dir: str | Path | None, name: str) -> Iterator[None]:
    """Of all processes that share the cache, one at a time does what `name` stands for; the others wait."""
    folder = cache_folder(cache_dir) / ".locks" / "ladder-hub"
    folder.mkdir(parents=True, exist_ok=True)
    with WeakFileLock(folder / f"{name}.lock"):
        yield
