"""The sandbox lane, from the configuration to the metrics: untrusted source over real gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
import yaml
from rewardplane.client.client import RewardClient
from rewardplane.config.load import ConfigError, parse
from rewardplane.rewards.types import Example, Group, Response, Score, ScoreError
from rewardplane.v1 import reward_service_pb2 as pb
from rewardplane.wire.errors import InsufficientIsolation, InvalidRequest
from rewardplane.wire.messages import outcome_from

from ..support.rig import FOLDER, Rig, flat, reasons, request_of, rewards, rig

GRADE = """
import os, time
def grade(sample, item):
    command, _, rest = sample["output_text"].partition(" ")
    if command == "sleep":
        time.sleep(float(rest))
    if command == "exit":
        os._exit(0)
    if command == "say":
        print(rest)
    if command == "nan":
        return float("nan")
    return float(sample["output_text"] == item.get("answer", ""))
"""
EVALUATE = """
def evaluate(example, response):
    return 1 if response["parts"][0]["text"] in example["references"]["answer"] else -1
"""
LIMITS = {"limit_s": 1.0, "memory_mb": 128}


@pytest.fixture
async def it() -> AsyncIterator[Rig]:
    served = {
        "grade": {"kind": "snippet", "source": GRADE, "slots": 2, **LIMITS},
        "evaluate": {"kind": "snippet", "source": EVALUATE, "isolation": "confined", **LIMITS},
        "exact": {"kind": "exact"},
    }
    async with rig(served) as made:
        yield made


def configured(**more: Any) -> Any:
    entry = {"kind": "snippet", "source": GRADE, **more}
    return parse({"rewards": {"it": entry}}, FOLDER).rewards["it"]


def test_the_kind_says_how_it_is_served() -> None:
    config = configured(slots=3)
    assert config.lane == "sandbox"
    assert config.facts.isolation == "namespaced"
    assert config.settings.concurrency == 3
    assert config.settings.timeout_s == 130
    assert configured(timeout_s=5, concurrency=1).settings.timeout_s == 5
    assert configured(source=EVALUATE).settings.timeout_s == 110
    assert configured(isolation="confined").digest != config.digest


@pytest.mark.parametrize(
    ("more", "fault"),
    [
        ({"source": "def grade(a): return 1"}, "does not take"),
        ({"source": "x ="}, "does not compile"),
        ({"isolation": "none"}, "isolation"),
        ({"slots": 0}, "slots"),
        ({"lane": "inline"}, "lane"),
    ],
)
def test_what_cannot_be_served_is_refused(more: dict[str, Any], fault: str) -> None:
    with pytest.raises(ConfigError, match=fault):
        configured(**more)


async def test_items_get_what_the_function_returns(it: Rig) -> None:
    texts = ["18", "17", "18", ""]
    assert rewards(await it.score("grade", texts, references={"answer": "18"})) == [1, 0, 1, 0]
    outcomes = await it.score("evaluate", ["Yes", "No"], references={"answer": "Yes!"})
    assert rewards(outcomes) == [1, -1]


async def test_what_goes_wrong_is_the_error_of_one_item(it: Rig) -> None:
    texts = ["nan", "exit", "sleep 30", *(f"{i}" for i in range(20))]
    outcomes = await it.score("grade", texts, references={"answer": "7"})
    named = [o.reason.name if isinstance(o, ScoreError) else "" for o in outcomes]
    assert named == ["INVALID_RESULT", "CRASHED", "TIMED_OUT", *[""] * 20]
    assert rewards(outcomes)[3:] == [float(i == 7) for i in range(20)]
    outcomes = await it.score("evaluate", ["x"])
    assert reasons(outcomes) == {"RAISED": 1}
    assert isinstance(outcomes[0], ScoreError)
    assert "KeyError: 'references' (line 3, in evaluate)" in outcomes[0].message


async def test_outcomes_say_how_they_were_isolated(it: Rig) -> None:
    request = request_of("grade", ["1"], ["2"])
    request.groups[1].reward = "exact"
    request.groups[1].example.references["answer"] = "2"
    answer = await it.answer(request)
    assert [group.isolation for group in answer.groups] == [pb.ISOLATION_LEVEL_NAMESPACED, 0]
    confined = await it.answer(request_of("evaluate", ["1"], references={"answer": "1"}))
    # What the host has, which may be more than what was asked.
    assert confined.groups[0].isolation >= pb.ISOLATION_LEVEL_CONFINED
    async with RewardClient(it.address) as client:
        infos = {info.name: info for info in await client.list_rewards()}
    assert (infos["grade"].lane, infos["grade"].isolation) == ("sandbox", "namespaced")
    assert (infos["exact"].lane, infos["exact"].isolation) == ("inline", "")


async def test_a_call_may_demand_isolation(it: Rig) -> None:
    async with RewardClient(it.address) as client:
        groups = [_group("1")]
        for name, level in (("grade", "namespaced"), ("evaluate", "confined"), ("exact", "")):
            await client.score(name, groups, min_isolation=level)
        await client.score("exact", groups, min_isolation="guest_kernel")
        with pytest.raises(InsufficientIsolation, match="promises isolation 'confined'") as caught:
            await client.score("evaluate", groups, min_isolation="namespaced")
        assert caught.value.metadata["demanded"] == "namespaced"
        with pytest.raises(ValueError, match="min_isolation"):
            await client.score("evaluate", groups, min_isolation="very")
    request = request_of("grade", ["1"])
    request.options.MergeFromString(b"\x30\x09")  # min_isolation: a level that is none
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await it.answer(request)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_the_sandbox_is_counted(it: Rig) -> None:
    await it.score("grade", ["1", "2", "exit"], references={"answer": "1"})
    figures = it.metrics.figures("grade")
    assert figures.counted["sandbox_sessions"] >= 2
    assert figures.isolation == pb.ISOLATION_LEVEL_NAMESPACED


async def validated(it: Rig, config: dict[str, Any], text: str = "18") -> Any:
    request = pb.ValidateRewardRequest(
        example=pb.Example(references={"answer": "18"}),
        response=pb.Response(text=text),
        inline_config=yaml.safe_dump(config),
    )
    return await it.call("ValidateReward", request, pb.ValidateRewardResponse, timeout=30)


async def test_source_may_be_tried_inline(it: Rig) -> None:
    config = {"kind": "snippet", "source": GRADE, **LIMITS}
    answer = await validated(it, config)
    assert outcome_from(answer.outcome, ()) == Score(1.0)
    assert answer.isolation == pb.ISOLATION_LEVEL_NAMESPACED
    answer = await validated(it, config, "say hello")
    assert answer.outcome.score.explanation.strip() == "hello"


async def test_source_that_demands_more_than_there_is_is_refused_with_what_is_missing(
    it: Rig,
) -> None:
    async with RewardClient(it.address) as client:
        with pytest.raises(InsufficientIsolation, match="guest") as caught:
            await client.validate(
                _group("1").example,
                _group("1").responses[0],
                inline_config=yaml.safe_dump(
                    {"kind": "snippet", "source": GRADE, "isolation": "guest_kernel"}
                ),
            )
        assert caught.value.metadata["demanded"] == "guest_kernel"
        with pytest.raises(InvalidRequest, match="does not compile"):
            await client.validate(
                _group("1").example,
                _group("1").responses[0],
                inline_config="{kind: snippet, source: 'def'}",
            )


async def test_nothing_is_left_behind(it: Rig) -> None:
    outcomes = await asyncio.gather(
        *(it.score("grade", ["18", "x"], references={"answer": "18"}) for _ in range(40))
    )
    assert all(rewards(o) == [1.0, 0.0] for o in outcomes)
    assert flat(await it.answer(request_of("exact", ["1"], references={"answer": "1"})))


def _group(text: str) -> Group:
    return Group(Example(references={"answer": "1"}), [Response(text)])
