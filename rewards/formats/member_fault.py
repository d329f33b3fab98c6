"""The fault of a whole because a member of it failed."""

from __future__ import annotations

from functools import cache

from ..types import Reason, RewardFault, Usage


class MemberFault(RewardFault):
    """Members failed; `reason` is that of one of them."""


def member_fault(reason: Reason, message: str, usage: Usage | None) -> MemberFault:
    """A fault with that reason, and with what judges took for the whole."""
    fault = _kind(reason)(message)
    fault.usage = usage
    return fault


@cache
def _kind(reason: Reason) -> type[MemberFault]:
    # A fault's reason is its class's.
    return type("MemberFault", (MemberFault,), {"reason": reason})
