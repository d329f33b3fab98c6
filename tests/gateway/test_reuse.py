"""Equal items of deterministic rewards: one execution, whoever asks; errors are not kept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from rewardplane.v1 import reward_service_pb2 as pb

from ..support.rig import Rig, executions, flat, groups_of, poison, request_of, rewards, rig

pytestmark = pytest.mark.asyncio(loop_scope="module")

REWARDS = {
    "sure": poison(deterministic=True),
    "unsure": poison(),
    "math": {"kind": "math", "explain": True},
    "parts": poison("parts", components=["half", "double"], deterministic=True),
    "async": poison("one_async", deterministic=True),
    "format": {"kind": "format"},
    "gated": {"kind": "composite", "formula": "sure", "gates": [{"reward": "format"}]},
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def it() -> AsyncIterator[Rig]:
    async with rig(REWARDS) as made:
        yield made
        assert made.scorer.reuse.flights == {}


def sources(it: Rig, reward: str) -> dict[str, float]:
    counted = it.metrics.rewards[reward].counted
    return {n.partition(".")[2]: v for n, v in counted.items() if n.startswith("cache_items") and v}


async def test_copies_in_500_groups_are_executed_once_a_group(tmp_path: Path) -> None:
    log = tmp_path / "log"
    texts = [[f"spin {g / 1e9 + 0.0005:.12f}"] * 16 for g in range(500)]
    async with rig({"sure": poison(deterministic=True), "unsure": poison()}) as it:
        outcomes = await it.score("sure", *texts, references={"log": str(log)})
        assert set(rewards(outcomes)) == {1.0}
        assert len(outcomes) == 8_000
        assert executions(log).total() == 500
        assert sources(it, "sure") == {"run": 500, "shared": 7_500}
        log.unlink()
        cheap = [["1"] * 16] * 500
        assert len(await it.score("unsure", *cheap, references={"log": str(log)})) == 8_000
        assert executions(log).total() == 8_000


async def test_one_switch_turns_it_off(tmp_path: Path) -> None:
    log = tmp_path / "log"
    async with rig({"sure": poison(deterministic=True)}, {"cache_mb": 0}) as it:
        for _ in range(2):
            await it.score("sure", ["1", "1"], references={"log": str(log)})
        assert executions(log).total() == 4
        assert sources(it, "sure") == {}


async def test_known_scores_come_with_all_that_they_hold(it: Rig) -> None:
    request = request_of("parts", ["2", "4"])
    plain = flat(await it.answer(request))
    request.options.include_components = True
    told = flat(await it.answer(request))
    assert rewards(plain) == rewards(told) == [2, 4]
    assert told[1].components == {"half": 2, "double": 8}  # type: ignore[union-attr]
    assert sources(it, "parts") == {"run": 2, "cached": 2}


async def test_explanations_are_kept_for_those_who_want_them(it: Rig) -> None:
    request = request_of("math", ["18"], references={"answer": "18"})
    (plain,) = flat(await it.answer(request))
    request.options.include_explanations = True
    (told,) = flat(await it.answer(request))
    assert plain.explanation == ""  # type: ignore[union-attr]
    assert told.explanation  # type: ignore[union-attr]
    assert sources(it, "math") == {"run": 1, "cached": 1}


async def test_what_differs_in_one_byte_is_another_item(it: Rig, tmp_path: Path) -> None:
    log = str(tmp_path / "log")
    groups = groups_of(["1", "1", "01"], log=log) + groups_of(["1"], log=log, more="x")
    groups[1].example.references["log"] = log
    assert rewards(flat(await it.answer(pb.ScoreRequest(reward="sure", groups=groups)))) == [1] * 4
    assert executions(Path(log)) == {"1": 2, "01": 1}


async def test_an_error_is_shared_within_the_call_and_not_kept(it: Rig, tmp_path: Path) -> None:
    log = tmp_path / "log"
    references = {"log": str(log)}
    texts = ["nonsense", "exit 3", "nonsense", "exit 3", "nan", "5"]
    wanted = ["RAISED", "CRASHED", "RAISED", "CRASHED", "INVALID_RESULT", 5.0]
    for times in (1, 2):
        assert rewards(await it.score("sure", texts, references=references)) == wanted
        assert executions(log) == {"nonsense": times, "exit 3": times, "nan": times, "5": 1}


@pytest.mark.parametrize("reward", ["sure", "async"])
async def test_calls_share_what_is_in_flight(it: Rig, reward: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    references = {"log": str(log)}
    texts = ["sleep 0.5 3", "sleep 0.5 4"]
    answers = [it.answer(request_of(reward, texts, references=references)) for _ in range(4)]
    assert [rewards(flat(await answer)) for answer in answers] == [[3, 4]] * 4
    assert executions(log).total() == 2


async def test_whoever_waits_goes_on_when_the_first_leaves(it: Rig, tmp_path: Path) -> None:
    log = tmp_path / "log"
    references = {"log": str(log)}
    first = it.answer(request_of("async", ["sleep 1 7"], references=references))
    while not executions(log):
        await asyncio.sleep(0.01)
    others = [
        it.answer(request_of("async", ["sleep 1 7", "2"], references=references)) for _ in range(3)
    ]
    await asyncio.sleep(0.3)
    first.cancel()
    assert [rewards(flat(await other)) for other in others] == [[7, 2]] * 3
    assert executions(log) == {"sleep 1 7": 2, "2": 1}


async def test_a_short_deadline_is_nobody_elses(it: Rig) -> None:
    short = it.answer(request_of("async", ["sleep 2 9"]), deadline_s=1)
    await asyncio.sleep(0.2)
    long = it.answer(request_of("async", ["sleep 2 9"]))
    assert rewards(flat(await short))[0] in ("DEADLINE", "QUEUE_TIMEOUT")
    assert rewards(flat(await long)) == [9]


async def test_members_of_composites_are_shared_too(it: Rig, tmp_path: Path) -> None:
    log = tmp_path / "log"
    good = "<think>1</think><answer>2</answer>"
    texts = [good, "bad", good, good]
    outcomes = await it.score("gated", texts, references={"log": str(log)})
    assert rewards(outcomes) == ["RAISED", 0, "RAISED", "RAISED"]
    assert executions(log) == {good: 1}


async def test_cheap_items_are_not_looked_up(it: Rig) -> None:
    served: Any = it.rewards.find("sure", "")
    served.pool.item_s, before = 1e-5, served.pool.item_s
    try:
        assert not it.scorer.reuse.is_worth(served)
    finally:
        served.pool.item_s = before
