"""Conversations to token ids beside the event loop: those that come while it works go together.

A hop to a thread and back costs as much as the tokens of a short conversation, and each holds the
engine's thread up, which needs the interpreter between any two operations of a forward pass.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from rewardplane.rewards.text.chat import Message
from rewardplane.rewards.types import Unavailable

from .batcher import STOPPED
from .prompts import Prompt, Prompter, Wanted

AT_ONCE = 32
"""Conversations of one hop: the first of many must reach the engine while the others are made."""

_T = TypeVar("_T")


class Tokeniser:
    """Makes prompts in a thread of its own, in the order in which they are asked for.

    It is as long a queue as there are callers who wait.
    """

    def __init__(self, prompter: Prompter) -> None:
        self._prompter = prompter
        self._thread = ThreadPoolExecutor(1, "tokenizer")
        self._waiting: deque[tuple[Wanted, asyncio.Future[Prompt]]] = deque()
        self._works = False
        self._is_closed = False

    async def prompt(self, messages: Sequence[Message], *, asks: bool, room: int = 0) -> Prompt:
        """As `Prompter.prompt`. Raises Unavailable where it was closed."""
        if self._is_closed:
            raise Unavailable(STOPPED)
        loop = asyncio.get_running_loop()
        made: asyncio.Future[Prompt] = loop.create_future()
        self._waiting.append((Wanted(messages, asks, room), made))
        if not self._works:
            self._works = True
            loop.call_soon(self._next)  # what comes in the same tick goes along
        return await made

    async def run(self, call: Callable[[], _T]) -> _T:
        """What `call` returns, run between two hops. Raises Unavailable where it was closed."""
        if self._is_closed:
            raise Unavailable(STOPPED)
        ran = asyncio.get_running_loop().run_in_executor(self._thread, call)
        await asyncio.wait((ran,))
        if ran.cancelled():
            raise Unavailable(STOPPED)
        return ran.result()

    def close(self) -> None:
        """Ends; who waits gets Unavailable."""
        self._is_closed = True
        self._thread.shutdown(wait=False, cancel_futures=True)
        _stop(made for _wanted, made in self._waiting)
        self._waiting.clear()

    def _next(self) -> None:
        taken: list[tuple[Wanted, asyncio.Future[Prompt]]] = []
        while self._waiting and len(taken) < AT_ONCE:
            one = self._waiting.popleft()
            if not one[1].done():  # cancelled
                taken.append(one)
        self._works = bool(taken) and not self._is_closed
        if not self._works:
            _stop(made for _wanted, made in taken)
            return
        wanted = [one for one, _made in taken]
        hop = asyncio.get_running_loop().run_in_executor(
            self._thread, self._prompter.prompts, wanted
        )
        hop.add_done_callback(lambda _: self._told([made for _, made in taken], hop))

    def _told(
        self,
        asked: Sequence[asyncio.Future[Prompt]],
        hop: asyncio.Future[list[Prompt | Exception]],
    ) -> None:
        if hop.cancelled():
            _stop(asked)
            return
        fault = hop.exception()
        answers = [fault] * len(asked) if fault is not None else hop.result()
        for made, answer in zip(asked, answers, strict=True):
            if made.done():
                continue
            if isinstance(answer, BaseException):
                made.set_exception(answer)
            else:
                made.set_result(answer)
        self._next()


def _stop(asked: Iterable[asyncio.Future[Prompt]]) -> None:
    for made in asked:
        if not made.done():
            made.set_exception(Unavailable(STOPPED))
