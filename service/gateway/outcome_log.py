"""What the log says of a call that is over."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping

from rewardplane.rewards.types import Reason

from .call import Call

_log = logging.getLogger(__name__)


def log_outcomes(call: Call, reasons: Mapping[Reason, int]) -> None:
    """Tells how many of the items failed for which reason, or how long the call took."""
    if not reasons and not _log.isEnabledFor(logging.INFO):
        return
    options = call.options
    reward = ", ".join(dict.fromkeys(served.name for served in call.items))
    named = {
        "request_id": options.request_id,
        "trace_id": options.trace_id,
        "job": options.job,
        "reward": reward,
    }
    if reasons:
        counts = ", ".join(f"{count} {reason.name}" for reason, count in reasons.items())
        # A reward that does not apply is no failure.
        level = logging.INFO if set(reasons) == {Reason.NOT_APPLICABLE} else logging.WARNING
        text = "%s: %d of %d items of reward %s failed: %s"
        _log.log(
            level, text, options.label, sum(reasons.values()), call.n, reward, counts, extra=named
        )
    else:
        elapsed_s = time.monotonic() - options.started_s
        text = "%s: %d items of reward %s in %.3f s"
        _log.info(text, options.label, call.n, reward, elapsed_s, extra=named)
