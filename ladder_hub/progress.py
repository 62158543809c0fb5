"""What a person sees while the run works: a live line in a terminal, a plain line a logging step elsewhere."""

import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

SECONDS_A_LINE = 30


class Display:
    """Progress of a run or of an evaluation, with time left; `console` is where it and all messages go."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(elapsed_when_finished=False),
        )
        # The figures have a line of their own: beside the bar they would push the time out of a narrow terminal.
        self._figures = Text(no_wrap=True, overflow="ellipsis")
        self._live = Live(Group(self._bar, self._figures), console=console, transient=True)

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def task(self, name: str, total: int, done: int = 0, *, lines: bool = True) -> "Task":
        """A new line of progress; in a log, with `lines`, a line every half minute."""
        say = self.say if lines and not self.console.is_terminal else None
        return Task(self._bar, name, total, done, say)

    def show(self, figures: str) -> None:
        """Replace the line of figures under the bars."""
        self._figures.plain = figures

    def left_out(self, bad: Sequence[tuple[str, str]]) -> None:
        """Name images (key, reason) that could not be decoded."""
        for key, reason in bad:
            self.say(f"skipped {key}: {reason}")

    def say(self, message: str) -> None:
        """A line that stays."""
        self.console.print(message, highlight=False, markup=False, soft_wrap=True)


class Task:
    """One line of progress."""

    def __init__(self, bar: Progress, name: str, total: int, done: int, say: Callable[[str], None] | None) -> None:
        self._bar, self._say = bar, say
        self._id = bar.add_task(name, total=total, completed=done)
        self._name, self._total, self._done = name, total, 0
        self._begun = self._said = time.monotonic()

    def advance(self, count: int = 1) -> None:
        """So many more units are done."""
        self._bar.advance(self._id, count)
        self._done += count
        now = time.monotonic()
        if self._say and now - self._said >= SECONDS_A_LINE:
            self._said = now
            left = (now - self._begun) * (self._total - self._done) / self._done
            self._say(f"{self._name}  {self._done}/{self._total}  left {clock(left)}")

    def describe(self, name: str) -> None:
        """Change the line's name."""
        self._bar.update(self._id, description=name)

    def close(self) -> None:
        """Take the line away."""
        self._bar.remove_task(self._id)


def step_state(record: dict[str, Any]) -> str:
    """What a logging step found: total and single losses, the lowest spread of any head where there are, speed."""
    losses = "  ".join(f"{name} {value:.3f}" for name, value in record["losses"].items())
    spread = f"  std {min(record['std'].values()):.2f}" if "std" in record else ""
    return f"loss {record['loss']:.3f}  {losses}{spread}  {record['samples_per_second']:6.1f} img/s"


def step_line(record: dict[str, Any], *, epochs: int, steps: int, seconds_left: float) -> str:
    """A logging step in one aligned line, for logs that nobody watches live."""
    place = f"epoch {record['epoch'] + 1:>3}/{epochs}  step {record['step']:>{len(str(steps))}}/{steps}"
    return f"{place}  {step_state(record)}  left {clock(seconds_left)}"


def clock(seconds: float) -> str:
    """1:02:03 or 2:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
