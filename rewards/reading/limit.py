"""A limit on the CPU time of a calculation in this process, kept without a signal.

Libraries that compare expressions or documents have inputs on which they do not end. What can be
told ahead is refused ahead (`bounds`); this is for the rest. CPU time counts, not the clock: a busy
machine changes no verdict.
"""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager

_POLL_S = 0.02


class Overrun(BaseException):
    """The calculation took more CPU time than it may. No `except Exception` stops it."""


@contextmanager
def cpu_limit(limit_s: float) -> Generator[None]:
    """Ends the block when its thread has used `limit_s` seconds of CPU time.

    It is interrupted between two instructions of the interpreter: one long operation in C is not.
    Works in every thread; its own thread lives no longer than the block.

    Raises:
        Overrun: the time is used up.
    """
    watch = _Watch(limit_s)
    watch.start()
    try:
        yield
    finally:
        while True:
            try:
                watch.end()
                break
            except Overrun:  # delivered on the way: the block had ended
                continue


class _Watch:
    def __init__(self, limit_s: float) -> None:
        self._target = threading.get_ident()
        self._clock = time.pthread_getcpuclockid(self._target)
        self._until_s = time.clock_gettime(self._clock) + limit_s
        self._lock, self._ended = threading.Lock(), threading.Event()
        self._has_raised = False
        """Whether an exception may still be on its way to the thread."""
        self._thread = threading.Thread(target=self._run, name="cpu limit", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        """To be called again where it raises an Overrun, as it may at each of its lines."""
        with self._lock:  # nothing more is raised from here on
            self._ended.set()
        if self._has_raised:
            self._receive()
        self._thread.join()

    def _receive(self) -> None:
        """Has what may be on its way arrive here, as an Overrun.

        To take it back would leave the interpreter (CPython 3.11) with the mark that there is one,
        for ever: each call of a function would look for it, and none that is traced would return.
        """
        self._has_raised = False
        _raise_in(self._target, Overrun)
        while True:
            pass

    def _run(self) -> None:
        wait_s = _POLL_S
        while not self._ended.wait(wait_s):
            with self._lock:
                if self._ended.is_set():
                    return
                left_s = self._until_s - time.clock_gettime(self._clock)
                if left_s <= 0:
                    self._has_raised = True
                    _raise_in(self._target, Overrun)
                    # Again soon: an exception that a destructor swallows is lost.
            wait_s = max(left_s, _POLL_S)


def _raise_in(thread: int, error: type[BaseException]) -> None:
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(error))
