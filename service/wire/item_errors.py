"""The outcomes that the service itself gives to items that their reward never answered."""

from __future__ import annotations

import signal
from typing import Final

from rewardplane.rewards.types import Reason, ScoreError

DEADLINE_EXECUTING: Final = ScoreError(
    Reason.DEADLINE, "the call's deadline came while the item executed; give the call more time"
)
NEVER_STARTED: Final = ScoreError(
    Reason.QUEUE_TIMEOUT,
    "the item never started within its queue time-out and the call's deadline; "
    "send less at once, allow more time or add replicas",
)
MEMORY_EXIT: Final = 77
"""The exit code of a worker that ran out of memory in its own code, so full was it."""
CANCELLED: Final = ScoreError(Reason.CANCELLED, "the call was cancelled")
OWN_FAULT: Final = ScoreError(
    Reason.UNAVAILABLE, "the gateway failed by a fault of its own; its log has the rest"
)


def timed_out(timeout_s: float) -> ScoreError:
    """The item's execution was killed after `timeout_s`."""
    return ScoreError(
        Reason.TIMED_OUT, f"executed longer than its time-out of {timeout_s:g} s and was killed"
    )


def died(exit_code: int | None, peak_bytes: int, limit_bytes: int) -> ScoreError:
    """The item ended its worker process with `exit_code` (negative: a signal; None: not known)."""
    limit = f"its memory limit of {limit_bytes // 2**20} MiB"
    if exit_code == MEMORY_EXIT:
        return ScoreError(Reason.OUT_OF_MEMORY, f"the item's process reached {limit}")
    # Code that does not look at what malloc gives it ends by one of these.
    if exit_code in _NO_MEMORY_SIGNALS and limit_bytes and peak_bytes > 0.9 * limit_bytes:
        return ScoreError(Reason.OUT_OF_MEMORY, f"the item's process was killed near {limit}")
    if exit_code is None:
        return ScoreError(Reason.CRASHED, "it is not known how the item's worker process ended")
    how = f"with exit code {exit_code}"
    if exit_code < 0:
        how = f"by signal {_signal_name(-exit_code)}"
    return ScoreError(Reason.CRASHED, f"the item ended its worker process {how}")


_NO_MEMORY_SIGNALS = {-signal.SIGKILL, -signal.SIGSEGV, -signal.SIGABRT, -signal.SIGBUS}


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return str(number)


def lost(attempts: int, why: str = "") -> ScoreError:
    """Every replica that tried the item was lost; `why` the last one was."""
    last = f"; the last one: {why[:500]}" if why else ""
    return ScoreError(
        Reason.UNAVAILABLE, f"{attempts} replicas were lost while the item was theirs{last}"
    )


def crashed(attempts: int) -> ScoreError:
    """An engine died with the item in it `attempts` times, at last with that item alone."""
    return ScoreError(
        Reason.CRASHED, f"{attempts} engines died while the item was in them, the last one alone"
    )


def unavailable(why: str) -> ScoreError:
    """No replica could run the item."""
    return ScoreError(Reason.UNAVAILABLE, why[:2000])
