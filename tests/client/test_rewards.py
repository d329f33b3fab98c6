"""Rewards or one exception: rows in, floats out."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rewardplane.client import FailedItem, ItemsFailed, RewardClient, SyncRewardClient
from rewardplane.client.failures import rewards_of
from rewardplane.rewards.types import Outcome, Reason, Score, ScoreError
from rewardplane.wire.errors import UnknownReward

from ..support.fake_server import FakeService, fails, serving


@pytest.fixture
def service() -> FakeService:
    return FakeService()


@pytest.fixture
async def client(service: FakeService) -> AsyncIterator[RewardClient]:
    async with serving(service) as target, RewardClient(target) as client:
        yield client


async def test_rows_give_floats_in_their_order(service: FakeService, client: RewardClient) -> None:
    prompts = ["a", "a", [{"role": "user", "content": "b"}], "a"]
    completions = ["1", "2", [{"role": "assistant", "content": "3"}], "4"]
    rewards = await client.rewards(
        "math",
        prompts,
        completions,
        {"solution": ["x", "x", "y", "x"]},
        rename={"solution": "answer"},
        completion_ids=[[1], [1, 2], [], [3]],
        step=7,
    )
    assert rewards == [1.0, 2.0, 3.0, 4.0]
    (call,) = service.calls
    assert call.step == 7
    assert [len(group.responses) for group in call.groups] == [2, 1, 1]
    assert [dict(group.example.references) for group in call.groups] == [
        {"answer": "x"},
        {"answer": "y"},
        {"answer": "x"},
    ]
    assert [r.token_count for group in call.groups for r in group.responses] == [1, 2, 0, 1]
    assert await client.rewards("math", None, ["5"]) == [5.0]
    assert await client.rewards("math", [], []) == []
    assert len(service.calls) == 2


async def test_one_row_gives_a_float_and_many_at_once_few_calls(
    service: FakeService, client: RewardClient
) -> None:
    calls = [
        client.reward("math", "q", str(i), {"gold": 1}, rename={"gold": "answer"})
        for i in range(1_000)
    ]
    assert await asyncio.gather(*calls) == [float(i) for i in range(1_000)]
    assert len(service.calls) <= 10
    assert dict(service.calls[0].groups[0].example.json_references) == {"answer": "1"}


async def test_items_without_a_reward_raise_with_each_of_them(client: RewardClient) -> None:
    completions = ["1", "TIMED_OUT", "TIMED_OUT", "RAISED", "NOT_APPLICABLE", "6"]
    with pytest.raises(ItemsFailed) as caught:
        await client.rewards("math", ["q"] * 6, completions)
    error = caught.value
    assert [(f.index, f.reason.name) for f in error.failures] == [
        *((1, "TIMED_OUT"), (2, "TIMED_OUT"), (3, "RAISED"), (4, "NOT_APPLICABLE")),
    ]
    assert error.counts == {"TIMED_OUT": 2, "RAISED": 1, "NOT_APPLICABLE": 1}
    assert str(error) == (
        "4 of 6 items have no reward 'math': 2 TIMED_OUT, 1 RAISED, 1 NOT_APPLICABLE; "
        "item 1: TIMED_OUT as told: TIMED_OUT; item 3: RAISED as told: RAISED; "
        "item 4: NOT_APPLICABLE as told: NOT_APPLICABLE"
    )
    with pytest.raises(ItemsFailed, match="1 of 1 items have no reward 'math': 1 RAISED"):
        await client.reward("math", "q", "RAISED")


async def test_a_call_that_fails_as_a_whole_is_no_failed_item(
    service: FakeService, client: RewardClient
) -> None:
    service.script = [fails(UnknownReward("no"))]
    with pytest.raises(UnknownReward):
        await client.rewards("math", ["q"], ["1"])


async def test_renames_that_do_not_fit_are_named(client: RewardClient) -> None:
    with pytest.raises(ValueError, match=r"rename: there is no column \['gold'\], only \['answer'"):
        await client.rewards("math", ["q"], ["1"], {"answer": ["4"]}, rename={"gold": "answer"})
    with pytest.raises(ValueError, match=r"two columns would be called \['answer'\]"):
        await client.rewards(
            "math", ["q"], ["1"], {"answer": ["4"], "gold": ["4"]}, rename={"gold": "answer"}
        )


async def test_the_sync_client_does_the_same(service: FakeService) -> None:
    async with serving(service) as target:
        client = SyncRewardClient([target])
        rewards = await asyncio.to_thread(
            client.rewards, "math", ["q"] * 2, ["1", "2"], {"gold": [3, 4]}, rename={"gold": "g"}
        )
        assert rewards == [1.0, 2.0]
        assert await asyncio.to_thread(client.reward, "math", "q", "5") == 5.0
        with pytest.raises(ItemsFailed):
            await asyncio.to_thread(client.rewards, "math", None, ["RAISED"])
        await asyncio.to_thread(client.close)


OUTCOMES = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False).map(Score),
    st.builds(ScoreError, st.sampled_from(Reason), st.text()),
)


@given(st.lists(OUTCOMES))
def test_floats_or_an_exception_that_names_every_item(outcomes: list[Outcome]) -> None:
    failed = [i for i, outcome in enumerate(outcomes) if isinstance(outcome, ScoreError)]
    if not failed:
        assert rewards_of(outcomes, "r") == [o.reward for o in outcomes if isinstance(o, Score)]
        return
    with pytest.raises(ItemsFailed) as caught:
        rewards_of(outcomes, "r")
    error = caught.value
    assert [failure.index for failure in error.failures] == failed
    assert sum(error.counts.values()) == len(failed)
    assert error.total == len(outcomes)
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert (str(again), again.failures, again.counts) == (
        str(error),
        error.failures,
        error.counts,
    )
    assert all(name in str(error) for name in error.counts)


def test_a_failed_item_reads_well() -> None:
    assert str(FailedItem(3, Reason.RAISED, "boom")) == "item 3: RAISED boom"
