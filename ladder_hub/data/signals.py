"""Signals around loader workers: what is sent to the whole process group is the main process's to handle."""

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator

_TELLS_SENDER = hasattr(signal, "sigwaitinfo")  # Linux; elsewhere SIGTERM ends a worker as it always did


def leave_signals_to_main() -> None:
    """In a worker, at its start: Ctrl-C and a SIGTERM that the main process has not sent do nothing.

    SIGTERM must have been blocked by `termination_held` when the worker was started.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if _TELLS_SENDER and parent is not None:
        threading.Thread(target=_end_when_told, args=(parent.pid,), daemon=True).start()


def _end_when_told(parent: int) -> None:
    """Heed the main process's SIGTERM only.

    One for the whole group (systemd, scancel, timeout) is the main process's to handle: it still needs batches to
    finish its step. Ignoring all would make it wait for ever at its exit, which ends workers by SIGTERM.
    """
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent:
        pass
    os._exit(0)


@contextlib.contextmanager
def termination_held() -> Iterator[None]:
    """Workers inherit the blocked SIGTERM, from their first moment; here it is only late."""
    if not _TELLS_SENDER:
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def child_signal_kept() -> Iterator[None]:
    """Keep torch from raising a worker's death in whatever code happens to run: `next` finds it too."""
    before = signal.getsignal(signal.SIGCHLD) if hasattr(signal, "SIGCHLD") else None
    try:
        yield
    finally:
        if before is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGCHLD, before)
