"""`ValidateReward`: one response; a configured reward, or one given inline that names no code."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc
import psutil
import pytest
import pytest_asyncio
from rewardplane.gateway.validate import MAX_WAITING, Validator
from rewardplane.v1 import reward_service_pb2 as pb
from rewardplane.wire.errors import Overloaded
from rewardplane.wire.messages import outcome_from

from ..support.rig import Rig, poison, rewards, rig
from .test_server import refused

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def it() -> AsyncIterator[Rig]:
    served = {
        "exact": {"kind": "exact"},
        "parts": poison("parts", components=["half", "double"], clip=[0, 5]),
        "whole": poison("whole"),
    }
    async with rig(served) as made:
        yield made


def asked(text: str, answer: str = "5", **source: Any) -> pb.ValidateRewardRequest:
    references = {"answer": answer} if answer else {}
    config = source.pop("inline", None)
    if config is not None:
        source["inline_config"] = config if isinstance(config, str) else json.dumps(config)
    return pb.ValidateRewardRequest(
        example=pb.Example(references=references), response=pb.Response(text=text), **source
    )


async def validate(it: Rig, request: pb.ValidateRewardRequest) -> tuple[Any, Any]:
    answer = await it.call("ValidateReward", request, pb.ValidateRewardResponse, timeout=60)
    return answer, outcome_from(answer.outcome, answer.reward.component_names)


async def test_a_configured_reward_tells_all_it_has(it: Rig) -> None:
    answer, outcome = await validate(it, asked("4", reward="parts"))
    assert outcome.reward == 4.0
    assert outcome.components == {"half": 2.0, "double": 8.0}
    assert answer.reward.name == "parts"
    assert answer.execution_us > 0
    assert not answer.messages


async def test_remarks_help_the_author(it: Rig) -> None:
    answer, outcome = await validate(it, asked("", answer="", reward="exact"))
    assert rewards([outcome]) == ["INVALID_REFERENCE"]
    assert [m for m in answer.messages if "'answer'" in m]
    assert "the response is empty" in answer.messages
    answer, outcome = await validate(it, asked("7", reward="parts"))
    assert outcome.reward == 5.0
    assert any("clip range" in message for message in answer.messages)


async def test_one_response_is_a_whole_group_here(it: Rig) -> None:
    _, outcome = await validate(it, asked("1", reward="whole"))
    assert outcome.reward == 1.0


@pytest.mark.parametrize(
    ("config", "text", "reward"),
    [
        ({"kind": "exact"}, "5", 1.0),
        ({"kind": "exact"}, "6", 0.0),
        ("kind: numeric\nabs_tol: 0.1\n", "5.05", 1.0),
        ("kind: exact\ncorrect_reward: 2\nclip: [0, 1.5]\nversion: 2026-11-20", "5", 1.5),
        ({"kind": "format", "tags": ["a"]}, "<a>x</a>", 1.0),
    ],
)
async def test_an_inline_configuration_is_tried(
    it: Rig, config: Any, text: str, reward: float
) -> None:
    before = {p.pid for p in psutil.Process().children(recursive=True)}
    answer, outcome = await validate(it, asked(text, inline=config))
    assert outcome.reward == reward
    assert answer.reward.name == "inline"
    assert {p.pid for p in psutil.Process().children(recursive=True)} == before


@pytest.mark.parametrize(
    "config",
    [
        {"kind": "python", "function": "os:getcwd"},
        {"kind": "python", "function": "no.such:thing", "python_path": ["/"]},
        {"kind": "python"},
    ],
)
async def test_an_inline_configuration_names_no_code(it: Rig, config: Any) -> None:
    code, reason, _ = await refused(validate(it, asked("5", inline=config)))
    assert (code, reason) == (grpc.StatusCode.PERMISSION_DENIED, "INLINE_CODE")


@pytest.mark.parametrize(
    "config",
    [
        "",
        "5",
        "[]",
        "kind: exakt",
        "kind: [exact]",
        "nothing: here",
        "kind: exact\nunknown: 1",
        "kind: exact\ntimeout_s: -1",
        "kind: exact\nlane: gpu",
        "kind: exact\nclip: [1, 0]",
        "kind: exact\nclip: [.nan, 1]",
        "kind: exact\ntimeout_s: .inf",
        "kind: regex\npattern: '('",
        "{",
        "a: b: c",
        "!!python/object/apply:os.system [ls]",
        "kind: !!timestamp x",
        "kind: exact\nx: " + "9" * 5000,
        "[" * 100_000,
        "{a: " * 50_000,
        "kind: exact\n" + " " * 300_000,
        "a: &a [x,x,x]\n" + "".join(f"a{i}: &a [*a,*a,*a,*a,*a,*a,*a,*a]\n" for i in range(30)),
        "kind: exact\0",
    ],
)
async def test_a_bad_inline_configuration_is_refused_and_holds_nobody_up(
    it: Rig, config: str
) -> None:
    slowest_s = 0.0

    async def watch() -> None:
        nonlocal slowest_s
        while True:
            begin_s = time.monotonic()
            await asyncio.sleep(0.01)
            slowest_s = max(slowest_s, time.monotonic() - begin_s)

    watching = asyncio.create_task(watch())
    code, reason, found = await refused(validate(it, asked("5", inline=config)))
    watching.cancel()
    assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
    assert found["BadRequest"].field_violations[0].field == "inline_config"
    assert slowest_s < 1


async def test_a_request_without_a_reward_is_refused(it: Rig) -> None:
    code, _, found = await refused(validate(it, asked("5")))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert found["BadRequest"].field_violations[0].field == "source"
    code, reason, _ = await refused(validate(it, asked("5", reward="nobody")))
    assert (code, reason) == (grpc.StatusCode.NOT_FOUND, "UNKNOWN_REWARD")


async def test_an_inline_trial_that_takes_for_ever_is_killed(it: Rig) -> None:
    config = {"kind": "math", "timeout_s": 1}
    request = asked("\\boxed{9^{9^{9^{9^{9}}}}}", answer="9^{9^{9^{9}}}", inline=config)
    begin_s = time.monotonic()
    _, outcome = await validate(it, request)
    assert time.monotonic() - begin_s < 20
    assert rewards([outcome])[0] in ("TIMED_OUT", "OUT_OF_MEMORY", "INVALID_REFERENCE", 0.0)


async def test_many_long_configurations_are_read_one_after_another() -> None:
    """Whoever leaves takes its text along; who is too many is told at once."""
    async with rig({"exact": {"kind": "exact"}}) as it:
        running = most = 0
        gate = threading.Event()
        validator = Validator(it.scorer, it.metrics, it.config.limits)

        def read(number: int) -> int:
            nonlocal running, most
            running += 1
            most = max(most, running)
            gate.wait(10)
            running -= 1
            return number

        reading = [asyncio.create_task(validator.reading(read, n)) for n in range(MAX_WAITING)]
        await asyncio.sleep(0.1)
        with pytest.raises(Overloaded):
            await validator.reading(read, -1)
        for task in reading[1:-1]:
            task.cancel()
        await asyncio.sleep(0.1)
        gate.set()
        assert [await reading[0], await reading[-1]] == [0, MAX_WAITING - 1]
        assert most == 1
        assert await validator.reading(read, 7) == 7
