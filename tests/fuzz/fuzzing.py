"""What the fuzz tests share: bounded runs, the rule that every outcome must obey, and ways to spoil a document.

LADDER_HUB_FUZZ=20 makes twenty times as many examples as a normal run.
"""

import json
import os
import signal
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from ladder_hub.errors import RunError, UserError

FACTOR = int(os.environ.get("LADDER_HUB_FUZZ", "1"))
_SECONDS = 20
_LONGEST = 1500
TOTALS = {"cases": 0, "accepted": 0, "refused": 0}


class Hang(BaseException):
    """A call that takes longer than any of them may."""


def bounded(examples: int) -> settings:
    """The same examples in every run, and so many of them."""
    return settings(
        max_examples=examples * FACTOR,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


def make_odd(path: Path, kind: str) -> None:
    """Something in a file's place that is none, or nothing where `kind` is absent."""
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case "loop":
            path.symlink_to(path)
        case "device":
            path.symlink_to("/dev/zero")
        case "empty":
            path.write_bytes(b"")
        case "not UTF-8":
            path.write_bytes(b"\xff\xfe")
        case "huge":
            with path.open("wb") as file:
                file.truncate(2**31)  # sparse; a digest of it takes seconds
        case _:
            assert kind == "absent"


@dataclass
class Tally:
    """What became of a test's examples: it proves nothing if all of them were refused at the door."""

    accepted: int = 0
    refused: int = 0

    def run(self, call: Callable[[], Any], *names: object) -> Any:
        """The call's result, or None after a refusal: one printable line that names one of `names`."""
        TOTALS["cases"] += 1
        try:
            with at_most_seconds(_SECONDS):
                result = call()
        except (UserError, RunError) as error:
            self.refused += 1
            TOTALS["refused"] += 1
            check_message(str(error), *names)
            return None
        self.accepted += 1
        TOTALS["accepted"] += 1
        return result


def check_message(message: str, *names: object) -> None:
    assert message.isprintable(), f"breaks the line or commands the terminal: {message!r}"
    assert 0 < len(message) < _LONGEST, f"{len(message)} letters: {message[:200]!r}…"
    assert not names or any(str(name) in message for name in names), f"names nothing: {message!r}"


@contextmanager
def at_most_seconds(seconds: float) -> Iterator[None]:
    """A call that waits for ever (a pipe, a loop) is interrupted."""

    def ring(*_: Any) -> None:
        raise Hang(f"no end after {seconds} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def at_most_megabytes(megabytes: float) -> Iterator[None]:
    """Python and numpy may take so much memory inside, even for a moment."""
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < megabytes * 2**20, f"took {peak / 2**20:.0f} MB"


# -- documents --

Place = tuple[str | int, ...]
_MARK = "\u2603 here \u2603"

TEXTS = [
    "",
    " ",
    "a\nb",
    "\x1b[2J",
    "\x00",
    "../../x",
    "/etc/passwd",
    "os.system",
    "__class__",
    "{}",
    "%s",
    "日本",
    "x" * 5000,
]
JSON_VALUES = [
    *("null", "true", "false", "0", "-0", "-1", "1", "0.5", "1e400", "-1e400", "1e308", "NaN", "Infinity", "-Infinity"),
    *("2147483648", "9223372036854775808", "9" * 30, "9" * 5000, "[]", "{}", "[[]]", "[null]", '{"a": {"b": []}}'),
    *("[" * 5000 + "]" * 5000, '{"a":' * 2000 + "1" + "}" * 2000, "[" * 100 + "]" * 100, '{"a": 1, "a": 2}'),
    *('"\\ud800"', '"\\u0000"', '"hf-hub:org/name"', '"local-dir:/"', "[3, 64, 64]", "[-1, 0, 1e300]", '["a", null]'),
    *("os.system('x')", "", "1 2", "'a'", "[1e400]", "[0.5, 0.5, 0.5]", '{"__class__": "os.system"}'),
    *(json.dumps(text) for text in TEXTS),
]
TOML_VALUES = [
    *(
        "true",
        "0",
        "-0",
        "-1",
        "0.5",
        "1e400",
        "nan",
        "inf",
        "-inf",
        "9" * 30,
        "9" * 5000,
        "0x" + "f" * 5000,
        "[]",
        "{}",
    ),
    *("1979-05-27", "1979-05-27T07:32:00Z", "07:32:00", "[1979-05-27]", "9999-99-99", "0o9", "1__0", "[[[]]]"),
    *("[" * 5000 + "]" * 5000, "{a=" * 500 + "1" + "}" * 500, "[" * 50 + "]" * 50, '"\\ud800"', '"""a\nb"""'),
    *("'x'\nepochs = 3", "1\n[data]\ntrain = 'x'", "{a = 1, a = 2}", "[{stage='res2',loss='global'}]", "os.system"),
    *(json.dumps(text) for text in TEXTS),
]

json_values = st.one_of(
    st.sampled_from(JSON_VALUES),
    st.integers().map(str),
    st.floats().map(json.dumps),
    st.text(max_size=20).map(json.dumps),
)
toml_values = st.one_of(
    st.sampled_from(TOML_VALUES),
    st.integers().map(str),
    st.floats().map(repr),
    st.text(max_size=20).map(json.dumps),
)


def places(document: Any, above: Place = ()) -> list[Place]:
    """Every place in nested tables and lists, the document itself first."""
    parts = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    return [above, *(place for key, inner in parts for place in places(inner, (*above, key)))]


def spoilt(document: Any, place: Place, raw: str, *, dump: Callable[[Any], str] = json.dumps) -> str:
    """The document's text with `raw` in the place of a value."""
    return dump(replaced(document, place, _MARK)).replace(f'"{_MARK}"', raw).replace(json.dumps(_MARK), raw)


def replaced(document: Any, place: Place, value: Any) -> Any:
    if not place:
        return value
    first, *rest = place
    if isinstance(document, dict):
        return document | {first: replaced(document.get(first), tuple(rest), value)}
    return [replaced(part, tuple(rest), value) if number == first else part for number, part in enumerate(document)]


def without(document: Any, place: Place) -> Any:
    first, *rest = place
    if isinstance(document, dict):
        kept = {key: part for key, part in document.items() if rest or key != first}
        return kept | ({first: without(document[first], tuple(rest))} if rest else {})
    if not rest:
        return [part for number, part in enumerate(document) if number != first]
    return [without(part, tuple(rest)) if number == first else part for number, part in enumerate(document)]
