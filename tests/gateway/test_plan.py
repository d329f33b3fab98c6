"""What a request asks for: times, labels, bindings."""

from __future__ import annotations

import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rewardplane.config.settings import Limits
from rewardplane.gateway.breath import at_once
from rewardplane.gateway.call import CallOptions
from rewardplane.gateway.lane import PoolLane
from rewardplane.gateway.metrics import Metrics
from rewardplane.gateway.plan import options_of, plan, read_frame
from rewardplane.gateway.served import ServedRewards
from rewardplane.v1 import reward_service_pb2 as pb
from rewardplane.wire.errors import IncompleteGroup, InvalidRequest, UnknownReward, VersionGone

from ..support.replicas import Replicas, answers
from ..support.rig import FOLDER, groups_of, parse, poison, request_of

LIMITS = Limits(max_request_items=100, max_item_bytes=10_000)


@pytest.fixture(scope="module")
def table() -> ServedRewards:
    served = {
        "exact": {"kind": "exact", "version": "2"},
        "one": poison(),
        "whole": poison("whole"),
    }
    made = nothing_served()
    made.switch(parse({"rewards": served}, FOLDER), 1)
    return made


def nothing_served() -> ServedRewards:
    send = Replicas(answers).send
    return ServedRewards(Metrics().figures, lambda served: PoolLane(served, send))


def ask_of(
    request: pb.ScoreRequest, left_s: float | None, limits: Limits, trace: str
) -> CallOptions:
    return options_of(read_frame(request.SerializeToString()), left_s, limits, trace)


def planned(request: pb.ScoreRequest, table: ServedRewards, limits: Limits = LIMITS):
    data = request.SerializeToString()
    return at_once(plan(read_frame(data), data, ask_of(request, 10.0, limits, ""), table, limits))


@given(st.floats(0.001, 10_000))
def test_the_answer_is_due_before_the_deadline(left_s: float) -> None:
    options = ask_of(request_of("exact", ["a"]), left_s, LIMITS, "")
    margin_s = time.monotonic() + left_s - options.answer_by_s
    assert margin_s > 0
    assert margin_s >= min(0.1, left_s / 2) - 1e-6
    assert margin_s <= max(0.1, 0.02 * left_s) + 0.5


def test_a_call_without_a_deadline_has_the_configured_one() -> None:
    options = ask_of(request_of("exact", ["a"]), None, Limits(default_deadline_s=50), "")
    assert options.answer_by_s - time.monotonic() == pytest.approx(49, abs=0.5)


def test_a_deadline_that_has_passed_is_now() -> None:
    for left_s in (0.0, -5.0):
        options = ask_of(request_of("exact", ["a"]), left_s, LIMITS, "")
        assert options.answer_by_s <= time.monotonic()


async def test_what_is_asked_for_is_read(table: ServedRewards) -> None:
    request = request_of("exact", ["a"], job="j")
    asked = request.options
    asked.include_components = asked.include_step_rewards = True
    asked.item_timeout.FromMilliseconds(1500)
    asked.queue_timeout.FromMilliseconds(250)
    options = ask_of(request, 10.0, LIMITS, "")
    assert (options.components, options.explanations, options.step_rewards) == (True, False, True)
    assert (options.item_timeout_s, options.queue_timeout_s, options.job) == (1.5, 0.25, "j")
    bare = ask_of(request_of("exact", ["a"]), 10.0, LIMITS, "")
    assert bare.item_timeout_s == bare.queue_timeout_s == math.inf


def test_labels_carry_the_trace() -> None:
    request = request_of("exact", ["a"], request_id="mine")
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    assert trace in ask_of(request, 10.0, LIMITS, trace).label
    assert "mine" in ask_of(request, 10.0, LIMITS, trace).label
    ids = {ask_of(request_of("exact", ["a"]), 10.0, LIMITS, "").request_id for _ in range(100)}
    assert len(ids) == 100


async def test_groups_are_bound_to_their_own_reward_or_the_call_s(table: ServedRewards) -> None:
    request = request_of("exact", ["a"], ["b", "c"], ["d"])
    request.groups[1].reward = "one"
    call = planned(request, table)
    assert [b.name for b in call.served] == ["exact", "one", "exact"]
    assert call.served[0] is call.served[2]
    assert call.offsets == [0, 1, 3, 4]
    assert call.n == 4


@pytest.mark.parametrize(
    ("reward", "version", "own", "own_version", "ok"),
    [
        ("exact", "", "", "", True),
        ("exact", "2", "", "", True),
        ("exact", "1", "", "", False),
        ("exact", "1", "", "2", True),
        ("exact", "2", "", "1", False),
        ("exact", "9", "one", "", True),  # the call's version is of the call's reward
        ("exact", "2", "one", "9", False),
        ("", "", "one", "1", True),
    ],
)
async def test_versions_are_of_the_reward_that_they_stand_with(
    table: ServedRewards, reward: str, version: str, own: str, own_version: str, ok: bool
) -> None:
    request = request_of(reward, ["a"], version=version)
    request.groups[0].reward, request.groups[0].version = own, own_version
    if ok:
        assert planned(request, table).served[0].name == (own or reward)
    else:
        with pytest.raises(VersionGone):
            planned(request, table)


async def test_item_limits_count_example_and_response(table: ServedRewards) -> None:
    (group,) = groups_of(["x" * 4000, "y" * 8000, "z" * 6000], answer="a" * 3000)
    request = pb.ScoreRequest(reward="exact", groups=[group])
    with pytest.raises(InvalidRequest) as caught:
        planned(request, table)
    assert [field for field, _ in caught.value.violations] == ["groups[0].responses[1]"]


@pytest.mark.parametrize("size", [100, 101])
async def test_items_of_a_call_are_bounded(table: ServedRewards, size: int) -> None:
    request = request_of("exact", ["a"] * 60, ["b"] * (size - 60))
    if size == 100:
        assert planned(request, table).n == 100
    else:
        with pytest.raises(InvalidRequest, match="at most 100"):
            planned(request, table)


async def test_whole_groups_are_checked_against_what_is_expected(table: ServedRewards) -> None:
    request = request_of("whole", ["a", "b"], ["c"])
    with pytest.raises(IncompleteGroup) as caught:
        planned(request, table)
    assert caught.value.metadata["group"] == "1"
    request.groups[1].expected_size = 1
    assert planned(request, table).n == 3


async def test_the_first_unknown_reward_is_told(table: ServedRewards) -> None:
    request = request_of("exact", ["a"], ["b"])
    request.groups[1].reward = "exakt"
    with pytest.raises(UnknownReward, match="did you mean exact"):
        planned(request, table)


def test_many_names_cost_no_more_than_few() -> None:
    """With 1,000 names like the wanted one, comparing all held the loop for 50 ms."""

    def refusal_s(count: int) -> float:
        names = [f"reward-of-the-team-for-mathematics-{n:04d}" for n in range(count)]
        rewards = parse({"rewards": {name: {"kind": "exact"} for name in names}}, FOLDER)
        table = nothing_served()
        table.switch(rewards, 1)
        times_s: list[float] = []
        for _ in range(5):
            begin_s = time.thread_time()
            with pytest.raises(UnknownReward, match="did you mean reward-of-the-team"):
                table.find("reward-of-the-team-for-mathematics-x", "")
            times_s.append(time.thread_time() - begin_s)
        return min(times_s)

    assert refusal_s(1_000) < 4 * refusal_s(24)


async def test_a_long_name_costs_nothing(table: ServedRewards) -> None:
    """Looking for names like one of a megabyte takes a second, in which all others wait."""
    for field in ("reward", "version"):
        request = request_of("exact", ["a"])
        setattr(request.groups[0], field, "x" * (1 << 20))
        if field == "version":
            request.groups[0].reward = "exact"
        begin_s = time.thread_time()
        with pytest.raises((UnknownReward, VersionGone)) as caught:
            planned(request, table, Limits(max_item_bytes=1 << 24))
        assert time.thread_time() - begin_s < 0.1
        assert len(str(caught.value)) < 1000


async def test_faults_are_told_up_to_a_number(table: ServedRewards) -> None:
    request = pb.ScoreRequest(groups=[pb.Group()] * 5000)
    limits = Limits(max_request_items=10_000)
    with pytest.raises(InvalidRequest) as caught:
        planned(request, table, limits)
    assert 1 <= len(caught.value.violations) <= 100
    with pytest.raises(InvalidRequest, match="at most 100 items"):
        planned(request, table)


@given(st.binary(max_size=60))
def test_any_bytes_are_a_request_or_refused(data: bytes) -> None:
    rewards = nothing_served()
    try:
        frame = read_frame(data)
        at_once(plan(frame, data, options_of(frame, 1.0, LIMITS, ""), rewards, LIMITS))
    except (InvalidRequest, UnknownReward):
        return
    raise AssertionError("there is no reward to score it")


async def test_a_switch_keeps_what_did_not_change(table: ServedRewards) -> None:
    mine = nothing_served()
    first = parse({"rewards": {"a": {"kind": "exact"}, "b": poison()}}, FOLDER)
    mine.switch(first, 1)
    a, b = mine.find("a", ""), mine.find("b", "")
    b.calls += 1
    mine.switch(parse({"rewards": {"a": {"kind": "exact"}, "b": poison(version="2")}}, FOLDER), 2)
    assert mine.find("a", "") is a
    assert mine.find("b", "") is not b
    with pytest.raises(VersionGone):
        mine.find("b", "1")
    assert b.config.fingerprint in mine.in_use()
    b.calls -= 1
    assert b.config.fingerprint not in mine.in_use()
    assert mine.names() == ["a", "b"]
    assert mine.generation == 2
    mine.switch(first, 3)
    assert mine.find("b", "").version == "1"
