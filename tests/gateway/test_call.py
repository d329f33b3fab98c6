"""A call's columns: whatever comes in whatever order, each item has one outcome, in its place."""

from __future__ import annotations

import random
from array import array
from types import SimpleNamespace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from rewardplane.gateway.call import Call, CallOptions
from rewardplane.gateway.plan import read_frame
from rewardplane.gateway.shard import MAX_SLICES, TARGET_BYTES, Shard, shards_of
from rewardplane.replica.job import Part
from rewardplane.replica.segment import FAILED, PENDING, SCORED
from rewardplane.rewards.types import Reason, Score, ScoreError
from rewardplane.v1 import reward_service_pb2 as pb
from rewardplane.wire.frame import group_spans

from ..support.rig import groups_of


def served(k: int = 0, *, whole_group: bool = False) -> Any:
    """As much of a served reward as a call looks at."""
    settings_ = SimpleNamespace(timeout_s=30.0, queue_timeout_s=300.0)
    return SimpleNamespace(component_count=k, whole_group=whole_group, settings=settings_)


DONE: list[Call] = []
"""The calls that said that they are done."""


async def call_of(sizes: list[int], ks: list[int], *, components: bool = True) -> Call:
    options = CallOptions("id", "label", 0.0, 1e12, components=components)
    call = Call(options, [served(k) for k in ks], sizes)
    call.on_done = lambda: DONE.append(call)
    return call


def part_of(states: list[int], k: int, first: int = 0) -> Part:
    """Item i has the reward i, the components i.0, i.1 … and the time i, counted from `first`."""
    n = len(states)
    return Part(
        bytes(states),
        array("d", [float(first + i) for i in range(n)]).tobytes(),
        array("d", [first + i + c / 10 for i in range(n) for c in range(k)]).tobytes(),
        array("Q", [first + i for i in range(n)]).tobytes(),
        {i: [Reason.RAISED.value, f"item {first + i}"] for i in range(n) if states[i] == FAILED},
    )


async def test_a_part_in_one_run_is_placed() -> None:
    call = await call_of([2, 3], [2, 2])
    call.place(part_of([2, 3, 2], 2, first=2), [(2, 5)], 2, waited_us=7)
    assert bytes(call.states) == bytes([0, 0, 2, 3, 2])
    assert call.rewards.tolist()[2:] == [2.0, 3.0, 4.0]
    assert call.components.tolist()[4:] == [2.0, 2.1, 3.0, 3.1, 4.0, 4.1]
    assert call.elapsed_us.tolist() == [0, 0, 2, 3, 4]
    assert call.extras == {3: [Reason.RAISED.value, "item 3"]}
    assert call.queue_us.tolist() == [0, 7]
    assert call.pending == 2
    assert call not in DONE


async def test_rewards_of_different_widths_share_a_call() -> None:
    call = await call_of([2, 2], [1, 3])
    call.place(part_of([2, 2], 1), [(0, 2)], 1, 0)
    call.place(part_of([2, 2], 3), [(2, 4)], 3, 0)
    assert call.stride == 3
    columns = [call.components[i * 3 : i * 3 + 3].tolist() for i in range(4)]
    assert columns[0][:1] == [0.0]
    assert columns[1][:1] == [1.0]
    assert columns[2:] == [[0.0, 0.1, 0.2], [1.0, 1.1, 1.2]]
    assert DONE.count(call) == 1


async def test_what_is_not_asked_for_is_not_kept() -> None:
    call = await call_of([2], [2], components=False)
    call.place(part_of([2, 2], 2), [(0, 2)], 2, 0)
    assert call.stride == 0
    assert not call.components


async def test_an_outcome_is_placed_once() -> None:
    call = await call_of([3], [0])
    told: list[int] = []
    call.on_items = told.extend
    call.place(part_of([2, 0, 0], 0), [(0, 3)], 0, 0)
    call.place(part_of([3, 2, 0], 0, first=10), [(0, 3)], 0, 0)
    call.place(part_of([2, 2, 2], 0, first=20), [(0, 3)], 0, 0)
    assert call.rewards.tolist() == [0.0, 11.0, 22.0]
    assert bytes(call.states) == bytes([SCORED] * 3)
    assert told == [0, 1, 2]
    call.fail([(0, 3)], ScoreError(Reason.DEADLINE, "late"))
    assert not call.extras


async def test_nothing_is_placed_after_the_end() -> None:
    call = await call_of([2], [0])
    call.fail([(0, 2)], ScoreError(Reason.DEADLINE, "late"))
    call.close()
    call.place(part_of([2, 2], 0), [(0, 2)], 0, 0)
    assert bytes(call.states) == bytes([FAILED] * 2)
    assert call.reasons() == {Reason.DEADLINE: 2}


async def test_outcomes_of_the_inline_lane_are_placed() -> None:
    call = await call_of([4], [2])
    call.rewards[0], call.states[0] = 0.25, SCORED
    call.set(1, Score(1.0, {"a": 1.0, "b": 2.0}, "why", (0.5,)), ("a", "b"))
    call.set(2, ScoreError(Reason.INVALID_INPUT, "no"), ("a", "b"))
    call.set(3, Score(2.0, {"a": 3.0, "b": 4.0}), ("a", "b"))
    call.spread(0, 4, 400)
    call.settle(range(4))
    assert bytes(call.states) == bytes([SCORED, SCORED, FAILED, SCORED])
    assert call.extras == {1: ["why", [0.5]], 2: [Reason.INVALID_INPUT.value, "no"]}
    assert call.components.tolist()[2:4] == [1.0, 2.0]
    assert call.elapsed_us.tolist() == [100] * 4
    assert call.rewards.tolist()[:2] == [0.25, 1.0]
    assert call.rewards[3] == 2.0
    assert DONE.count(call) == 1


async def test_the_score_of_a_single_item_is_placed_once() -> None:
    call = await call_of([1], [0])
    call.place_score(0, 0.5, 12, 7)
    call.place_score(0, 0.75, 13, 8)
    assert (call.rewards[0], call.elapsed_us[0], call.queue_us[0]) == (0.5, 12, 7)
    assert DONE.count(call) == 1
    late = await call_of([1], [0])
    late.close()
    late.place_score(0, 1.0, 1, 1)
    assert late.states[0] == PENDING


@given(
    sizes=st.lists(st.integers(1, 5), min_size=1, max_size=5),
    k=st.integers(0, 2),
    order=st.randoms(use_true_random=False),
)
@settings(max_examples=120, deadline=None)
async def test_parts_in_any_order_and_overlap_fill_a_call(
    sizes: list[int], k: int, order: random.Random
) -> None:
    call = await call_of(sizes, [k] * len(sizes))
    told: list[int] = []
    call.on_items = told.extend
    # A shard of some of the groups, in order, of which parts come in any order, some twice.
    groups = [g for g in range(len(sizes)) if order.random() < 0.7] or [0]
    places = [(call.offsets[g], call.offsets[g + 1]) for g in groups]
    items = [i for first, end in places for i in range(first, end)]
    expected: dict[int, float] = {}
    for _ in range(8):
        states = [order.choice([PENDING, SCORED, FAILED]) for _ in items]
        first = order.randint(0, 1000)
        call.place(part_of(states, k, first), places, k, order.randint(0, 9))
        for index, (item, state) in enumerate(zip(items, states, strict=True)):
            if state != PENDING and item not in expected:
                expected[item] = float(first + index)
    assert sorted(told) == sorted(expected)
    assert call.pending == call.n - len(expected)
    for item, value in expected.items():
        assert call.rewards[item] == value
        if call.states[item] == FAILED:
            assert call.extras[item][1] == f"item {int(value)}"
        else:
            assert item not in call.extras
            assert call.components[item * k : item * k + k].tolist() == [
                int(value) + c / 10 for c in range(k)
            ]
    assert not any(call.states[i] for i in range(call.n) if i not in expected)


# ---- shards -------------------------------------------------------------------------------------


def groups_in(shard: Shard) -> list[pb.Group]:
    return list(pb.ScoreRequest.FromString(b"".join(shard.data())).groups)


def texts_of(shard: Shard) -> list[str]:
    return [response.text for group in groups_in(shard) for response in group.responses]


async def shards(
    sizes: list[int],
    item_s: float,
    *,
    text: str = "",
    whole_group: bool = False,
    between: bytes = b"",
    answer: str = "x",
) -> list[Shard]:
    groups = groups_of(
        *([f"{g}.{r}{text}" for r in range(size)] for g, size in enumerate(sizes)), answer=answer
    )
    reward = served(whole_group=whole_group)
    parts = [pb.ScoreRequest(groups=[group]).SerializeToString() for group in groups]
    data = between.join([b"", *parts, b""])
    call = Call(
        CallOptions("id", "label", 0.0, 1e12), [reward] * len(sizes), sizes, data, group_spans(data)
    )
    return list(shards_of(call, reward, list(enumerate(read_frame(data).groups)), item_s))


@given(
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=12),
    item_s=st.sampled_from([1e-7, 0.001, 0.01, 0.04, 1.0]),
    whole_group=st.booleans(),
)
@settings(max_examples=80, deadline=None)
async def test_shards_hold_every_item_once(
    sizes: list[int], item_s: float, whole_group: bool
) -> None:
    made = await shards(sizes, item_s, whole_group=whole_group)
    items = [i for shard in made for first, end in shard.places for i in range(first, end)]
    assert items == list(range(sum(sizes)))
    texts = [text for shard in made for text in texts_of(shard)]
    assert texts == [f"{g}.{r}" for g, size in enumerate(sizes) for r in range(size)]
    room = max(1, int(0.05 / item_s))
    for shard in made:
        assert shard.n == sum(len(group.responses) for group in groups_in(shard))
        if shard.groups:
            assert shard.bytes == sum(map(len, shard.data()))
        if whole_group:
            assert all(len(group.responses) in sizes for group in groups_in(shard))
        else:
            assert shard.n <= max(room, 1)


async def test_shards_stay_near_a_megabyte() -> None:
    made = await shards([64, 64], 1e-6, text="x" * 100_000)
    assert max(shard.bytes for shard in made) < 1.2 * TARGET_BYTES
    assert len(made) > 10
    whole = await shards([64, 64], 1e-6, text="x" * 100_000, whole_group=True)
    assert [shard.n for shard in whole] == [64, 64]


async def test_one_huge_item_is_one_shard() -> None:
    made = await shards([2], 1e-6, text="x" * (3 * TARGET_BYTES))
    assert [shard.n for shard in made] == [1, 1]


async def test_a_shard_is_split_into_its_pending_items() -> None:
    (shard,) = await shards([3, 1, 2], 1e-6)
    call = shard.call
    call.states[1] = SCORED
    call.states[4] = FAILED
    assert shard.pending == [(0, 1), (2, 4), (5, 6)]
    split = list(shard.split())
    assert [texts_of(one) for one in split] == [["0.0"], ["0.2"], ["1.0"], ["2.1"]]
    assert [one.places for one in split] == [[(0, 1)], [(2, 3)], [(3, 4)], [(5, 6)]]
    example = groups_in(split[0])[0].example
    assert example.references["answer"] == "x"


async def test_whole_groups_are_split_by_group() -> None:
    (shard,) = await shards([3, 2], 1e-6, whole_group=True)
    shard.call.states[:3] = bytes([SCORED] * 3)
    assert [texts_of(one) for one in shard.split()] == [["1.0", "1.1"]]


OTHER_FIELDS = pb.ScoreRequest(job="j", step=7, request_id="r").SerializeToString() + bytes(
    [0x79, 1, 2, 3, 4, 5, 6, 7, 8, 0x7D, 1, 2, 3, 4]  # unknown fields of 8 and of 4 bytes
)


async def test_fields_between_the_groups_are_left_out() -> None:
    """Protobuf lets a message's fields come in any order."""
    made = await shards([2, 1, 3], 1e-6, between=OTHER_FIELDS)
    assert [text for shard in made for text in texts_of(shard)] == [
        "0.0", "0.1", "1.0", "2.0", "2.1", "2.2"
    ]  # fmt: skip
    for shard in made:
        assert pb.ScoreRequest.FromString(b"".join(shard.data())).job == ""


async def test_a_large_example_is_not_copied_for_each_response() -> None:
    made = await shards([1000], 1.0, answer="x" * (2 * TARGET_BYTES))
    assert len(made) <= MAX_SLICES
    assert [text for shard in made for text in texts_of(shard)] == [f"0.{r}" for r in range(1000)]


async def test_an_item_that_is_split_off_keeps_its_losses() -> None:
    (shard,) = await shards([1, 2], 1e-6)
    shard.losses = 2
    assert [(one.losses, one.n) for one in shard.split()] == [(2, 1)] * 3
