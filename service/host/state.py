"""What a serving process tells of itself: a small file, by which `rewardplane reload` finds it.

The signal only triggers, the file tells.
"""

from __future__ import annotations

import json
import os
import signal
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

RELOAD_S = 400.0


class NotServing(Exception):
    """No `rewardplane serve` is known for the port."""


@dataclass(slots=True)
class State:
    """What a serving process tells: its pid, its file, and its last reload."""

    pid: int
    config: str
    reloads: int = 0
    is_reloading: bool = False
    waits_for: str = ""
    changed: tuple[str, ...] = ()
    fault: str = ""

    @staticmethod
    def path(port: int) -> Path:
        """Where the process that serves on `port` tells it."""
        return Path(tempfile.gettempdir()) / f"rewardplane-{os.getuid()}" / f"{port}.json"

    def write(self, port: int) -> None:
        """Tells it, all at once."""
        path = self.path(port)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        draft = path.with_suffix(f".{os.getpid()}")
        draft.write_text(json.dumps(asdict(self)))
        draft.replace(path)

    @classmethod
    def read(cls, port: int) -> State:
        """What the process on `port` tells.

        Raises:
            NotServing: there is none, or it is gone.
        """
        try:
            state = cls(**json.loads(cls.path(port).read_text()))
        except (OSError, ValueError, TypeError):
            raise NotServing(f"no `rewardplane serve` is known for port {port}") from None
        if not psutil.pid_exists(state.pid):
            raise NotServing(f"`rewardplane serve` for port {port} (pid {state.pid}) is gone")
        return state


def reload(port: int, tell: Callable[[str], None]) -> State:
    """Asks the process on `port` to reload its file; returns what it tells of it.

    `tell` is called with what the reload waits for.

    Raises:
        NotServing: there is no such process, or it did not answer.
    """
    before = State.read(port)
    os.kill(before.pid, signal.SIGHUP)
    deadline_s = time.monotonic() + RELOAD_S
    waits_for = ""
    while time.monotonic() < deadline_s:
        after = State.read(port)
        if after.reloads > before.reloads and not after.is_reloading:
            return after
        if after.waits_for not in ("", waits_for):
            waits_for = after.waits_for
            tell(waits_for)
        time.sleep(0.1)
    raise NotServing(f"pid {before.pid} did not reload within {RELOAD_S:g} s; see its log")
