"""The lock of a run's folder: whoever asks, and however often its file is closed."""

import multiprocessing
import os
import signal
import threading
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from ladder_hub.errors import UserError
from ladder_hub.runtime.lock import sole_user


def refused(folder: Path) -> bool:
    try:
        with sole_user(folder):
            return False
    except UserError as error:
        return "in use by process" in str(error)


def test_threads_exclude_each_other_and_a_closed_handle_loses_nothing(tmp_path: Path) -> None:
    answers: list[bool] = []
    with sole_user(tmp_path):
        for _ in range(2):  # the first refusal closes a handle of its own
            (tmp_path / ".lock").read_text()
            thread = threading.Thread(target=lambda: answers.append(refused(tmp_path)))
            thread.start()
            thread.join()
        context = multiprocessing.get_context("spawn")
        with context.Pool(1) as pool:
            answers.append(pool.apply(refused, (tmp_path,)))
    assert answers == [True, True, True]
    assert not refused(tmp_path)


def _hold(folder: Path, ready: Connection) -> None:
    with sole_user(folder):
        if os.fork() == 0:
            ready.send(os.getpid())  # by the child: what runs in it after the fork has run
        signal.pause()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_forked_child_does_not_keep_the_lock_of_a_killed_parent(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe()
    holder = context.Process(target=_hold, args=(tmp_path, theirs))
    holder.start()
    child = mine.recv()
    try:
        assert refused(tmp_path)
        holder.kill()
        holder.join()
        assert not refused(tmp_path)
    finally:
        os.kill(child, signal.SIGKILL)
