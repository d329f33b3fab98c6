"""The number of a reward model behind vLLM's pooling runner, without an activation.

Source: vLLM 0.32, ``entrypoints/pooling/classify`` (`POST /classify`). Its own default is a sigmoid
for one label; other servers of the same name apply a softmax, which makes every number 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from ...text.chat import Message
from ...types import JudgeUnreadable
from ..distribution import finite


def body(messages: Sequence[Message]) -> dict[str, Any]:
    """The fields of a request; the model's name is not in it."""
    return {
        "messages": list(messages),
        "add_generation_prompt": False,
        "use_activation": False,
    }


def reading(reply: Mapping[str, Any]) -> float:
    """The number.

    Raises:
        JudgeUnreadable: the reply holds not exactly one, of one conversation.
        InvalidResult: it is not finite.
    """
    rows = reply.get("data")
    # Of several rows none is known to be of what was asked.
    one = cast("list[Any]", rows) if isinstance(rows, list) else []
    row: Any = one[0] if len(one) == 1 else None
    given: Any = cast("dict[str, Any]", row).get("probs") if isinstance(row, dict) else None
    values = cast("list[Any]", given) if isinstance(given, list) else []
    if len(values) != 1:
        raise JudgeUnreadable(
            f"want one number of a reward model in data[0].probs, got {str(values)[:80]}"
        )
    return finite(values[0], "the reward model's number")
