"""The outcomes that the service itself gives: what became of an item that its reward never answered."""

from __future__ import annotations

import signal
from typing import Final

from ..rewards.types import Reason, ScoreError

DEADLINE_EXECUTING: Final = ScoreError(
    Reason.DEADLINE, "the call's deadline came while the item executed; give the call more time"
)
NEVER_STARTED: Final = ScoreError(
    Reason.QUEUE_TIMEOUT,
    "the item never started within its queue time-out and the call's deadline; "
    "send less at once, allow more time or add replicas",
)
CANCELLED: Final = ScoreError(Reason.CANCELLED, "the call was cancelled")


def timed_out(timeout_s: float) -> ScoreError:
    """The item's execution was killed after `timeout_s`."""
    return ScoreError(
        Reason.TIMED_OUT, f"executed longer than its time-out of {timeout_s:g} s and was killed"
    )


def died(exit_code: int | None, peak_bytes: int, limit_bytes: int) -> ScoreError:
    """The item ended its worker process with `exit_code` (negative: a signal; None: not known)."""
    if exit_code == -signal.SIGKILL and limit_bytes and peak_bytes > 0.9 * limit_bytes:
        return ScoreError(
            Reason.OUT_OF_MEMORY,
            f"killed near its memory limit of {limit_bytes // 2**20} MiB",
        )
    if exit_code is not None and exit_code < 0:
        how = f"by signal {signal.Signals(-exit_code).name}"
    else:
        how = f"with exit code {exit_code}"
    return ScoreError(Reason.CRASHED, f"the item ended its worker process {how}")


def lost(attempts: int) -> ScoreError:
    """Every replica that tried the item was lost."""
    return ScoreError(
        Reason.UNAVAILABLE, f"{attempts} replicas were lost while the item was theirs"
    )


def unavailable(why: str) -> ScoreError:
    """No replica could run the item."""
    return ScoreError(Reason.UNAVAILABLE, why[:2000])
