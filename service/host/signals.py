"""The signals of a serving process, from its first moment on."""

from __future__ import annotations

import contextlib
import queue
import signal
import time

WAKE_S = 0.2


class Signals:
    """SIGTERM and SIGINT ask to end, SIGHUP to reload.

    Ray puts a handler of its own in the place of SIGTERM's when it starts, so `take` is called
    again after that.
    """

    def __init__(self) -> None:
        self._reloads: queue.SimpleQueue[None] = queue.SimpleQueue()
        self.stopped = False

    def take(self) -> None:
        """Has them come here. To be called in the main thread."""
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)
        signal.signal(signal.SIGHUP, self._reload)

    def has_reload(self) -> bool:
        """Whether a reload is asked for that `asks_for_reload` has not told yet."""
        return not self._reloads.empty()

    def asks_for_reload(self, wait_s: float) -> bool:
        """Whether to reload, within `wait_s`. Those that came together are one."""
        until_s = time.monotonic() + wait_s
        while not self.stopped and (left_s := until_s - time.monotonic()) > 0:
            try:
                # In short pieces: a signal does not wake what waits for a queue.
                self._reloads.get(timeout=min(left_s, WAKE_S))
            except queue.Empty:
                continue
            with contextlib.suppress(queue.Empty):
                while True:
                    self._reloads.get_nowait()
            return True
        return False

    def _stop(self, _number: int, _frame: object) -> None:
        self.stopped = True

    def _reload(self, _number: int, _frame: object) -> None:
        self._reloads.put(None)
