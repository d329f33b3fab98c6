"""How long a process has computed, and how long it has waited for a CPU, by the kernel's count."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

_MAX_THREADS = 64


class ProcessClock:
    """The clocks of one process. A process that has ended has clocks that stand at 0."""

    def __init__(self, pid: int) -> None:
        """Reads nothing but where the kernel keeps the waiting time of its main thread."""
        self._pid = pid
        self._file = -1
        with contextlib.suppress(OSError):  # a kernel without CONFIG_SCHED_INFO, as gVisor's
            self._file = os.open(f"/proc/{pid}/schedstat", os.O_RDONLY | os.O_CLOEXEC)
        self._waited_before_us = self._main_waited_us()

    def cpu_us(self) -> int:
        """CPU time of all its threads, by the process's clock (man 3 clock_getcpuclockid)."""
        try:
            return time.clock_gettime_ns((~self._pid << 3) | 2) // 1000
        except OSError:
            return 0

    def restart(self) -> None:
        """Counts `waited_us` from now on."""
        self._waited_before_us = self._main_waited_us()

    def waited_us(self, wall_us: int) -> int:
        """How long, of the last `wall_us`, it was ready to compute and had no CPU.

        Source: Documentation/scheduler/sched-stats.rst. Of several threads the one that waited
        longest counts. Where the kernel does not count, a process that is ready now is taken to
        have been ready whenever it did not compute.
        """
        if self._file < 0:
            return max(0, wall_us - self.cpu_us()) if self._is_ready() else 0
        waited_us = self._main_waited_us() - self._waited_before_us
        others_us = max(self._others_waited_us(), default=0)
        return min(wall_us, max(waited_us, others_us))

    def close(self) -> None:
        """Lets go of the kernel's file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _main_waited_us(self) -> int:
        if self._file < 0:
            return 0
        try:
            return _second_number(os.pread(self._file, 100, 0)) // 1000
        except OSError:  # it has just ended
            return 0

    def _others_waited_us(self) -> Iterator[int]:
        tasks = Path(f"/proc/{self._pid}/task")
        with contextlib.suppress(OSError):
            for task in list(tasks.iterdir())[:_MAX_THREADS]:
                if task.name != str(self._pid):
                    yield _second_number((task / "schedstat").read_bytes()) // 1000

    def _is_ready(self) -> bool:
        try:
            return Path(f"/proc/{self._pid}/stat").read_text().rpartition(")")[2].split()[0] == "R"
        except OSError:
            return False


def _second_number(line: bytes) -> int:
    """Of `cpu_ns waiting_ns slices`."""
    parts = line.split()
    return int(parts[1]) if len(parts) > 1 else 0
