"""Plain outcomes are rendered as bytes: they read as if they had been set one by one."""

from __future__ import annotations

from array import array
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rewardplane.gateway.call import Call, CallOptions
from rewardplane.gateway.render import MAX_JUDGEMENT_BYTES, plain_outcomes, render_call
from rewardplane.replica.segment import SCORED
from rewardplane.rewards.types import JudgementRecord
from rewardplane.v1 import reward_service_pb2 as pb
from rewardplane.wire.messages import judgement_from

FINITE = st.floats(allow_nan=False, allow_infinity=False)


@given(st.lists(FINITE))
def test_bytes_read_as_outcomes(rewards: list[float]) -> None:
    slow = pb.GroupOutcomes()
    for reward in rewards:
        slow.outcomes.add().score.reward = reward
    fast = pb.GroupOutcomes()
    fast.MergeFromString(plain_outcomes(array("d", rewards).tobytes()))
    assert fast == slow
    assert all(outcome.WhichOneof("result") == "score" for outcome in fast.outcomes)


def served(name: str) -> Any:
    settings = SimpleNamespace(version="v" * 7)
    config = SimpleNamespace(
        name=name,
        settings=settings,
        digest="d" * 64,
        model=None,
        facts=SimpleNamespace(component_names=("a",)),
    )
    return SimpleNamespace(config=config, component_count=1, rendered={}, members={})


@given(
    groups=st.lists(
        st.tuples(st.lists(FINITE, min_size=1, max_size=40), st.integers(0, 2)),
        min_size=1,
        max_size=6,
    ),
    times=st.integers(0, 2**40),
    isolation=st.integers(0, 4),
    request_id=st.text(max_size=20),
)
def test_the_plain_form_reads_as_the_general_one(
    groups: list[tuple[list[float], int]], times: int, isolation: int, request_id: str
) -> None:
    rewards = [served(name) for name in ("one", "two", "three" * 30)]
    options = CallOptions(request_id, "label", 0.0, 1e12)
    call = Call(options, [rewards[which] for _, which in groups], [len(r) for r, _ in groups])
    call.rewards[:] = array("d", [reward for values, _ in groups for reward in values])
    call.states[:] = bytes([SCORED]) * call.n
    call.queue_us[0], call.elapsed_us[-1], call.isolation[-1] = times, times // 3, isolation
    plain = pb.ScoreResponse.FromString(render_call(call))
    # An explanation that nobody asked for is not sent, but takes the general way.
    call.extras[0] = ["because", [], "read"]
    assert plain == pb.ScoreResponse.FromString(render_call(call))
    assert [o.score.reward for g in plain.groups for o in g.outcomes] == call.rewards.tolist()


@pytest.mark.parametrize(("count", "told"), [(1, True), (4, False)])
def test_judgements_that_are_too_long_together_are_left_out(count: int, told: bool) -> None:
    options = CallOptions("id", "label", 0.0, 1e12, judgements=True, explanations=True)
    call = Call(options, [served("one")], [count])
    call.states[:] = bytes([SCORED]) * count
    record = JudgementRecord("Good?", 1.0, {"Yes": 1.0}, text="x" * (MAX_JUDGEMENT_BYTES // 3))
    for item in range(count):
        call.extras[item] = ["because", [], "", "", [record.as_list()]]
    answer = pb.ScoreResponse.FromString(render_call(call))
    for outcome in answer.groups[0].outcomes:
        assert outcome.score.explanation == "because"
        assert [judgement_from(one) for one in outcome.score.judgements] == [record] * told


@pytest.mark.parametrize("explanations", [True, False])
def test_an_answer_names_the_models_of_members(explanations: bool) -> None:
    def asking(name: str, model: str) -> Any:
        reward = served(name)
        reward.config.model = SimpleNamespace(name=model, digest="d")
        reward.model_facts = None
        return reward

    inner, outer = served("inner"), served("outer")
    inner.members = {"a": asking("a", "m"), "b": asking("b", "n")}
    outer.members = {"inner": inner, "c": asking("c", "m")}
    options = CallOptions("id", "label", 0.0, 1e12, explanations=explanations)
    call = Call(options, [outer], [1])
    call.states[:] = bytes([SCORED])
    if explanations:
        call.extras[0] = ["because", [], "", ""]
    answer = pb.ScoreResponse.FromString(render_call(call))
    assert [model.name for model in answer.models] == ["m", "n"]
