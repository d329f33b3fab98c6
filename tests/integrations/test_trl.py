"""The reward functions for TRL, called as TRL calls them, against a real server."""

from __future__ import annotations

import asyncio
import copy
import datetime
import inspect
import json
import math
import pickle
import subprocess
import sys
import types
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest
from rewardplane.client import messages as chat
from rewardplane.client.endpoint import Credentials
from rewardplane.client.failures import FailedItem
from rewardplane.integrations.trl import ItemsFailed, reward_fn, sync_reward_fn
from rewardplane.rewards.references import references
from rewardplane.rewards.types import Part, Reason
from rewardplane.v1 import reward_service_pb2 as pb
from rewardplane.wire.errors import UnknownReward
from rewardplane.wire.messages import example_from, response_from

from ..client.test_client_process import server
from ..support.fake_server import FakeService, fails, serving


@pytest.fixture
def service() -> FakeService:
    return FakeService()


@pytest.fixture
async def target(service: FakeService) -> AsyncIterator[str]:
    async with serving(service) as target:
        yield target


def sent(service: FakeService) -> list[pb.Group]:
    return [group for call in service.calls for group in call.groups]


def row(group: pb.Group, response: int = 0) -> dict[str, Any]:
    """The references as the author of a reward gets them."""
    return references(example_from(group.example), response_from(group.responses[response]))


async def call(function: Any, completions: list[Any], **columns: Any) -> list[float | None]:
    """As TRL's trainer does; `prompts` are equal where none are given."""
    columns = {"prompts": ["q"] * len(completions), **columns}
    return await function(
        completions=completions,
        **columns,
        trainer_state=types.SimpleNamespace(global_step=12),
        log_extra=lambda column, values: None,
        log_metric=lambda name, value: None,
        environments=None,
    )


# ---- what trainers look at -----------------------------------------------------------------------


def test_it_is_a_named_coroutine_function_that_survives_pickling() -> None:
    function = reward_fn("math", "a:1", on_error="raise", credentials=Credentials("t"))
    for again in (function, pickle.loads(pickle.dumps(function)), copy.deepcopy(function)):  # noqa: S301 - our own bytes
        assert inspect.iscoroutinefunction(again)
        assert asyncio.iscoroutinefunction(again)
        assert callable(again)
        assert again.__name__ == "math"
        assert again == function
        assert list(inspect.signature(again).parameters) == [
            *("prompts", "completions", "completion_ids", "columns"),
        ]
    assert reward_fn("math", name="accuracy").__name__ == "accuracy"


def test_the_sync_twin_is_a_named_plain_function_that_survives_pickling() -> None:
    function = sync_reward_fn("math", "a:1", name="accuracy")
    again = pickle.loads(pickle.dumps(function))  # noqa: S301 - our own bytes
    assert not inspect.iscoroutinefunction(again)
    assert again.__name__ == "accuracy"
    assert again == function
    assert again != reward_fn("math", "a:1", name="accuracy")


def test_a_spawned_process_can_use_it() -> None:
    with server() as target:
        code = (
            "import asyncio, pickle, sys\n"
            "function = pickle.load(sys.stdin.buffer)\n"
            "print(function.__name__, asyncio.run(function(prompts=['q'], completions=['3'])))\n"
            "print(sorted({'ray', 'pydantic', 'numpy'} & set(sys.modules)))\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", code],
            input=pickle.dumps(reward_fn("math", target)),
            capture_output=True,
            timeout=30,
            check=True,
        )
    assert done.stdout.decode().splitlines() == ["math [3.0]", "[]"]


@pytest.mark.parametrize("make", [reward_fn, sync_reward_fn])
def test_an_unknown_policy_is_refused_early(make: Any) -> None:
    with pytest.raises(ValueError, match="on_error"):
        make("math", "a:1", on_error="zero")


# ---- rows, groups and columns --------------------------------------------------------------------


async def test_rewards_come_in_the_order_of_the_rows(service: FakeService, target: str) -> None:
    prompts = ["a", "a", "b", "b", "b", "a"]
    completions = [str(i) for i in range(6)]
    rewards = await call(reward_fn("math", target), completions, prompts=prompts)
    assert rewards == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    assert [len(group.responses) for group in sent(service)] == [2, 3, 1]
    assert [g.example.contents[0].parts[0].text for g in sent(service)] == ["a", "b", "a"]


async def test_rows_of_one_prompt_with_other_columns_are_other_groups(
    service: FakeService, target: str
) -> None:
    await call(
        reward_fn("math", target), ["1"] * 5, gold=["x", "x", "y", "y", "y"], n=[1, 1, 1, 2, 2]
    )
    assert [len(group.responses) for group in sent(service)] == [2, 1, 2]


async def test_group_size_parts_what_only_looks_like_one_group(
    service: FakeService, target: str
) -> None:
    rewards = await call(reward_fn("math", target, group_size=2), ["1", "2", "3", "4", "5"])
    assert rewards == [1.0, 2.0, 3.0, 4.0, 5.0]
    assert [(len(g.responses), g.expected_size) for g in sent(service)] == [(2, 2), (2, 2), (1, 2)]


VALUES: list[tuple[Any, Any]] = [
    ("text", "text"),
    ("", ""),
    ("漢 \x00 \u202e", "漢 \x00 \u202e"),
    (3, 3),
    (2**80, 2**80),
    (0.1, 0.1),
    (True, True),
    (None, None),
    ([1, "a", None], [1, "a", None]),
    ({"k": {"n": [1.5]}}, {"k": {"n": [1.5]}}),
    ((1, 2), [1, 2]),
    (np.int64(7), 7),
    (np.float32(0.5), 0.5),
    (np.float64(0.1), 0.1),
    (np.bool_(True), True),
    (np.str_("numpy"), "numpy"),
    (np.array([1, 2]), [1, 2]),
    (np.array([[0.5], [1.0]]), [[0.5], [1.0]]),
    (np.array(["a", "b"]), ["a", "b"]),
    ({"scores": np.array([1, 2]), "best": np.int32(1)}, {"scores": [1, 2], "best": 1}),
    (datetime.date(2024, 2, 29), "2024-02-29"),
]


@pytest.mark.parametrize(("value", "back"), VALUES, ids=lambda v: f"{type(v).__name__}-{v!r}"[:40])
async def test_every_kind_of_value_reaches_the_author_as_it_was(
    service: FakeService, target: str, value: Any, back: Any
) -> None:
    await call(reward_fn("math", target), ["1", "2"], column=[value, value])
    (group,) = sent(service)
    got = row(group)["column"]
    assert got == back
    assert type(got) is type(back)
    is_text = isinstance(value, str)
    assert ("column" in group.example.references) is is_text
    assert ("column" in group.example.json_references) is not is_text


async def test_nan_and_infinity_stay_what_they_are(service: FakeService, target: str) -> None:
    await call(reward_fn("math", target), ["1"], column=[[math.nan, math.inf]])
    got = row(sent(service)[0])["column"]
    assert math.isnan(got[0])
    assert got[1] == math.inf


async def test_lone_surrogates_do_not_stop_a_step(service: FakeService, target: str) -> None:
    rewards = await call(
        reward_fn("math", target), ["5\ud800"], prompts=["\ud801"], a=["\udfff"], b=[["\ud800"]]
    )
    assert rewards == [5.0]
    assert row(sent(service)[0]) == {"a": "\ufffd", "b": ["\ufffd"]}


async def test_a_column_may_mix_kinds_and_have_any_name(service: FakeService, target: str) -> None:
    columns = {
        name: [f"{name} 1", None]
        for name in ("reward", "target", "settings", "self", "client", "name", "on_error")
    }
    assert await call(reward_fn("math", target), ["1", "2"], **columns) == [1.0, 2.0]
    one, two = sent(service)
    assert row(one) == {name: f"{name} 1" for name in columns}
    assert row(two) == dict.fromkeys(columns)


async def test_whole_arrays_may_be_columns(service: FakeService, target: str) -> None:
    await call(
        reward_fn("math", target), ["1", "2"], n=np.array([1, 2]), vectors=np.array([[1], [2]])
    )
    assert [row(group) for group in sent(service)] == [
        {"n": 1, "vectors": [1]},
        {"n": 2, "vectors": [2]},
    ]


async def test_what_the_trainer_adds_is_not_sent_but_the_step(
    service: FakeService, target: str
) -> None:
    await call(reward_fn("math", target, job="run", version="v1"), ["1"], answer=["4"])
    assert row(sent(service)[0]) == {"answer": "4"}
    assert (service.calls[0].step, service.calls[0].job) == (12, "run")
    assert service.calls[0].version == "v1"


async def test_only_the_named_columns_are_sent(service: FakeService, target: str) -> None:
    function = reward_fn("math", target, columns=["answer"])
    await call(function, ["1"], answer=["4"], image=[object()])
    assert row(sent(service)[0]) == {"answer": "4"}
    with pytest.raises(ValueError, match="no column"):
        await call(function, ["1"], other=["4"])


async def test_what_cannot_be_sent_is_named(service: FakeService, target: str) -> None:
    function = reward_fn("math", target)
    with pytest.raises(TypeError, match=r"column 'image': object cannot be sent.*columns="):
        await call(function, ["1"], image=[object()])
    with pytest.raises(ValueError, match="column 'answer' has 1 values for 2 rows"):
        await call(function, ["1", "2"], answer=["4"])
    with pytest.raises(ValueError, match="prompts has 2 values for 1 completions"):
        await call(function, ["1"], prompts=["a", "b"])
    with pytest.raises(TypeError, match="completion is int"):
        await call(function, [3])
    with pytest.warns(UserWarning, match="'flag' is no column"):
        assert await call(function, ["1"], flag=True) == [1.0]
    assert row(sent(service)[0]) == {}


async def test_token_counts_come_from_the_completion_ids(service: FakeService, target: str) -> None:
    ids = [[1, 2, 3], [], np.array([1])]
    await call(reward_fn("math", target), ["1", "2", "3"], completion_ids=ids)
    assert [r.token_count for r in sent(service)[0].responses] == [3, 0, 1]
    await call(reward_fn("math", target), ["1"])
    assert not sent(service)[1].responses[0].HasField("token_count")


async def test_an_empty_batch_is_no_call(service: FakeService, target: str) -> None:
    assert await call(reward_fn("math", target), []) == []
    assert not service.calls


# ---- conversations -------------------------------------------------------------------------------


async def test_conversations_become_turns(service: FakeService, target: str) -> None:
    prompt = [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "2+2?"}]},
    ]
    completions = [
        [{"role": "assistant", "content": "4"}],
        [
            {
                "role": "assistant",
                "content": None,
                "reasoning_content": "hm",
                "tool_calls": [
                    {
                        "id": "c",
                        "type": "function",
                        "function": {"name": "add", "arguments": '{"a": 2}'},
                    }
                ],
            },
            {"role": "tool", "name": "add", "tool_call_id": "c", "content": "5"},
            {"role": "assistant", "content": "5"},
        ],
    ]
    rewards = await call(reward_fn("math", target), completions, prompts=[prompt, prompt])
    assert rewards == [4.0, 5.0]
    (group,) = sent(service)
    example = example_from(group.example)
    assert example.system_instruction is not None
    assert example.system_instruction.text == "be brief"
    assert [(c.role, c.text) for c in example.contents] == [("user", "2+2?")]
    plain, agent = (response_from(response) for response in group.responses)
    assert (plain.text, [c.role for c in plain.turns]) == ("4", ["model"])
    assert (agent.text, [c.role for c in agent.turns]) == ("5", ["model", "tool", "model"])
    assert agent.turns[0].parts[0] == Part("hm", thought=True)
    called, answered = agent.turns[0].parts[1].data, agent.turns[1].parts[0].data
    assert (called.name, called.args, called.id) == ("add", {"a": 2}, "c")  # type: ignore[union-attr]
    assert (answered.response, answered.id) == ({"result": "5"}, "c")  # type: ignore[union-attr]


@pytest.mark.parametrize("arguments", ["not json", "[1]", [1]])
def test_arguments_that_are_no_object_are_kept_as_they_are(arguments: Any) -> None:
    message = {
        "role": "assistant",
        "tool_calls": [{"function": {"name": "f", "arguments": arguments}}],
    }
    args = chat.turns([message])[0].parts[0].data.args  # type: ignore[union-attr]
    want = arguments if arguments in ("not json", [1]) else json.loads(arguments)
    assert args == {"arguments": want}


@pytest.mark.parametrize(
    "message", ["text", {}, {"content": "x"}, 3, {"role": "user", "content": 3}]
)
def test_what_is_no_message_is_refused(message: Any) -> None:
    with pytest.raises(TypeError, match="message"):
        chat.turns([message])


# ---- failures ------------------------------------------------------------------------------------


async def test_a_failing_item_is_none_and_is_counted(target: str) -> None:
    metrics: dict[str, float] = {}
    function = reward_fn("math", target)
    rewards = await function(
        prompts=["q"] * 5,
        completions=["1", "TIMED_OUT", "3", "NOT_APPLICABLE", "RAISED"],
        log_metric=metrics.__setitem__,
    )
    assert rewards == [1.0, None, 3.0, None, None]
    assert metrics["rewardplane/math/error_fraction"] == 0.5


@pytest.mark.parametrize("on_error", ["none", "raise"])
async def test_not_applicable_is_none_and_never_an_error(target: str, on_error: Any) -> None:
    metrics: dict[str, float] = {}
    function = reward_fn("math", target, on_error=on_error)
    for completions, want in (
        (["NOT_APPLICABLE", "2"], [None, 2.0]),
        (["NOT_APPLICABLE"] * 2, [None, None]),
    ):
        assert (
            await function(
                prompts=["q", "q"], completions=completions, log_metric=metrics.__setitem__
            )
            == want
        )
        assert metrics == {"rewardplane/math/error_fraction": 0.0}


async def test_on_error_raise_names_the_first_failures(target: str) -> None:
    completions = ["1", *["RAISED", "CRASHED", "TIMED_OUT", "INVALID_INPUT"], "NOT_APPLICABLE"]
    with pytest.raises(ItemsFailed) as caught:
        await call(reward_fn("math", target, on_error="raise"), completions)
    error = caught.value
    assert str(error).startswith(
        "4 of 6 items have no reward 'math': 1 RAISED, 1 CRASHED, 1 TIMED_OUT, 1 INVALID_INPUT; "
        "item 1: RAISED as told: RAISED; item 2: CRASHED"
    )
    assert "item 4" not in str(error)
    assert [f.index for f in error.failures] == [1, 2, 3, 4]
    assert error.failures[2] == FailedItem(3, Reason.TIMED_OUT, "as told: TIMED_OUT")


@pytest.mark.parametrize("completions", [["RAISED"], ["RAISED", "NOT_APPLICABLE", "CRASHED"]])
async def test_it_raises_when_every_item_failed(target: str, completions: list[str]) -> None:
    metrics: dict[str, float] = {}
    with pytest.raises(ItemsFailed, match="RAISED"):
        await reward_fn("math", target)(
            prompts=["q"] * len(completions),
            completions=completions,
            log_metric=metrics.__setitem__,
        )
    assert metrics["rewardplane/math/error_fraction"] == 1.0


@pytest.mark.parametrize("on_error", ["none", "raise"])
async def test_a_failed_call_raises(service: FakeService, target: str, on_error: Any) -> None:
    service.script = [fails(UnknownReward("no"))]
    with pytest.raises(UnknownReward):
        await call(reward_fn("math", target, on_error=on_error), ["1"])


# ---- the twin ------------------------------------------------------------------------------------


async def test_the_sync_twin_does_the_same(service: FakeService, target: str) -> None:
    function = sync_reward_fn("math", target, job="run")
    rewards = await asyncio.to_thread(
        function, prompts=["a", "b"], completions=["1", "RAISED"], answer=["4", 5]
    )
    assert rewards == [1.0, None]
    assert [row(group) for group in sent(service)] == [{"answer": "4"}, {"answer": 5}]
    assert function(prompts=[], completions=[]) == []


async def test_several_functions_at_once_share_a_client(service: FakeService, target: str) -> None:
    functions = [reward_fn(name, target) for name in ("math", "math2")]
    both = await asyncio.gather(*(call(function, ["1", "2"]) for function in functions))
    assert both == [[1.0, 2.0]] * 2
    assert {call.reward for call in service.calls} == {"math", "math2"}


async def test_the_target_may_stand_in_the_environment(
    service: FakeService, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REWARDPLANE_TARGET", target)
    assert await call(reward_fn("math"), ["1"]) == [1.0]
    # Not the one of the first call for ever.
    async with serving(other := FakeService()) as elsewhere:
        monkeypatch.setenv("REWARDPLANE_TARGET", elsewhere)
        assert await call(reward_fn("math"), ["2"]) == [2.0]
    assert (len(service.calls), len(other.calls)) == (1, 1)
