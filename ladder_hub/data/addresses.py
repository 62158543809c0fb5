"""Where a stream's bytes come from: `pipe:COMMAND`, or an address that fsspec opens (https, s3, hf, file, ...).

A command is run, so a recipe alone can't ask for one: it takes consent in the environment. What is printed or
published of an address holds neither password nor token.
"""

import contextlib
import os
import re
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import IO, Any
from urllib.parse import urlsplit

from webdataset.shardlists import expand_urls

from ladder_hub.data.image_source import DataError
from ladder_hub.data.tar_members import LostError, Stream

CONSENT = "LADDER_HUB_ALLOW_PIPE"
"""Set to 1, it lets `pipe:` addresses run their commands."""
_REMOTE = re.compile(r"pipe:|[a-z][a-z0-9+.-]+://", re.IGNORECASE)
_PIPE = re.compile(r"pipe:\s*", re.IGNORECASE)
_SHARD_LIKE = re.compile(r"[\w.{}-]+\.(?:tar|tgz)\b[\w.]*")
_ENOUGH = 2**20
_LONGEST = 200


def is_address(spec: str) -> bool:
    """Whether it is read as a stream, not as a path."""
    return bool(_REMOTE.match(spec))


def expand(spec: str) -> list[str]:
    """The addresses that a brace pattern names, in its order.

    Raises:
        DataError: a brace without its partner; a `pipe:` without consent.
    """
    if _PIPE.match(spec) and os.environ.get(CONSENT) != "1":
        raise DataError(f"data.train={public(spec)} runs a command of your shell; set {CONSENT}=1 to allow that")
    try:
        return list(expand_urls(spec))
    except (ValueError, AssertionError) as error:
        told = f"{public(spec)} is not a brace pattern ({error})"
        raise DataError(f"{told}; write train-{{000000..000005}}.tar") from None


def public(address: str) -> str:
    """An address without what may be secret: user, password, query; of a command, the shard that it names."""
    if command := _PIPE.match(address):
        shards = _SHARD_LIKE.findall(address[command.end() :])
        return f"pipe:… {shards[-1]}" if shards else "pipe:…"
    try:
        parts = urlsplit(address)
    except ValueError:  # a bracket without its partner
        return f"{address.partition('://')[0]}://…"
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}"


def name(address: str) -> str:
    """The shard's own name, as it is published."""
    return PurePosixPath(public(address).removeprefix("pipe:… ")).name


@contextlib.contextmanager
def reading(address: str) -> Iterator[Stream]:
    """The bytes behind an address, from the first on.

    Raises:
        LostError: it can't be opened or broke off, or its command failed.
        DataError: fsspec doesn't know such addresses, or lacks a package for them.
    """
    with _piped(address) if _PIPE.match(address) else _opened(address) as stream:
        yield stream


@contextlib.contextmanager
def _opened(address: str) -> Iterator[Stream]:
    import fsspec  # here: aiohttp, s3fs and what else an address needs take a second to import

    try:
        with fsspec.open(address, mode="rb", compression="infer") as stream:
            yield _Told(stream)
    except (DataError, LostError):
        raise
    except (ImportError, ValueError, FileNotFoundError, PermissionError) as error:  # no other try would change it
        raise DataError(f"can't open {public(address)}: {_one_line(error)}") from None
    except Exception as error:  # each of fsspec's file systems has its own kinds
        raise LostError(_one_line(error)) from None


@contextlib.contextmanager
def _piped(address: str) -> Iterator[Stream]:
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(  # noqa: S602 - that is what `pipe:` means; `expand` asks for consent
            _PIPE.sub("", address, count=1),
            shell=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=said,
            start_new_session=True,  # or Ctrl-C would end it before the run has written its checkpoint
        )
        assert process.stdout is not None
        try:
            yield _Told(process.stdout)
            _drain(process.stdout)
            _check(process, said, wait=10)
        except DataError:  # what it did not send is its own failure
            _check(process, said, wait=1)
            raise
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.stdout.close()
            process.wait()


def _drain(stdout: IO[bytes]) -> None:
    """What tar pads a shard with: a command that can't write it would fail."""
    left = _ENOUGH
    while left > 0 and (part := stdout.read(min(left, 2**16))):
        left -= len(part)


def _check(process: "subprocess.Popen[bytes]", said: IO[bytes], *, wait: float) -> None:
    try:
        status = process.wait(timeout=wait)
    except subprocess.TimeoutExpired:
        return
    if status:
        said.seek(max(0, said.seek(0, os.SEEK_END) - 4096))
        lines = said.read().decode(errors="replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
        raise LostError(f"its command ended with status {status} ({last[:_LONGEST]})")


class _Told:
    """A stream that can't be sought, and whose failures are `LostError`s."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def seekable(self) -> bool:
        return False

    def read(self, size: int) -> bytes:
        try:
            return self._stream.read(size)
        except Exception as error:
            raise LostError(_one_line(error)) from None


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    # An address in a library's message may hold a token.
    text = re.sub(r"[a-z][a-z0-9+.-]+://\S+", lambda found: public(found[0]), text, flags=re.IGNORECASE)
    return f"{type(error).__name__}: {text[:_LONGEST]}" if text else type(error).__name__
