"""The event loop on which code without one runs the client: one daemon thread per process."""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from collections.abc import Callable, Coroutine
from typing import Any, ClassVar, TypeVar

_T = TypeVar("_T")


class _Current:
    lock: ClassVar = threading.Lock()
    loop: ClassVar[asyncio.AbstractEventLoop | None] = None
    thread: ClassVar[threading.Thread | None] = None
    # A loop of a parent shares its selector with it: freed in the child, it would close the
    # parent's. So it is kept.
    inherited: ClassVar[list[object]] = []
    registered: ClassVar = False


def run(make: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
    """The result of the coroutine that `make` makes, run on this process's loop.

    An interrupt of the waiting thread cancels it.

    Raises:
        RuntimeError: called on that loop itself, which would wait for itself.
    """
    loop = _loop()
    if threading.current_thread() is _Current.thread:
        raise RuntimeError("a synchronous call on the client's own event loop would never end")
    future = asyncio.run_coroutine_threadsafe(make(), loop)
    try:
        return future.result()
    finally:
        future.cancel()


def _loop() -> asyncio.AbstractEventLoop:
    with _Current.lock:
        loop = _Current.loop
        if loop is None:
            if not _Current.registered:
                os.register_at_fork(after_in_child=_in_child)
                atexit.register(_stop)
                _Current.registered = True
            loop = _Current.loop = asyncio.new_event_loop()
            _Current.thread = threading.Thread(
                target=loop.run_forever, name="rewardplane-client", daemon=True
            )
            _Current.thread.start()
        return loop


def _in_child() -> None:
    _Current.inherited += [_Current.loop, _Current.thread]
    _Current.loop = _Current.thread = None
    # Another thread may have held it when this process was forked.
    _Current.lock = threading.Lock()


def _stop() -> None:
    loop, thread = _Current.loop, _Current.thread
    if loop is None or thread is None:
        return
    _Current.loop = _Current.thread = None

    async def cancel_all() -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    try:
        asyncio.run_coroutine_threadsafe(cancel_all(), loop).result(1)
    except TimeoutError:
        return
    loop.call_soon_threadsafe(loop.stop)
    thread.join(1)
    if not thread.is_alive():
        loop.close()
