"""Plain outcomes are rendered as bytes: they read as if they had been set one by one."""

from __future__ import annotations

from array import array

from hypothesis import given
from hypothesis import strategies as st
from rewardplane.gateway.render import serialized
from rewardplane.v1 import reward_service_pb2 as pb


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False)))
def test_bytes_read_as_outcomes(rewards: list[float]) -> None:
    slow = pb.GroupOutcomes()
    for reward in rewards:
        slow.outcomes.add().score.reward = reward
    fast = pb.GroupOutcomes()
    fast.MergeFromString(serialized(array("d", rewards).tobytes()))
    assert fast == slow
    assert all(outcome.WhichOneof("result") == "score" for outcome in fast.outcomes)
