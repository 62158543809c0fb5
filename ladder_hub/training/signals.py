"""SIGINT and SIGTERM become a wish that the loop fulfils between two steps, with a checkpoint."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

from ladder_hub.errors import RunError

_WATCHED = (signal.SIGINT, signal.SIGTERM)


class Interrupted(RunError):  # noqa: N818 - a request that was honoured, not an error
    """The run stopped because it was asked to; everything so far is in its checkpoint."""

    exit_status = 130


class StopSignals:
    """While open, the first SIGINT or SIGTERM sets `received` to its name; a second one acts as usual."""

    def __init__(self) -> None:
        self.received: str | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        # Python lets only the main thread set handlers; a run started from another one can't be asked to stop.
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in _WATCHED}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()

    def _note(self, number: int, _: FrameType | None) -> None:
        self.received = signal.Signals(number).name
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
