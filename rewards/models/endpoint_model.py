"""A model behind HTTP, whatever it speaks: the one door to it, so its limits hold for all callers.

How a chat endpoint is read is tried once, when it starts, from the most exact way to the least, and
never changes after that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from ..http.client import Client, rules_of
from ..http.reply import usage_of
from ..text.chat import Message
from ..types import (
    InvalidInput,
    InvalidResult,
    JudgeRefused,
    JudgeUnreadable,
    ModelChanged,
    RewardFault,
    Usage,
)
from .asking import asked, with_text
from .completion import is_cut, shown, text_of
from .label_tokens import LabelTokens
from .model import (
    Completion,
    Head,
    Label,
    LabelQuestion,
    LabelReading,
    Read,
    Scalar,
)
from .model_endpoint import ModelEndpoint
from .model_facts import ModelFacts
from .model_judge import labels_by_text
from .openai_chat import guessed_tokens
from .question import Sampling
from .repair import in_words
from .thoughts import without_thoughts
from .wires import chat, classify, decisions, systemone

START_S = 60.0
"""The longest that one call of the start may take."""
LEAST_MASS = 0.1
"""A way to read labels under which they have less than this at the start is not taken."""

_LADDER: tuple[Read, ...] = ("logprob_token_ids", "top_logprobs", "structured", "text")
_PROBE = LabelQuestion(
    "predicate",
    "Is the statement above true?",
    (Label("Yes", 1.0), Label("No", 0.0)),
)
_PROBED: list[Message] = [{"role": "user", "content": "Two plus two equals four."}]
_CONVERSATIONS: tuple[list[Message], ...] = tuple(
    [{"role": "user", "content": "What is 2 + 2?"}, {"role": "assistant", "content": answer}]
    for answer in ("2 + 2 = 4.", "I like turtles and will not say.")
)


class EndpointModel:
    """The `Model` of a `ModelEndpoint`. `start` comes before all else, `close` ends it."""

    def __init__(self, name: str, endpoint: ModelEndpoint) -> None:
        self._name = name
        self._endpoint = endpoint
        self._client = Client(rules_of(endpoint))
        self._tokens = LabelTokens(self._post_helper, endpoint.request)
        source = f"{endpoint.base_url}#{endpoint.name}"
        self._facts = ModelFacts(source=source, engine=endpoint.wire)
        self._said: tuple[str, str] | None = None

    @property
    def name(self) -> str:
        """Its name in the configuration."""
        return self._name

    @property
    def head(self) -> Head:
        """What it answers with."""
        return self._endpoint.head

    @property
    def facts(self) -> ModelFacts:
        """What is known of it, once it has started."""
        return self._facts

    @property
    def identity(self) -> str:
        """The `model` that it says it is; empty: it says none, or may become another."""
        if self._said is None or self._endpoint.on_change == "tell":
            return ""
        return self._said[0]  # not every reply has a fingerprint

    async def start(self) -> None:
        """Asks it once, and finds out how its labels can be read.

        Raises:
            ValueError: it cannot be used as it is configured; the message says why.
            RewardFault: it cannot be asked now.
        """
        if self._endpoint.wire == "classify":
            await self._start_scalar()
            return
        first = await self._first_reading()
        told = first.label_mass is not None
        self._facts = replace(self._facts, read=first.read, tells_label_mass=told)

    async def scalar(self, messages: Sequence[Message], *, timeout_s: float) -> Scalar:
        """As `Model.scalar`."""
        if self.head != "scalar":
            raise InvalidInput(
                f"model {self._name!r} is no reward model: its wire is no `classify`"
            )
        reply = await self._post_root("classify", classify.body(messages), timeout_s)
        value = self._read(lambda: classify.reading(reply))
        return Scalar(value, usage_of(reply)[0])

    async def labels(
        self,
        messages: Sequence[Message],
        question: LabelQuestion,
        *,
        sampling: Sampling,
        timeout_s: float,
    ) -> LabelReading:
        """As `Model.labels`."""
        read = cast("Read", self._facts.read)
        if self.head != "chat" or not read:
            raise InvalidInput(f"model {self._name!r} reads no labels: {read or 'not started'}")
        return await self._labels(read, messages, question, sampling, timeout_s)

    async def text(
        self,
        messages: Sequence[Message],
        *,
        sampling: Sampling,
        schema: Mapping[str, Any] | None,
        timeout_s: float,
    ) -> Completion:
        """As `Model.text`."""
        at = self._endpoint
        if at.wire != "chat":
            raise InvalidInput(f"model {self._name!r} says no text: its wire is `{at.wire}`")
        fields: dict[str, Any] = {"messages": list(messages), **_sampled(sampling)}
        if sampling.max_tokens is not None:
            fields[at.max_tokens_field] = sampling.max_tokens
        if schema is not None and at.structured:
            form = {"name": "answer", "strict": True, "schema": schema}
            fields["response_format"] = {"type": "json_schema", "json_schema": form}
        elif schema is not None:
            fields["messages"] = with_text(messages, in_words(schema))
        reply = await self._post("chat/completions", {**sampling.extra, **fields}, timeout_s)
        usage = _usage(reply)
        said = self._read(lambda: text_of(reply, may_be_cut=True), usage)
        # Where an answer to a schema begins is for its reader: a tag in its texts is data.
        text = said if schema is not None else without_thoughts(said)
        return Completion(text, "length" if is_cut(reply) else "stop", usage)

    def limit(
        self,
        concurrency: int,
        requests_per_minute: float | None,
        tokens_per_minute: float | None,
        parts: int = 1,
    ) -> None:
        """Other limits from now on, as one of `parts` that share the endpoint's."""
        self._client.limit(concurrency, requests_per_minute, tokens_per_minute, parts)

    def lease(self, until_s: float) -> None:
        """No call begins from `until_s` on (the event loop's time), unless this is told anew."""
        self._client.lease(until_s)

    @property
    def in_flight(self) -> int:
        """Calls that are under way to the endpoint."""
        return self._client.in_flight

    def take_figures(self) -> dict[str, float]:
        """What happened since the last call: calls, retries, tokens, by metric name."""
        return self._client.take_figures()

    async def close(self) -> None:
        """Closes connections. What is under way fails."""
        await self._client.close()

    async def _start_scalar(self) -> None:
        values = [await self.scalar(c, timeout_s=START_S) for c in _CONVERSATIONS]
        if all(value.value == 1.0 for value in values):
            # A softmax over one number: every response would earn the same.
            raise ValueError(
                f"model {self._name!r}: {self._endpoint.root}/classify gives 1 to all that it is"
                " shown; it applies a softmax to one number and cannot be used for rewards"
            )
        self._facts = replace(self._facts, read="classify")

    async def _first_reading(self) -> LabelReading:
        at = self._endpoint
        if at.wire != "chat":
            return await self._labels(at.wire, _PROBED, _PROBE, Sampling(), START_S)
        named = at.labels_by != "auto"
        why: list[str] = []
        for read in (cast("Read", at.labels_by),) if named else _LADDER:
            try:
                found = await self._labels(read, _PROBED, _PROBE, Sampling(), START_S)
            except (JudgeUnreadable, JudgeRefused, InvalidInput, InvalidResult) as fault:
                why.append(f"{read}: {fault}")
                continue
            except RewardFault as fault:
                if read != "logprob_token_ids" or isinstance(fault, ModelChanged):
                    raise
                # Few endpoints have /tokenize; those that cannot be reached at all fail below.
                why.append(f"{read}: {fault}")
                continue
            if found.label_mass is None or found.label_mass >= LEAST_MASS or named:
                return found
            why.append(f"{read}: of what it would say, the labels are {found.label_mass:.2g}")
        raise ValueError(f"model {self._name!r}: labels cannot be read. {'; '.join(why)}")

    async def _labels(
        self,
        read: Read,
        messages: Sequence[Message],
        question: LabelQuestion,
        sampling: Sampling,
        timeout_s: float,
    ) -> LabelReading:
        if read == "text":
            return await labels_by_text(self, messages, question, sampling, timeout_s)
        if read in ("decisions", "systemone"):
            wire = decisions if read == "decisions" else systemone
            reply = await self._post(read, wire.body(messages, question), timeout_s)
            usage = _usage(reply)
            probs, mass = self._read(lambda: wire.reading(reply, question), usage)
            return LabelReading(probs, mass, read, usage)
        labels = [label.text for label in question.labels]
        until_s = asyncio.get_running_loop().time() + timeout_s
        ids: list[int] = []
        if read == "logprob_token_ids":
            ids = await self._tokens.ids(labels, timeout_s)
        fields = chat.body(asked(messages, question), labels, read, ids)
        fields[self._endpoint.max_tokens_field] = 1
        left_s = until_s - asyncio.get_running_loop().time()
        reply = await self._post("chat/completions", {**sampling.extra, **fields}, left_s)
        usage = _usage(reply)
        probs, mass = self._read(lambda: chat.reading(reply, labels, read, ids), usage)
        return LabelReading(probs, mass, read, usage)

    async def _post(self, path: str, fields: Mapping[str, Any], timeout_s: float) -> dict[str, Any]:
        return await self._send(f"{self._endpoint.base_url}/{path}", fields, timeout_s)

    async def _post_root(
        self, path: str, fields: Mapping[str, Any], timeout_s: float, *, names: bool = True
    ) -> dict[str, Any]:
        return await self._send(f"{self._endpoint.root}/{path}", fields, timeout_s, names=names)

    async def _post_helper(
        self, path: str, fields: Mapping[str, Any], timeout_s: float
    ) -> dict[str, Any]:
        """What answers with no model's numbers names no model."""
        return await self._post_root(path, fields, timeout_s, names=False)

    async def _send(
        self, url: str, fields: Mapping[str, Any], timeout_s: float, *, names: bool = True
    ) -> dict[str, Any]:
        at = self._endpoint
        body = {**at.request, **fields, "model": at.name}
        tokens = guessed_tokens(body) + float(body.get(at.max_tokens_field) or 0)
        reply = await self._client.post(url, body, timeout_s, tokens)
        self._same_model(reply, names=names)
        return reply

    def _same_model(self, reply: Mapping[str, Any], *, names: bool) -> None:
        """Looks at what model a reply is of; one that `names` none, after others did, is another.

        Raises:
            ModelChanged: it is another one than at first, or than it must be.
        """
        at, model, fingerprint = self._endpoint, reply.get("model"), reply.get("system_fingerprint")
        if not isinstance(model, str) or not model:
            if not names or (self._said is None and at.reports is None):
                return
            model = ""
        said = (model, fingerprint if isinstance(fingerprint, str) else "")
        first = self._said or (at.reports or model, "")
        same = model == first[0]
        if at.on_change == "strict" and said[1] and first[1]:
            same = said == first
        if same:
            # Not every reply has a fingerprint: the first that comes counts.
            if self._said is None or (said[1] and not first[1]):
                self._said = said
                self._facts = replace(self._facts, fingerprint=shown(_joined(said)))
            return
        self._client.count("model_changes", 1)
        if at.on_change != "tell":
            raise ModelChanged(
                f"{at.base_url} answers as model {shown(_joined(said)) or 'no name'!r}, was"
                f" {shown(_joined(first))!r}: its numbers are another model's; set `reports` to"
                " it and reload to accept it"
            )

    def _read(self, read: Any, usage: Usage | None = None) -> Any:
        try:
            return read()
        except RewardFault as fault:
            if isinstance(fault, JudgeUnreadable):
                self._client.count("unreadable", 1)
            elif isinstance(fault, JudgeRefused):
                self._client.count("refusals", 1)
            fault.usage = usage
            raise


def _usage(reply: Mapping[str, Any]) -> Usage:
    prompt, completion, cached = usage_of(reply)
    return Usage(prompt, completion, cached, calls=1)


def _sampled(sampling: Sampling) -> dict[str, Any]:
    fields = {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "seed": sampling.seed,
        "reasoning_effort": sampling.reasoning_effort,
    }
    return {key: value for key, value in fields.items() if value is not None}


def _joined(said: tuple[str, str]) -> str:
    return " ".join(filter(None, said))
