"""Long work of the event loop in pieces: others get their turn between them.

Such work is written as a generator that yields where there may be a pause, each piece of it well
below `BREATH_S`. What is short is done at once, at the cost of a generator. What is not goes on in
later turns of the loop, all of it together for one breath a turn, a piece of each in its turn: so
many large calls hold the loop no longer than one does.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Generator
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

BREATH_S = 0.004
"""How long the gateway's loop may be held before others get their turn; what is begun within it
may take as long as one piece more."""

_T = TypeVar("_T")

Steps = Generator[None, None, _T]
"""Work that ends with a result."""


def at_once(steps: Steps[_T]) -> _T:
    """Does all of the work; returns its result."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


async def in_breaths(steps: Steps[_T], *, patient: bool = False) -> _T:
    """Does the work with pauses; returns its result. What is cancelled is not done to its end.

    `patient`: not at once, but in turns to come, beside what else is done there.
    """
    done: asyncio.Future[_T] = asyncio.get_running_loop().create_future()

    def work() -> Steps[None]:
        try:
            result = yield from steps
        except GeneratorExit:
            raise
        except BaseException as error:  # noqa: BLE001 - raised again, where it is awaited
            if not done.done():
                done.set_exception(error)
        else:
            if not done.done():
                done.set_result(result)

    working = work()
    if patient:
        _turns_of().wait(working)
    else:
        go_on(working)
    try:
        return await done
    finally:
        working.close()


def go_on(
    steps: Steps[None],
    then: Callable[[], None] | None = None,
    failed: Callable[[Exception], None] | None = None,
) -> None:
    """Does the work to its end whoever waits for it, now and in later turns; calls `then`.

    What either raises `failed` gets; without it, it is the caller's as long as this has not
    returned, then the loop's to log.
    """
    try:
        for _ in steps:  # what is short has no pause, and needs no loop
            _turns_of().add(steps, then, failed)
            return
        if then is not None:
            then()
    except Exception as error:
        if failed is None:
            raise
        failed(error)


def _turns_of() -> _Turns:
    loop = asyncio.get_running_loop()
    turns = _turns.get(loop)
    if turns is None:
        turns = _turns[loop] = _Turns(loop)
    return turns


_Work = tuple[Steps[None], Callable[[], None] | None, Callable[[Exception], None] | None]


class _Turns:
    """The work of one event loop that is not done yet."""

    __slots__ = ("__weakref__", "_is_due", "_left", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._left: deque[_Work] = deque()
        self._is_due = False
        """Whether a turn is to come, or is now."""

    def add(
        self,
        steps: Steps[None],
        then: Callable[[], None] | None,
        failed: Callable[[Exception], None] | None,
    ) -> None:
        """Takes work that is at its first pause."""
        until_s = time.perf_counter() + BREATH_S
        # Where there is other work, or it has had a breath: the rest in a turn to come.
        while not self._left and time.perf_counter() < until_s:
            for _ in steps:
                break
            else:
                if then is not None:
                    then()
                return
        self._left.append((steps, then, failed))
        self._have_a_turn()

    def wait(self, steps: Steps[None]) -> None:
        """Does the work in turns to come."""
        self._left.append((steps, None, None))
        self._have_a_turn()

    def _have_a_turn(self) -> None:
        if self._left and not self._is_due:
            self._is_due = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        until_s = time.perf_counter() + BREATH_S
        left = self._left
        try:
            while left and time.perf_counter() < until_s:
                work = left.popleft()
                steps, then, failed = work
                try:
                    for _ in steps:
                        left.append(work)
                        break
                    else:
                        if then is not None:
                            then()
                except Exception as error:
                    if failed is None:
                        raise
                    failed(error)
        finally:  # whatever one of them raises, the others go on
            self._is_due = False
            self._have_a_turn()


_turns: WeakKeyDictionary[Any, _Turns] = WeakKeyDictionary()
