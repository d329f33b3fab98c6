"""Reward classes for ms-swift's GRPO (`--external_plugins`, `--reward_funcs`).

In a plugin file::

    from swift.rewards import orms
    from rewardplane.integrations.ms_swift import orm

    orms["math"] = orm("math", "localhost:50051", rename={"solution": "answer"})

ms-swift 4.6.0 calls `reward(completions, **columns)`, completions being the texts of the last
messages and `messages` the whole conversations, of rollouts with several turns too
(swift/rl_core/grpo_algorithm.py, `compute_rewards_per_func`; rollout/multi_turn.py). It logs a
reward by the name of its class. None becomes NaN, which it leaves out of the sum of rewards.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Unpack

from rewardplane.client.target import Target

from .remote_reward import AdapterArgs, Policy, RemoteReward

POLICIES: tuple[Policy, ...] = ("none", "raise", "value")

NOT_SENT = frozenset(
    {
        *("trainer_state", "messages", "prompt_id", "request_id", "finish_reason", "is_truncated"),
        *("rollout_infos", "response_token_ids", "encoded"),
    }
)
"""What ms-swift hands over beside the columns of the data set: of one response each, they would
part every group."""


_OWN = ("assistant", "tool_call")
"""The roles of what the model says."""


class Orm:
    """The base of the classes that `orm` makes: one reward of one service."""

    remote: RemoteReward

    def __init__(self, args: Any = None, **_: Any) -> None:
        self.args = args

    def __reduce__(self) -> tuple[object, ...]:
        return _instance, (self.remote,)

    async def __call__(
        self, completions: Sequence[Any], messages: Sequence[Any] | None = None, **columns: Any
    ) -> list[float | None]:
        """One reward per completion, in their order; None where there is none.

        Raises:
            ItemsFailed: all failed, or one did and `on_error` says so.
            CallError: the call failed as a whole.
        """
        step = int(getattr(columns.get("trainer_state"), "global_step", 0))
        sent = {name: values for name, values in columns.items() if name not in NOT_SENT}
        prompts: list[Any] | None = None
        if messages is not None:
            ids, infos = columns.get("response_token_ids"), columns.get("rollout_infos")
            parted = [
                parts_of(said, ids[i] if ids else None, infos[i] if infos else None)
                for i, said in enumerate(messages)
            ]
            prompts = [prompt for prompt, _ in parted]
            completions = [completion for _, completion in parted]
        batch = self.remote.groups_of(prompts, completions, None, sent)
        return self.remote.settle(await self.remote.score_rows(batch, step))


def parts_of(
    messages: Sequence[Any], token_ids: Sequence[Any] | None, infos: Mapping[str, Any] | None
) -> tuple[list[Any], Any]:
    """A sample's conversation as the prompt and the completion.

    The completion is the text of the last message or, of several turns (`--multi_turn_scheduler`),
    the messages from the first turn of the rollout on. How many turns those are is told by the
    tokens, a list for each of the model's, or, where there are none, by the scheduler's
    `num_turns`.
    """
    turns = len(token_ids) if token_ids and not isinstance(token_ids[0], int) else 1
    if not token_ids and infos:
        turns = int(infos.get("num_turns") or 1)
    roles = ["", *(message["role"] for message in messages)]
    mine = [i for i, role in enumerate(roles[1:]) if role in _OWN and roles[i] not in _OWN]
    begin = mine[-min(turns, len(mine))] if mine else len(messages) - 1
    prompt = [_message(message) for message in messages[:begin]]
    if begin == len(messages) - 1:
        return prompt, messages[begin]["content"]
    return prompt, [_message(message) for message in messages[begin:]]


def _message(message: Mapping[str, Any]) -> Mapping[str, Any]:
    """A message as others write it: here tool calls and results have roles of their own."""
    role, content = message["role"], message.get("content")
    if role == "tool_response":
        return {**message, "role": "tool"}
    if role != "tool_call":
        return message
    try:
        call: Any = json.loads(content) if isinstance(content, str) else content
    except (ValueError, RecursionError):
        call = None
    if not isinstance(call, Mapping):
        return {"role": "assistant", "content": content}
    return {"role": "assistant", "content": None, "tool_calls": [call]}


def orm(reward: str, target: Target | None = None, **args: Unpack[AdapterArgs]) -> type[Orm]:
    """A class for ms-swift's table `orms`; its name is the reward's or `name`.

    `on_error`: "none" (the default) gives None, "raise" raises, "value" gives `value`.

    Raises:
        ValueError: the target or a setting is malformed.
    """
    return _class(RemoteReward.of(reward, target, POLICIES, args))


def _class(remote: RemoteReward) -> type[Orm]:
    return type(remote.label, (Orm,), {"remote": remote, "__doc__": Orm.__doc__})


def _instance(remote: RemoteReward) -> Orm:
    return _class(remote)()
