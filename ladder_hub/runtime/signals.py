"""SIGINT, SIGTERM and SIGUSR1 become a wish that the loop fulfils between two steps, with a checkpoint."""

import os
import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

from ladder_hub.errors import RunError

# USR1 is what Slurm sends ahead of the time limit (sbatch --signal=USR1@120).
_WATCHED = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name)]


class Interrupted(RunError):  # noqa: N818 - a request that was honoured, not an error
    """The run stopped because it was asked to; everything so far is in its checkpoint."""

    exit_status = 75
    """EX_TEMPFAIL of sysexits.h, "try again later": what a scheduler may take for "requeue me"."""


class StopSignals:
    """While open, a signal sets `received` to its name; a second Ctrl-C acts as usual.

    A second SIGTERM changes nothing: torchrun, systemd and Slurm repeat theirs while the checkpoint is written,
    and end what doesn't listen by SIGKILL anyway. So does Ctrl-C under torchrun, which passes it on once more.
    """

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
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def _note(self, number: int, _: FrameType | None) -> None:
        if self.received and number == signal.SIGINT and "TORCHELASTIC_RUN_ID" not in os.environ:
            raise KeyboardInterrupt
        self.received = self.received or signal.Signals(number).name
