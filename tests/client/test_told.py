"""What an outcome tells beside its number, from the reward to the client: each where it is asked
for."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from rewardplane.client import RewardClient
from rewardplane.rewards.types import Example, Group, Reason, Response, Score, ScoreError, Usage

from ..support.rig import rig

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client() -> AsyncIterator[RewardClient]:
    rewards = {"it": {"kind": "python", "function": "telling:grade"}}
    async with rig(rewards) as service, RewardClient(service.address) as made:
        yield made


GROUP = Group(Example(), [Response("read"), Response("refused"), Response("é")])


@pytest.mark.parametrize(
    ("asked", "want"),
    [
        ((), Score(1.0)),
        (("details",), Score(1.0, details_json='{"it": "read"}')),
        (("explanations",), Score(1.0, {}, "words", (), "read")),
        (("step_rewards",), Score(1.0, {}, "", (0.5,))),
        (
            ("details", "explanations", "step_rewards"),
            Score(1.0, {}, "words", (0.5,), "read", '{"it": "read"}'),
        ),
    ],
)
async def test_scores_tell_what_was_asked_for(
    client: RewardClient, asked: tuple[str, ...], want: Score
) -> None:
    options = {f"include_{name}": True for name in asked}
    ((read, refused, other),) = await client.score("it", [GROUP], **options)  # type: ignore[arg-type]
    assert read == want
    assert isinstance(other, Score)
    assert other.details_json == ('{"it": "é"}' if "details" in asked else "")
    # What was spent in vain is told in any case.
    spent = Usage(100, 20, 7, 2)
    assert refused == ScoreError(Reason.JUDGE_REFUSED, "it would not", spent)


async def test_a_stream_tells_the_same(client: RewardClient) -> None:
    told = [
        streamed.outcome async for streamed in client.stream("it", [GROUP], include_details=True)
    ]
    assert [score.details_json for score in told if isinstance(score, Score)] == [
        '{"it": "read"}',
        '{"it": "é"}',
    ]
    assert [e.usage for e in told if isinstance(e, ScoreError)] == [Usage(100, 20, 7, 2)]
