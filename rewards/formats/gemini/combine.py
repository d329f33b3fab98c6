"""The weighted average of a composite's members, and what is told of each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ...types import RETRYABLE, Outcome, Score, ScoreError, Usage
from ..member_fault import MemberFault, member_fault

OnMemberError = Literal["error", "renormalise"]


@dataclass(slots=True, frozen=True)
class MemberOutcome:
    """What came of one member on one item; the reward of a score is clipped already.

    `aux_info` is what a Cloud Run reward told for the user; "" where it told nothing. `usage` is
    what a judge took for it.
    """

    name: str
    weight: float
    outcome: Outcome
    aux_info: str = ""
    usage: Usage | None = None


def combine(members: Sequence[MemberOutcome], on_error: OnMemberError) -> float:
    """The weighted average of the members' rewards.

    `renormalise` leaves failed members out as long as the others' weights sum up to more than 0:
    below that a penalty would turn into a reward.

    Raises:
        MemberFault: a member failed that may not; the message names each with its reason.
    """
    failed = [m for m in members if isinstance(m.outcome, ScoreError)]
    good = [(m.weight, m.outcome.reward) for m in members if isinstance(m.outcome, Score)]
    weight = math.fsum(w for w, _ in good)
    if failed and (on_error == "error" or weight <= 0):
        raise _fault(failed, [m.usage for m in members if m.usage is not None])
    # Clipped again: a last digit may round outward, and negative weights may be allowed.
    average = math.fsum(w * reward for w, reward in good) / weight
    return max(min(average, 1.0), -1.0)


def _fault(failed: Sequence[MemberOutcome], usages: Sequence[Usage]) -> MemberFault:
    errors = [(m.name, m.outcome) for m in failed if isinstance(m.outcome, ScoreError)]
    # Another try helps only where it may help every member, so one that is final gives the reason.
    _, first = min(errors, key=lambda entry: entry[1].reason in RETRYABLE)
    each = max(80, 1_800 // len(errors))
    told = "; ".join(f"member {n!r}: {e.reason.name}: {e.message[:each]}" for n, e in errors)
    return member_fault(first.reason, told, sum(usages, Usage()) if usages else None)
