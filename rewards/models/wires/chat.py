"""Labels by chat completions: the log probabilities of the answer's first token.

Sources: OpenAI's API reference (`logprobs`, `top_logprobs`); vLLM 0.32's protocol
(`logprob_token_ids`, `return_tokens_as_token_ids`, `structured_outputs`, `/tokenize`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from ...text.chat import Message
from ...types import JudgeUnreadable
from ..completion import shown, text_of
from ..distribution import from_top, label_of
from ..model import Read

TOP = 20
"""The most likely tokens that endpoints tell."""


def body(
    messages: Sequence[Message],
    labels: Sequence[str],
    read: Read,
    token_ids: Sequence[int] = (),
) -> dict[str, Any]:
    """The fields of a request whose answer is one token; the model and its limit are not in it."""
    fields: dict[str, Any] = {"messages": list(messages), "temperature": 0, "logprobs": True}
    if read == "logprob_token_ids":
        return {**fields, "logprob_token_ids": [*token_ids], "return_tokens_as_token_ids": True}
    if read == "structured":
        fields["structured_outputs"] = {"choice": list(labels)}
    return {**fields, "top_logprobs": TOP}


def reading(
    reply: Mapping[str, Any], labels: Sequence[str], read: Read, token_ids: Sequence[int] = ()
) -> tuple[dict[str, float], float | None]:
    """The labels' probabilities, and their mass where the read tells it.

    Raises:
        JudgeRefused: the model refused, or a filter took its words.
        JudgeUnreadable: there are no log probabilities, or not those of the labels.
        InvalidResult: they are no log probabilities.
    """
    said = text_of(reply, may_be_cut=True)
    top = _top(reply)
    if read == "logprob_token_ids":
        names = {
            f"token_id:{number}": label for number, label in zip(token_ids, labels, strict=True)
        }
        # By token: one that was drawn as well as asked for may stand there twice.
        found = {names[token]: logprob for token, logprob in top if token in names}
        missing = {*labels} - {*found}
        if missing:
            raise JudgeUnreadable(f"the endpoint told no log probability of {sorted(missing)}")
        return from_top(found.items(), labels)
    if read == "structured":
        if label_of(said, labels) is None and said.strip():
            raise JudgeUnreadable(f"want one of {list(labels)}, got {shown(said)}")
        # Whatever is no label is ruled out: how likely that was is lost.
        return from_top([(t, p) for t, p in top if label_of(t, labels) is not None], labels)[
            0
        ], None
    return from_top(top, labels)


def _top(reply: Mapping[str, Any]) -> list[tuple[str, float]]:
    choice = cast("dict[str, Any]", cast("list[Any]", reply["choices"])[0])
    logprobs: Any = choice.get("logprobs")
    content: Any = (
        cast("dict[str, Any]", logprobs).get("content") if isinstance(logprobs, dict) else None
    )
    first: Any = cast("list[Any]", content)[0] if isinstance(content, list) and content else None
    rows: Any = (
        cast("dict[str, Any]", first).get("top_logprobs") if isinstance(first, dict) else None
    )
    if not isinstance(rows, list) or not rows:
        raise JudgeUnreadable("the reply holds no choices[0].logprobs.content[0].top_logprobs")
    found: list[tuple[str, float]] = []
    for row in cast("list[Any]", rows):
        told = cast("dict[str, Any]", row) if isinstance(row, dict) else {}
        token = told.get("token")
        if not isinstance(token, str):
            raise JudgeUnreadable("a row of top_logprobs has no token")
        found.append((token, cast("float", told.get("logprob"))))
    return found
