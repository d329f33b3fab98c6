"""Conversations as ms-swift 4.6.0 hands them to rewards (swift/rl_core/data.py, `to_reward_row`;
swift/rollout/multi_turn.py)."""

from __future__ import annotations

from typing import Any

import pytest
from rewardplane.integrations.ms_swift import orm, parts_of
from rewardplane.rewards.types import FunctionCall, FunctionResponse

ASKED = [{"role": "system", "content": "s"}, {"role": "user", "content": "2+2?"}]
EARLIER = [{"role": "assistant", "content": "hm"}, {"role": "user", "content": "so?"}]


def said(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


SECOND_TRY = [said("5"), {"role": "user", "content": "sure?"}, said("4")]
TOOLS = [
    said("I compute."),
    {"role": "tool_call", "content": '{"name": "add", "arguments": {"a": 2, "b": 2}}'},
    {"role": "tool_response", "content": "4"},
    said("4"),
]


@pytest.mark.parametrize(
    ("prompt", "rollout", "ids", "infos"),
    [
        (ASKED, [said("4")], [7, 8, 9], {}),
        (ASKED, [said("4")], None, {}),
        (ASKED, [said("4")], [[7, 8, 9]], {"num_turns": 1}),
        ([*ASKED, *EARLIER], [said("4")], [7], None),
        (ASKED, SECOND_TRY, [[7], [8, 9]], {"num_turns": 2}),
        ([*ASKED, *EARLIER], SECOND_TRY, [[7], [8, 9]], {"num_turns": 2}),
        (ASKED, SECOND_TRY, None, {"num_turns": 2}),
        # A turn that goes on with the last message is one message, and one list of tokens.
        ([*ASKED, *EARLIER], SECOND_TRY, [[7], [8, 9]], {"num_turns": 3}),
        ([*ASKED, *EARLIER], TOOLS, [[7], [8]], {"num_turns": 2}),
        ([*ASKED, *EARLIER], TOOLS[1:], [[7], [8]], {"num_turns": 2}),
    ],
)
def test_the_completion_is_what_the_rollout_said(
    prompt: list[Any], rollout: list[Any], ids: Any, infos: Any
) -> None:
    asked, completion = parts_of([*prompt, *rollout], ids, infos)
    assert asked == prompt
    if len(rollout) == 1:
        assert completion == "4"
    else:
        assert completion[0]["role"] == "assistant"
        assert completion[-1] == said("4")
        assert len(completion) == len(rollout)


def test_turns_arrive_and_groups_stay_whole() -> None:
    remote = orm("math", "a:1")().remote
    conversations = [[*ASKED, *TOOLS], [*ASKED, *SECOND_TRY], [*ASKED, said("4")]]
    ids = [[[7], [8]], [[7], [8]], [7]]
    parted = [parts_of(m, i, None) for m, i in zip(conversations, ids, strict=True)]
    prompts, completions = zip(*parted, strict=True)
    (group,) = remote.groups_of(prompts, completions, None, {"answer": ["4"] * 3})
    tools, tries, plain = group.responses
    assert [turn.role for turn in tools.turns] == ["model", "model", "tool", "model"]
    assert tools.turns[1].parts[0].data == FunctionCall("add", {"a": 2, "b": 2})
    assert isinstance(tools.turns[2].parts[0].data, FunctionResponse)
    assert [turn.text for turn in tries.turns] == ["5", "sure?", "4"]
    assert plain.text == "4"


def test_a_call_that_is_no_json_is_what_the_model_said() -> None:
    rollout = [{"role": "tool_call", "content": "add("}, said("4")]
    _, completion = parts_of([*ASKED, said("x"), *rollout], [[1], [2]], None)
    assert completion[1] == {"role": "assistant", "content": "add("}
