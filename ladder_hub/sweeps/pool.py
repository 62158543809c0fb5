"""Commands of `ladder-hub` as child processes, several at once: one that fails takes no other with it."""

import os
import time
from collections.abc import Sequence

import torch

from ladder_hub.progress import Display, clock
from ladder_hub.runtime.signals import Interrupted, StopSignals
from ladder_hub.sweeps.jobs import Child, Job

_LOOK = 0.1  # seconds between two looks at the children


class Pool:
    """Runs jobs, `at_once` at a time, and tells how they go."""

    def __init__(self, at_once: int, display: Display, stop: StopSignals) -> None:
        self._at_once, self._display, self._stop = at_once, display, stop
        self._devices = _cuda_devices() if at_once > 1 else []

    def run(self, jobs: Sequence[Job], what: str) -> list[str]:
        """Run all of them.

        Args:
            jobs: In the order in which they start.
            what: Their kind, for the line of progress.

        Returns:
            A line for each that failed.

        Raises:
            Interrupted: a signal came; the children were asked to stop, and have.
        """
        if not jobs:
            return []
        waiting, running, failures = list(jobs), dict[int, Child](), list[str]()
        pace = _Pace(jobs, self._at_once)
        task = self._display.task(what, len(jobs), lines=False)
        try:
            while waiting or running:
                if self._stop.received:
                    self._end(list(running.values()))
                    raise Interrupted(
                        f"stopped by {self._stop.received}: {pace.done} of {len(jobs)} {what} done; those that ran "
                        "have left checkpoints, and the same command goes on"
                    )
                self._start(waiting, running)
                time.sleep(_LOOK)
                for slot, child in list(running.items()):
                    if child.process.poll() is not None:
                        del running[slot]
                        failure = child.ended()
                        failures += [failure] if failure else []
                        spent = sum(other.seconds for other in running.values())
                        self._display.say(pace.line(child.job, child.seconds, failure, spent=spent))
                        task.advance()
        finally:
            for child in running.values():  # a second Ctrl-C, or a failure of our own
                child.kill()
            task.close()
        return failures

    def _start(self, waiting: list[Job], running: dict[int, Child]) -> None:
        for slot in set(range(self._at_once)) - running.keys():
            busy = {child.job.lane for child in running.values()}
            job = next((job for job in waiting if job.lane not in busy), None)
            if job is None:
                return
            waiting.remove(job)
            running[slot] = Child(job, self._environment(slot))
            self._display.say(f"{job.label} runs, its log is {job.log}")

    def _environment(self, slot: int) -> dict[str, str]:
        """Threads and devices shared out, but for what the user has set."""
        threads = max(1, (os.cpu_count() or 1) // self._at_once)
        own = {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(threads))}
        if len(self._devices) > 1:
            own["CUDA_VISIBLE_DEVICES"] = self._devices[slot % len(self._devices)]
        return {**os.environ, **own}

    def _end(self, children: Sequence[Child]) -> None:
        for child in children:
            child.process.terminate()
        if children:
            self._display.say(f"{self._stop.received}: {len(children)} running are told to stop after this step")
        for child in children:
            child.process.wait()


class _Pace:
    """How much is done and how long the rest takes, from what the finished ones took."""

    def __init__(self, jobs: Sequence[Job], at_once: int) -> None:
        self.done, self._of, self._at_once = 0, len(jobs), at_once
        self._left, self._paid, self._seconds = sum(job.cost for job in jobs), 0.0, 0.0

    def line(self, job: Job, seconds: float, failure: str, *, spent: float = 0.0) -> str:
        """What is told of a job that ended; `spent`: seconds that those still running have had."""
        self.done += 1
        self._left -= job.cost
        if not failure:
            self._paid, self._seconds = self._paid + job.cost, self._seconds + seconds
        left = ""
        if self._paid and self.done < self._of:
            rest = max(0.0, self._seconds / self._paid * self._left - spent)
            left = f", left {clock(rest / min(self._at_once, self._of - self.done))}"
        return f"{failure or f'{job.label} took {clock(seconds)}'}  ({self.done} of {self._of}{left})"


def _cuda_devices() -> list[str]:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [name for name in visible.split(",") if name]
    return [str(number) for number in range(torch.cuda.device_count())]
