"""A second address for weights, `LADDER_HUB_MIRROR`: a folder, or an http address such as a release's.

It holds files named by their content, `<sha256>.safetensors`, and is believed only as far as that: what comes with
another digest is thrown away. No login is ever sent there.
"""

import contextlib
import hashlib
import os
import shutil
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from ladder_hub.config import WEIGHTS
from ladder_hub.documents import without_controls
from ladder_hub.hub import HubError, cache_folder, is_offline, one_at_a_time, without_secrets

_TIMEOUT = 30  # seconds without a byte
_CHUNK = 2**20


def kept(sha256: str, cache_dir: str | Path | None) -> Path | None:
    """The folder of weights that once came from the mirror, if they are still what they were."""
    folder = _place(sha256, cache_dir)
    path = folder / WEIGHTS
    if not path.is_file():
        return None
    with path.open("rb") as file:
        return folder if hashlib.file_digest(file, "sha256").hexdigest() == sha256 else None


def from_mirror(failure: HubError, sha256: str, beside: Path | None, cache_dir: str | Path | None) -> Path:
    """The folder of a model whose weights the Hub did not give.

    Args:
        failure: What the Hub said; raised where there is no mirror.
        sha256: Of model.safetensors; empty: nothing is known to check the mirror by, and it is not asked.
        beside: The folder with the model's config and card, which are copied.
        cache_dir: As in `cache_folder`.

    Raises:
        HubError: `failure`, with what the mirror said.
    """
    address = os.environ.get("LADDER_HUB_MIRROR", "")
    if not address:
        raise failure
    if len(sha256) != 64 or beside is None or not (beside / "config.json").is_file():
        raise HubError(f"{failure}; the mirror was not asked: no digest is known to check it by") from None
    with one_at_a_time(cache_dir, sha256):
        if folder := kept(sha256, cache_dir):
            return folder
        try:
            return _fetched(address, sha256, beside, _place(sha256, cache_dir))
        except (OSError, ValueError) as error:
            reason = without_controls(without_secrets(str(error)))[:200]
    raise HubError(f"{failure}; nor from the mirror {without_secrets(address)} ({reason})")


def _place(sha256: str, cache_dir: str | Path | None) -> Path:
    return cache_folder(cache_dir) / ".ladder-hub" / sha256


def _fetched(address: str, sha256: str, beside: Path, place: Path) -> Path:
    """A folder that appears whole or not at all."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.parent) as name:
        new = Path(name) / "new"
        new.mkdir()
        digest = hashlib.sha256()
        with _opened(address, f"{sha256}.safetensors") as source, (new / WEIGHTS).open("wb") as target:
            while chunk := source.read(_CHUNK):
                digest.update(chunk)
                target.write(chunk)
        if digest.hexdigest() != sha256:
            raise ValueError(f"other content there: sha256 {digest.hexdigest()[:16]}…, published {sha256[:16]}…")
        for path in beside.iterdir():
            if path.is_file() and path.suffix in (".json", ".md", ".toml"):
                shutil.copyfile(path, new / path.name)
        shutil.rmtree(place, ignore_errors=True)  # what was kept there is damaged
        new.rename(place)
    return place


@contextlib.contextmanager
def _opened(address: str, name: str) -> Iterator[BinaryIO]:
    if not address.startswith(("http://", "https://")):
        with (Path(address).expanduser() / name).open("rb") as file:
            yield file
        return
    if is_offline():
        raise ValueError("HF_HUB_OFFLINE is set: no network is used")
    with urllib.request.urlopen(f"{address.rstrip('/')}/{name}", timeout=_TIMEOUT) as answer:  # noqa: S310
        yield answer
