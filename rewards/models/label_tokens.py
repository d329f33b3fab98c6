"""The token of each label, as an endpoint's tokenizer has it after the end of a rendered prompt.

By vLLM's `/tokenize` and `/detokenize`. Whatever a label is in the middle of a text, at the
beginning of an answer it may be another token, or two.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, cast

from ..text.chat import Message
from ..types import JudgeUnreadable

TAIL_TOKENS = 8
"""How many of a prompt's last tokens a label is put after."""

Post = Callable[[str, Mapping[str, Any], float], Awaitable[dict[str, Any]]]
"""Posts fields to a path of the server, within seconds."""

_PROMPT: list[Message] = [{"role": "user", "content": "Answer."}]


class LabelTokens:
    """The tokens of labels, each asked for once."""

    def __init__(self, post: Post, request: Mapping[str, Any]) -> None:
        self._post = post
        self._request = {k: v for k, v in request.items() if k == "chat_template_kwargs"}
        self._known: dict[str, int] = {}
        self._tail: tuple[str, list[int]] | None = None
        self._turn = asyncio.Lock()

    async def ids(self, labels: Sequence[str], timeout_s: float) -> list[int]:
        """One token for each label, all different.

        Raises:
            JudgeUnreadable: a label is more than one token, or two labels are the same one.
            RewardFault: as the client; the endpoint has no `/tokenize`, as a rule.
        """
        if any(label not in self._known for label in labels):
            async with self._turn:
                for label in labels:
                    if label not in self._known:
                        self._known[label] = await self._id(label, timeout_s)
        found = [self._known[label] for label in labels]
        if len(set(found)) < len(found):
            raise JudgeUnreadable(f"the labels {list(labels)} are not all different tokens")
        return found

    async def _id(self, label: str, timeout_s: float) -> int:
        if self._tail is None:
            fields = {**self._request, "messages": _PROMPT, "add_generation_prompt": True}
            tail = (await self._tokens(fields, timeout_s))[-TAIL_TOKENS:]
            reply = await self._post("detokenize", {"tokens": tail}, timeout_s)
            text = reply.get("prompt")
            if not isinstance(text, str):
                raise JudgeUnreadable("/detokenize answers without `prompt`")
            again = await self._text_tokens(text, timeout_s)
            if again != tail:
                raise JudgeUnreadable("the end of a prompt is not the same when it is tokenized")
            self._tail = text, tail
        text, tail = self._tail
        tokens = await self._text_tokens(text + label, timeout_s)
        if len(tokens) != len(tail) + 1 or tokens[:-1] != tail:
            raise JudgeUnreadable(f"the label {label!r} is not one token after the prompt")
        return tokens[-1]

    async def _text_tokens(self, text: str, timeout_s: float) -> list[int]:
        return await self._tokens({"prompt": text, "add_special_tokens": False}, timeout_s)

    async def _tokens(self, fields: Mapping[str, Any], timeout_s: float) -> list[int]:
        told = (await self._post("tokenize", fields, timeout_s)).get("tokens")
        tokens = cast("list[Any]", told) if isinstance(told, list) else []
        if not tokens or not all(isinstance(token, int) for token in tokens):
            raise JudgeUnreadable("/tokenize answers without `tokens`")
        return cast("list[int]", tokens)
