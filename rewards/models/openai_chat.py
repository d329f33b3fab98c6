"""A judge behind an OpenAI-compatible chat API: OpenAI itself, vLLM, SGLang, LiteLLM."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, cast

from ..http.client import Client, rules_of
from ..http.endpoint import Endpoint
from ..http.reply import usage_of
from ..types import JudgeRefused, JudgeUnreadable, RewardFault, Usage
from .asking import with_text
from .completion import shown, text_of
from .decision import Decision, Refused, Unreadable, decision_of, schema_of
from .question import Ask, Judgement
from .repair import complaint, in_words, judgement_of

_MEDIA_TOKENS = 1_000.0
"""What an image or a sound is taken for: its bytes say little about its tokens."""


class OpenAIChat:
    """The `Judge` for chat completions: one call a question, two where the answer is repaired.

    Verdicts are asked for as JSON under a schema. An answer that is none is sent back once, with
    what is wrong with it; a refusal, or one that is cut off, is not.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._client = Client(rules_of(endpoint))

    async def decide(
        self, asks: Sequence[Ask], timeout_s: float
    ) -> Sequence[Judgement | RewardFault]:
        """As `Judge.decide`."""
        until_s = asyncio.get_running_loop().time() + timeout_s
        return await asyncio.gather(*(self._judgement(ask, until_s) for ask in asks))

    async def embed(self, model: str, texts: Sequence[str], timeout_s: float) -> list[list[float]]:
        """The embeddings of the texts, in their order, by the endpoint's name for `model`.

        Raises:
            RewardFault: as `decide`; JudgeUnreadable where the reply holds no such embeddings.
        """
        body = {"model": self._endpoint.model_for(model), "input": list(texts)}
        reply = await self._post("embeddings", body, timeout_s)
        try:
            rows = sorted(reply["data"], key=lambda row: row["index"])
            whose = [row["index"] for row in rows]
            vectors = [[float(x) for x in row["embedding"]] for row in rows]
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise JudgeUnreadable(f"the reply holds no embeddings: {error!r}") from None
        if whose != [*range(len(texts))]:
            told = shown(", ".join(map(str, whose)))
            raise JudgeUnreadable(f"embeddings of the texts {told}, want 0 to {len(texts) - 1}")
        return vectors

    def take_figures(self) -> dict[str, float]:
        """As `Judge.take_figures`."""
        return self._client.take_figures()

    async def close(self) -> None:
        """As `Judge.close`."""
        await self._client.close()

    async def _judgement(self, ask: Ask, until_s: float) -> Judgement | RewardFault:
        spent: list[Usage] = []
        try:
            decision = await self._decision(ask, until_s, spent)
        except RewardFault as fault:
            if isinstance(fault, JudgeUnreadable):
                self._client.count("unreadable", 1)
            elif isinstance(fault, JudgeRefused):
                self._client.count("refusals", 1)
            fault.usage = sum(spent, Usage())
            return fault
        judgement = judgement_of(ask.question, decision, sum(spent, Usage()))
        if judgement.unclipped is not None:
            self._client.count("clipped", 1)
        return judgement

    async def _decision(self, ask: Ask, until_s: float, spent: list[Usage]) -> Decision:
        """The verdict, after a repair if need be; what each call took goes to `spent`."""
        question, body = ask.question, self._body(ask)
        first = await self._complete(body, until_s, spent)
        try:
            return decision_of(question, first, ask.messages)
        except Refused as error:
            raise JudgeRefused(str(error)) from None
        except Unreadable as error:
            fault = str(error)
        self._client.count("repairs", 1)
        body["messages"] = [*body["messages"], *complaint(question, first, fault)]
        second = await self._complete(body, until_s, spent)
        try:
            return decision_of(question, second, ask.messages)
        except Refused as error:
            raise JudgeRefused(str(error)) from None
        except Unreadable as error:
            raise JudgeUnreadable(f"no verdict in two answers; in the second: {error}") from None

    async def _complete(self, body: dict[str, Any], until_s: float, spent: list[Usage]) -> str:
        left_s = until_s - asyncio.get_running_loop().time()
        reply = await self._post("chat/completions", body, left_s)
        prompt, completion, cached = usage_of(reply)
        spent.append(Usage(prompt, completion, cached, calls=1))
        return text_of(reply)

    async def _post(self, path: str, body: dict[str, Any], timeout_s: float) -> dict[str, Any]:
        tokens = guessed_tokens(body) + float(body.get(self._endpoint.max_tokens_field) or 0)
        return await self._client.post(f"{self._endpoint.base_url}/{path}", body, timeout_s, tokens)

    def _body(self, ask: Ask) -> dict[str, Any]:
        sampling, at = ask.sampling, self._endpoint
        fields: dict[str, Any] = {
            "model": at.model_for(ask.model),
            "messages": list(ask.messages),
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            at.max_tokens_field: sampling.max_tokens,
            "seed": sampling.seed,
            "reasoning_effort": sampling.reasoning_effort,
        }
        if ask.question.kind != "text":
            schema = schema_of(ask.question)
            if at.structured:
                form = {"name": "verdict", "strict": True, "schema": schema}
                fields["response_format"] = {"type": "json_schema", "json_schema": form}
            else:
                fields["messages"] = with_text(ask.messages, in_words(schema))
        return {**sampling.extra, **{k: v for k, v in fields.items() if v is not None}}


def guessed_tokens(value: Any) -> float:
    """Tokens that a request may take to read: four bytes of text each, 1,000 an image."""
    if isinstance(value, str):
        return len(value.encode("utf-8", "replace")) / 4
    if isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        if fields.get("type") in ("image_url", "input_audio", "file"):
            return _MEDIA_TOKENS
        return sum(map(guessed_tokens, fields.values()))
    if isinstance(value, list):
        return sum(map(guessed_tokens, cast("list[Any]", value)))
    return 1.0
