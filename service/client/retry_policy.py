"""When a call is tried again: the service is out of reach, or it said when to come back."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from rewardplane.wire.errors import CallError, DeadlineExceeded, NotReady, Overloaded

_T = TypeVar("_T")

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0
_LEAST_TRY_S = 0.01
_SILENT_TRIES = 4
_WARN_EVERY_S = 5.0

_log = logging.getLogger(__name__)


async def retried(attempt: Callable[[float], Awaitable[_T]], timeout_s: float) -> _T:
    """The result of `attempt(remaining_s)`, tried again until `timeout_s` have passed since now.

    `NotReady` and `Overloaded` are tried again. The pauses grow exponentially with full jitter
    (https://aws.amazon.com/builders-library/timeouts-retries-and-backoff-with-jitter/); an
    `Overloaded` adds the time that the service asked for.

    Raises:
        CallError: any other, at once; one of these two when no time is left. A `DeadlineExceeded`
            names what the last failed try ended with.
    """
    end_s = time.monotonic() + timeout_s
    tries = 0
    last: CallError | None = None
    while True:
        remaining_s = end_s - time.monotonic()
        if remaining_s <= 0:
            raise expired(f"no answer within {timeout_s:g} s", last, tries)
        tries += 1
        try:
            return await attempt(remaining_s)
        except (NotReady, Overloaded) as error:
            last = error
            remaining_s = end_s - time.monotonic()
            pause_s = pause(tries, error, remaining_s)
            if pause_s + _LEAST_TRY_S >= remaining_s:
                error.add_note(f"gave up after {tries} tries, {timeout_s:g} s")
                raise
            if tries >= _SILENT_TRIES:
                _warn(tries, remaining_s, error)
        except DeadlineExceeded as error:
            if last is None:
                raise
            raise expired(error.message, last, tries) from None
        await asyncio.sleep(pause_s)


def expired(message: str, last: CallError | None, tries: int = 0) -> DeadlineExceeded:
    """The error for a deadline that passed after tries of which the last failed with `last`."""
    if last is None:
        return DeadlineExceeded(message)
    which = f"the last failure in {tries} tries" if tries else "the last failure"
    return DeadlineExceeded(f"{message}; {which}: {last.message}", last.metadata)


class _LastWarning:
    at_s = 0.0


def _warn(tries: int, remaining_s: float, error: CallError) -> None:
    # Thousands of calls may wait for the same gateway: one line is enough for all.
    now_s = time.monotonic()
    if now_s - _LastWarning.at_s >= _WARN_EVERY_S:
        _LastWarning.at_s = now_s
        _log.warning("try %d failed, %.1f s remain: %s", tries, remaining_s, error)


def pause(tries: int, error: NotReady | Overloaded, remaining_s: float) -> float:
    """The pause after the last of `tries` failed, in seconds."""
    ceiling_s = min(FIRST_PAUSE_S * 2 ** min(tries - 1, 16), LONGEST_PAUSE_S)
    if isinstance(error, Overloaded):
        return error.retry_after_s + random.uniform(0, ceiling_s)  # noqa: S311 - jitter
    # A last try near the deadline beats a pause that sleeps through it.
    return random.uniform(0, min(ceiling_s, remaining_s / 2))  # noqa: S311 - jitter
