"""Real processes for tests: forked from one that has imported torch and timm already, connected as torchrun would."""

import multiprocessing
import os
import socket
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["ladder_hub.training.run", "ladder_hub.cli"])

LIMIT = 240
"""Seconds after which a process counts as hanging: far more than any takes, so that load alone fails no test."""


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


def torchrun_variables(size: int) -> list[dict[str, str]]:
    port = str(free_port())
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": str(size)}
    return [{**meeting, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(size)]


def slurm_variables(size: int) -> list[dict[str, str]]:
    step = {"SLURM_STEP_NUM_TASKS": str(size), "SLURM_NTASKS": str(size), "SLURM_STEP_NODELIST": "localhost"}
    step |= {"SLURM_JOB_ID": str(free_port()), "SLURM_STEP_ID": "0"}
    return [{**step, "SLURM_PROCID": str(rank), "SLURM_LOCALID": str(rank)} for rank in range(size)]


class Processes:
    """`target(*arguments)` in several processes at once; `said` is what each wrote to standard error."""

    def __init__(
        self, target: Callable[..., Any], *arguments: Any, variables: Sequence[dict[str, str]], folder: Path
    ) -> None:
        self._errors = [folder / f"stderr-{free_port()}-{rank}.txt" for rank in range(len(variables))]
        self._connections, self.processes = [], []
        for own, errors in zip(variables, self._errors, strict=True):
            receiver, sender = CONTEXT.Pipe(duplex=False)
            process = CONTEXT.Process(target=_run, args=(sender, errors, own, target, arguments))
            process.start()
            sender.close()
            self.processes.append(process)
            self._connections.append(receiver)

    def results(self) -> list[Any]:
        """What each returned, None of one that failed; every process has ended."""
        found = []
        for connection in self._connections:
            try:
                found.append(connection.recv() if connection.poll(LIMIT) else None)
            except EOFError:
                found.append(None)
        for process in self.processes:
            process.join(LIMIT)
            if process.is_alive():
                process.kill()
                raise AssertionError(f"a process hangs: {self.said}")
        return found

    @property
    def statuses(self) -> list[int | None]:
        return [process.exitcode for process in self.processes]

    @property
    def said(self) -> list[str]:
        return [path.read_text() if path.exists() else "" for path in self._errors]


def _run(sender, errors: Path, variables: dict[str, str], target: Callable[..., Any], arguments: tuple) -> None:
    os.environ.update(variables)
    file = os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(file, 2)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
    try:
        sender.send(target(*arguments))
    except SystemExit:
        raise
    except BaseException:
        traceback.print_exc()
        sys.exit(99)


def command(*words: str) -> None:
    """The command line, in this process."""
    from ladder_hub import cli

    cli.main(words)
