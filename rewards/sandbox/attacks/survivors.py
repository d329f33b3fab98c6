"""The processes below this one: what an attack leaves running is found among them."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import time
from collections.abc import Collection
from pathlib import Path

_PATIENCE_S = 1.0
_PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans() -> None:
    """From now on what loses its parent below this process becomes its child, not that of pid 1.

    A daemon of an attack is found so, whatever it calls itself. Holds for the process's life.
    """
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def descendants(*roots: int) -> set[int]:
    """All live processes below some, or below this one; the ended ones do not count."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if fields[0] not in "ZX":
                children.setdefault(int(fields[1]), []).append(int(folder.name))
    found: set[int] = set()
    below = list(roots) or [os.getpid()]
    while below:
        more = children.get(below.pop(), [])
        found.update(more)
        below.extend(more)
    return found


def survivors(before: Collection[int]) -> set[int]:
    """What is there beyond the processes of `before`; what is about to end is waited for, 1 s.

    A slot that was recycled has new processes for the old: they are counted, not compared. They
    are ended, so that the next count is not theirs.
    """
    end_s = time.monotonic() + _PATIENCE_S
    while len(now := descendants()) > len(before):
        if time.monotonic() > end_s:
            extra = now - set(before)
            for pid in extra:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            return extra
        time.sleep(0.01)
    return set()
