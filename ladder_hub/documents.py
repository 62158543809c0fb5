"""Small text files that somebody else wrote: read whole, of bounded size and depth, or refused in one line.

Nothing that stands in such a file reaches a message unless it went through `shown`: a name may hold a line
break, a terminal's control sequence or a megabyte.
"""

import json
import math
import re
import stat
from pathlib import Path
from typing import Any

from ladder_hub.errors import UserError

TEXT_LIMIT = 2**20
"""Bytes; the largest document of ours, a card, has some ten thousand."""
_DEPTH = 64
_SHOWN = 120
# What breaks a line or commands a terminal, and the lone surrogates that no file can hold.
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def shown(value: Any) -> str:
    """`repr(value)`, cut to a length that a line can hold."""
    try:
        text = repr(value)
    except ValueError:  # Python writes out no integer of more than 4,300 digits
        text = "a number of thousands of digits"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def plain(text: str) -> str:
    """`text` as it is where that is harmless in a message, else as `shown`."""
    return text if text.isprintable() and len(text) <= _SHOWN else shown(text)


def has_controls(text: str) -> bool:
    """Whether `text` holds a line break, another control character or a lone surrogate."""
    return _CONTROLS.search(text) is not None


def without_controls(text: str) -> str:
    """`text` with a space for all that isn't printed: control characters, marks that turn the writing around."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def check_regular(path: Path, failure: type[UserError]) -> int:
    """The size of a regular file in bytes.

    Opening a named pipe would wait for ever, a device has no end.

    Raises:
        failure: nothing is there, it is another kind of thing, or it can't be looked at.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise failure(f"can't read {path}: {error.strerror}") from None
    except ValueError:
        raise failure(f"{shown(str(path))} is no path") from None
    if not stat.S_ISREG(status.st_mode):
        kind = "a folder" if stat.S_ISDIR(status.st_mode) else "a pipe or a device"
        raise failure(f"can't read {path}: it is {kind}, not a file")
    return status.st_size


def read_text(path: Path, failure: type[UserError]) -> str:
    """A UTF-8 file of at most a megabyte.

    Raises:
        failure: it can't be read, is no regular file, is too large or is not UTF-8.
    """
    size = check_regular(path, failure)
    if size > TEXT_LIMIT:
        raise failure(f"{path} has {size:,} bytes; at most {TEXT_LIMIT:,} are read of such a file")
    try:
        with path.open("rb") as file:
            return file.read(TEXT_LIMIT).decode("utf-8")
    except OSError as error:
        raise failure(f"can't read {path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise failure(f"{path} is not UTF-8 text: byte {error.start} is odd") from None


def read_json(path: Path, failure: type[UserError]) -> Any:
    """A JSON file as the standard has it: no NaN, no infinity, no name twice, numbers that a float can hold.

    Raises:
        failure: as `read_text`; or it is not JSON, or nested too deeply.
    """
    text = read_text(path, failure)
    try:
        value = parse_json(text)
    except ValueError as error:
        raise failure(f"{path} is not JSON: {error}") from None
    return value


def parse_json(text: str) -> Any:
    """Parse JSON strictly.

    Raises:
        ValueError: the message is one line.
    """
    try:
        value = json.loads(
            text,
            object_pairs_hook=_table,
            parse_constant=_no_constant,
            parse_float=_finite,
            parse_int=_integer,
        )
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if depth(value) > _DEPTH:
        raise ValueError("it is nested too deeply")
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValueError("half of a surrogate pair is no text") from None
    return value


def depth(value: Any) -> int:
    """How deep tables and lists lie in each other; 0 for a plain value. Without recursion."""
    level, row = 0, [value]
    while row := [part for part in row if isinstance(part, dict | list)]:
        level += 1
        row = [inner for part in row for inner in (part.values() if isinstance(part, dict) else part)]
    return level


def _table(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        raise ValueError("a name stands twice")
    return table


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{shown(text)} is beyond what a number can hold")
    return number


def _integer(text: str) -> int:
    # Beyond 64 bits nothing is counted here; and the time to read digits grows with their square.
    if len(text) > 20 or not -(2**63) <= int(text) < 2**63:
        raise ValueError(f"{shown(text)} is beyond what a number can hold")
    return int(text)
