"""What a serving process tells of itself: a small file, by which `rewardplane reload` finds it.

The signal only triggers, the file tells.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil
from rewardplane.replica.own_folder import own_folder, read_own, write_own

_log = logging.getLogger(__name__)

RELOAD_S = 400.0


class NotServing(Exception):
    """No `rewardplane serve` is known for the port."""


@dataclass(slots=True)
class State:
    """What a serving process tells: its pid, its file, and its last reload."""

    pid: int
    config: str
    started: float = 0.0
    """When the process was created: another one may have its number by now."""
    reloads: int = 0
    is_reloading: bool = False
    waits_for: str = ""
    changed: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    """What else is worth knowing of the last reload."""
    fault: str = ""
    is_late: bool = False
    """Whether what was to be told last could not be written."""

    @staticmethod
    def path(port: int) -> Path | None:
        """Where the process that serves on `port` tells it; None: there is no place of our own."""
        folder = own_folder()
        return folder / f"{port}.json" if folder is not None else None

    def write(self, port: int) -> None:
        """Tells it, all at once; where it cannot (a full disk), `is_late` says so.

        What serves goes on: only `rewardplane reload` waits for what it tells.
        """
        if (path := self.path(port)) is not None:
            self.is_late = False
            try:
                write_own(path, json.dumps(asdict(self)))
            except OSError as error:
                self.is_late = True
                _log.warning("%s cannot be written, and is tried again: %s", path, error)

    @classmethod
    def forget(cls, port: int) -> None:
        """The process on `port` ends."""
        if (path := cls.path(port)) is not None:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)

    @classmethod
    def read(cls, port: int) -> State:
        """What the process on `port` tells.

        Raises:
            NotServing: there is none, or it is gone.
        """
        try:
            path = cls.path(port)
            state = cls(**json.loads(read_own(path) if path is not None else ""))
        except (OSError, ValueError, TypeError):
            raise NotServing(
                f"no `rewardplane serve` is known for port {port} on this machine: start one, or "
                "say its gRPC port with --port"
            ) from None
        if not state.is_alive():
            raise NotServing(
                f"`rewardplane serve` for port {port} (pid {state.pid}) is gone: start it again"
            )
        return state

    def is_alive(self) -> bool:
        """Whether the process that told it runs, and not another one of its number."""
        try:
            return psutil.Process(self.pid).create_time() == self.started
        except (psutil.Error, TypeError, ValueError):
            return False


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
