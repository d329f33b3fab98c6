"""A judge behind an OpenAI-compatible chat API: OpenAI itself, vLLM, SGLang, LiteLLM."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Sequence
from typing import Any, Literal

from ..http.client import Client
from ..http.endpoint import Endpoint
from ..types import JudgeRefused, JudgeUnreadable
from .judgement import BadVerdict, Completion, Verdict, completion_of, schema_of, verdict_of
from .question import Answer, Message, Question, State, Usage

_REPEATED_CHARS = 4_000
"""How much of an answer that cannot be read the judge is shown again."""


class OpenAIChat:
    """The `JudgeBackend` for chat completions: one call a question, two where it is repaired.

    Verdicts are asked for as JSON under a schema. An answer that is none is sent back once, with
    what is wrong with it; a refusal, or one that is cut off, is not.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._client = Client(endpoint)

    @property
    def client(self) -> Client:
        """The connections, for what else is asked of the same endpoint."""
        return self._client

    async def decide(
        self, state: State, questions: Sequence[Question], timeout_s: float
    ) -> dict[str, Answer]:
        """As `JudgeBackend.decide`; the questions are asked one after the other."""
        clock = asyncio.get_running_loop().time
        until_s = clock() + timeout_s
        answers: dict[str, Answer] = {}
        for question in questions:
            try:
                answers[question.name] = await self._ask(state, question, until_s - clock())
            except JudgeUnreadable:
                self._client.count("judge_unreadable", 1)
                raise
            except JudgeRefused:
                self._client.count("judge_refusals", 1)
                raise
        return answers

    def take_figures(self) -> dict[str, float]:
        """As `JudgeBackend.take_figures`."""
        return self._client.take_figures()

    async def close(self) -> None:
        """As `JudgeBackend.close`."""
        await self._client.close()

    async def _ask(self, state: State, question: Question, timeout_s: float) -> Answer:
        clock = asyncio.get_running_loop().time
        until_s = clock() + timeout_s
        body = self._body(state, question)
        first = await self._complete(body, timeout_s)
        try:
            return self._answer(
                question, first, verdict_of(question, first.text), body, first.usage
            )
        except BadVerdict as error:
            fault = str(error)
        self._client.count("judge_repairs", 1)
        body["messages"] = [*body["messages"], *_complaint(question, first.text, fault)]
        second = await self._complete(body, until_s - clock())
        try:
            verdict = verdict_of(question, second.text)
        except BadVerdict as error:
            raise JudgeUnreadable(f"no verdict in two answers; in the second: {error}") from None
        return self._answer(question, second, verdict, body, first.usage + second.usage)

    async def _complete(self, body: dict[str, Any], timeout_s: float) -> Completion:
        return completion_of(await self._client.post("chat/completions", body, timeout_s))

    def _body(self, state: State, question: Question) -> dict[str, Any]:
        sampling, at = state.sampling, self._endpoint
        messages = list(state.messages)
        if question.instructions:
            messages = _added(messages, question.instructions)
        fields: dict[str, Any] = {
            "model": at.model_for(state.model),
            "messages": messages,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            at.max_tokens_field: sampling.max_tokens,
            "seed": sampling.seed,
            "reasoning_effort": sampling.reasoning_effort,
        }
        if question.kind != "text":
            schema = schema_of(question)
            if at.structured:
                form = {"name": "verdict", "strict": True, "schema": schema}
                fields["response_format"] = {"type": "json_schema", "json_schema": form}
            else:
                fields["messages"] = _added(messages, _in_words(schema))
        return {**sampling.extra, **{k: v for k, v in fields.items() if v is not None}}

    def _answer(
        self,
        question: Question,
        completion: Completion,
        verdict: Verdict,
        body: dict[str, Any],
        usage: Usage,
    ) -> Answer:
        value, probs, clipped = verdict.value, dict[str, float](), False
        if verdict.label is not None:
            probs = {verdict.label: 1.0}
            value = _worth(question, verdict.label)
        elif value is not None:
            inside = min(max(value, question.low), question.high)
            clipped, value = inside != value, inside
        read: Literal["text", "structured"] = "text" if question.kind == "text" else "structured"
        model = completion.model or body["model"]
        asked = {key: body.get(key) for key in ("model", "temperature", "seed", "response_format")}
        told = json.dumps([asked, question.instructions, model, completion.version])
        return Answer(
            value=value,
            raw=completion.text,
            probs=probs,
            clipped=clipped,
            explanation=verdict.explanation,
            read=read,
            usage=usage,
            model=model,
            fingerprint=hashlib.sha256(told.encode()).hexdigest()[:16],
        )


def _worth(question: Question, label: str) -> float:
    if question.kind == "predicate":
        return 1.0 if label == "yes" else 0.0
    return next(option.value for option in question.options if option.label == label)


def _added(messages: Sequence[Message], text: str) -> list[Message]:
    """The messages with the text after them: many chat templates refuse two turns of one role."""
    last: Message = messages[-1] if messages else dict[str, Any]()
    if last.get("role") == "user" and isinstance(last.get("content"), str):
        return [*messages[:-1], {**last, "content": f"{last['content']}\n\n{text}"}]
    return [*messages, {"role": "user", "content": text}]


def _in_words(schema: dict[str, Any]) -> str:
    return f"Answer with one JSON object alone, valid under this JSON schema:\n{json.dumps(schema)}"


def _complaint(question: Question, text: str, fault: str) -> list[Message]:
    want = "Answer again." if question.kind == "text" else _in_words(schema_of(question))
    # An empty turn of the assistant is refused by many endpoints.
    said = text[:_REPEATED_CHARS] or "(nothing)"
    return [
        {"role": "assistant", "content": said},
        {"role": "user", "content": f"Your answer cannot be read: {fault}. {want}"},
    ]
