"""A job without a task of its own, as long as nothing about it is unusual.

Most jobs are done in milliseconds: one message to a worker, one back. Only what takes longer, or
does not end well, is worth a task that watches it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from .attempt import Attempt
from .blame import Left
from .tasks import cancel_begun

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any, Protocol

    class _Supervisor(Protocol):
        def end_well(self, attempt: Attempt) -> Left | None: ...
        def resume(self, attempt: Attempt) -> Coroutine[Any, Any, None]: ...
        def go_on(self, attempt: Attempt, left: Left) -> Coroutine[Any, Any, None]: ...
        def give_up(self, attempt: Attempt) -> None: ...


WATCH_AFTER_S = 0.1
"""How long a job may take before it is watched."""

OnEnd = Callable[[BaseException | None], None]


class DirectRun:
    """One attempt that ran at once. `on_end` is called once, when all outcomes were emitted.

    Its argument is what ended the job before that, if anything did.
    """

    __slots__ = ("_attempt", "_on_end", "_supervisor", "_task", "_timer")

    def __init__(self, supervisor: _Supervisor, attempt: Attempt, on_end: OnEnd) -> None:
        self._supervisor = supervisor
        self._attempt = attempt
        self._on_end: OnEnd | None = on_end
        self._task: asyncio.Task[None] | None = None
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(WATCH_AFTER_S, self._watch)
        attempt.ended.add_done_callback(self._ended)

    def cancel(self) -> None:
        """Stops the work."""
        on_end, self._on_end = self._on_end, None
        if on_end is None:
            return
        if self._task is not None:
            cancel_begun(self._task)
        elif not self._attempt.ended.done():
            self._timer.cancel()
            self._supervisor.give_up(self._attempt)
        on_end(asyncio.CancelledError())

    def _ended(self, ended: asyncio.Future[bool]) -> None:
        if self._task is not None or self._on_end is None:
            return
        self._timer.cancel()
        try:
            left = self._supervisor.end_well(self._attempt) if ended.result() else None
        except Exception as error:  # noqa: BLE001 - whoever waits must hear of it
            self._finish(error)
            return
        if left is None:
            self._watch()
        elif left.together or left.alone:
            self._own(self._supervisor.go_on(self._attempt, left))
        else:
            self._finish(None)

    def _finish(self, error: BaseException | None) -> None:
        on_end, self._on_end = self._on_end, None
        if on_end is not None:
            on_end(error)

    def _watch(self) -> None:
        self._own(self._supervisor.resume(self._attempt))

    def _own(self, work: Coroutine[Any, Any, None]) -> None:
        self._task = asyncio.get_running_loop().create_task(work)
        self._task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        self._finish(error)
