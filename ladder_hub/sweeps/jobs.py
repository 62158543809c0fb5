"""A command of `ladder-hub`, and the child process that runs it."""

import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile

from ladder_hub.sweeps.places import last_words


@dataclass(frozen=True)
class Job:
    """A command to be run."""

    label: str
    words: tuple[str, ...]
    """After `ladder-hub`."""
    log: Path
    """Takes what it says, after what is there."""
    lane: Path
    """Jobs of one lane run one after the other: they write into one artifact."""
    cost: float = 1.0
    """How long it takes, beside the others of the same call."""
    take: Callable[[str], None] | None = None
    """Gets the standard output of one that ended well; None: that goes to the log."""


class Child:
    """A job that runs."""

    def __init__(self, job: Job, environment: dict[str, str]) -> None:
        self.job, self._begun = job, time.monotonic()
        job.log.parent.mkdir(parents=True, exist_ok=True)
        self._said = TemporaryFile()  # noqa: SIM115 - open as long as the child is
        with job.log.open("ab") as log:
            # In a session of its own: a Ctrl-C of the terminal reaches it once, through us.
            self.process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-m", "ladder_hub", *job.words],
                stdin=subprocess.DEVNULL,
                stdout=self._said if job.take else log,
                stderr=log,
                env=environment,
                start_new_session=True,
            )

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.monotonic() - self._begun

    def ended(self) -> str:
        """Nothing where all went well, else what went wrong."""
        status = self.process.returncode
        if status == 0:
            return self._taken()
        how = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
        words = last_words(self.job.log)
        return f"{self.job.label} {how}" + (f": {words}" if words else f"; see {self.job.log}")

    def _taken(self) -> str:
        if self.job.take is None:
            return ""
        self._said.seek(0)
        try:
            self.job.take(self._said.read().decode())
        except (ValueError, OSError) as error:
            return f"{self.job.label}: what it found was not kept: {error}"
        return ""

    def kill(self) -> None:
        """End it at once."""
        with suppress(OSError):
            self.process.kill()
        self.process.wait()
