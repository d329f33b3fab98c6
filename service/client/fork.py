"""Forks of processes that speak gRPC.

A child that makes a channel while it has inherited gRPC's state, whose threads stayed behind,
crashes or hangs (seen with grpcio 1.66 to 1.85: SIGSEGV). gRPC gives that state up with its last
channel; so idle connections are dropped before a fork, and made anew when they are next needed, in
the parent and in the child. A process that was forked amid calls says so instead of crashing.
"""

from __future__ import annotations

import atexit
import os
import threading
import weakref
from typing import ClassVar, Protocol


class Droppable(Protocol):
    """What holds gRPC's state."""

    def drop(self) -> bool:
        """Gives it up where no call is in flight; whether it is given up. From any thread."""
        ...


class _State:
    lock: ClassVar = threading.Lock()
    registered: ClassVar = False
    live: ClassVar[weakref.WeakSet[Droppable]] = weakref.WeakSet()
    held: ClassVar[tuple[Droppable, ...]] = ()
    tainted: ClassVar = False


def watch(connection: Droppable) -> None:
    """Has the connection dropped before each fork of this process, and before its end."""
    with _State.lock:
        if not _State.registered:
            os.register_at_fork(
                before=_before, after_in_parent=_in_parent, after_in_child=_in_child
            )
            # The threads of gRPC that outlive the interpreter complain while it ends.
            atexit.register(_before)
            _State.registered = True
        _State.live.add(connection)


def tainted() -> bool:
    """Whether this process was forked from one amid gRPC calls, and so can make none of its own."""
    return _State.tainted


def _before() -> None:
    with _State.lock:
        connections = tuple(_State.live)
    _State.held = tuple(c for c in connections if not c.drop())


def _in_parent() -> None:
    _State.held = ()


def _in_child() -> None:
    # Another thread may have held it, and no thread but this one came along.
    _State.lock = threading.Lock()
    # `held` stays as it is: to free a channel here would wait for threads that are not there.
    _State.tainted = _State.tainted or bool(_State.held)
