"""How many threads a uid has that is not a slot's own, so that a run can be held to some more.

RLIMIT_NPROC counts all threads of a uid on the host, also those in other pods, which /proc does not
show. A limit that is too low would fail code for what runs beside it: better one that is too high.
"""

from __future__ import annotations

import _thread
import os
import resource
import time
from pathlib import Path

_SLACK = 256
"""How far the count may be off."""
_RECOUNT_S = 5.0
_MOST = 1 << 20


class Headcount:
    """Counts anew from time to time; in between, by how many threads the host has."""

    def __init__(self) -> None:
        """Counts. Raises OSError where it cannot fork."""
        self._count()

    def limit(self, threads: int) -> int:
        """The RLIMIT_NPROC of a child that may have so many threads, and up to 256 more."""
        if time.monotonic() - self._counted_s > _RECOUNT_S:
            self._count()
        grown = max(0, _threads_of_host() - self._host)
        return self._own + grown + _SLACK + threads

    def _count(self) -> None:
        self._counted_s = time.monotonic()
        self._host = _threads_of_host()
        told, tells = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.write(tells, _least_limit().to_bytes(8, "little"))
            os._exit(0)
        os.close(tells)
        self._own = int.from_bytes(os.read(told, 8), "little")
        os.close(told)
        os.waitpid(pid, 0)


def _least_limit() -> int:
    """The lowest limit under which this process can start a thread: the kernel's own count."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NPROC)
    low, high = 0, _MOST if hard == resource.RLIM_INFINITY else min(hard, _MOST)
    while low < high:
        middle = (low + high) // 2
        resource.setrlimit(resource.RLIMIT_NPROC, (middle, hard))
        try:
            _thread.start_new_thread(int, ())
        except RuntimeError:
            low = middle + 1
        else:
            high = middle
    return low


def _threads_of_host() -> int:
    """Of all pods: the fourth field of /proc/loadavg is not bound to a namespace."""
    return int(Path("/proc/loadavg").read_text().split()[3].partition("/")[2])
