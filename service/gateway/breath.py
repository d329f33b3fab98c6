"""Long work of the event loop in pieces: others get their turn between two of them.

Such work is written as a generator that yields where there may be a pause, each piece of it well
below `BREATH_S`. What is short is done at once, at the cost of a generator.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Generator
from typing import TypeVar

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


async def in_breaths(steps: Steps[_T]) -> _T:
    """Does the work with pauses; returns its result. What is cancelled is not done to its end."""
    until_s = time.perf_counter() + BREATH_S
    try:
        while True:
            try:
                next(steps)
            except StopIteration as end:
                return end.value
            if time.perf_counter() > until_s:
                await asyncio.sleep(0)
                until_s = time.perf_counter() + BREATH_S
    finally:
        steps.close()


def go_on(steps: Steps[None], then: Callable[[], None]) -> None:
    """Does the work to its end whoever waits for it, now and in later turns; calls `then`."""
    until_s = time.perf_counter() + BREATH_S
    for _ in steps:
        if time.perf_counter() > until_s:
            asyncio.get_running_loop().call_soon(go_on, steps, then)
            return
    then()
