"""The URLs that OpenRLHF, slime and miles call for rewards, each as its own client has it.

================== ================================================ ==============================
request            body                                             answer
================== ================================================ ==============================
POST /get_reward   `query`, `prompts`, `labels`: a list each        `rewards`, `scores`,
                   (OpenRLHF 0.11.2, openrlhf/utils/agent.py)       `extra_logs`: a list each
POST /remote_rm    `prompt` (text or messages), `response`, `label` the reward, as bare JSON
                   (slime 624b824a8, slime/rollout/rm_hub)
================== ================================================ ==============================

Both repeat whatever fails, 4xx too: an error that will not pass is answered from memory. An error
is a number only where the configuration says which.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from rewardplane.rewards.formats.openrlhf import response_of
from rewardplane.rewards.text.end_tokens import without_end_tokens
from rewardplane.rewards.types import Content, Example, Part, Response, Score, ScoreError
from rewardplane.wire.errors import CallError, InvalidRequest
from rewardplane.wire.status import encode
from starlette.requests import Request
from starlette.responses import Response as HttpResponse

from .remembered import Remembered, key_of
from .request import (
    caller_of,
    error_json,
    item_status,
    json_object,
    json_response,
    plain_outcomes,
    read_body,
    score_items,
    traceparent_of,
)

if TYPE_CHECKING:
    from rewardplane.config.settings import RewardUrl
    from rewardplane.gateway.metrics import Metrics
    from rewardplane.gateway.scorer import Scorer
    from rewardplane.gateway.served import ServedRewards

ANSWER_S = 110.0
"""slime's client gives up after 120 s, OpenRLHF's after 180."""
_RETRY_AFTER_S = 1

Item = tuple[Example, Response]


class RewardUrls:
    """Answers `POST /get_reward` and `POST /remote_rm`, each where it is configured."""

    def __init__(
        self, scorer: Scorer, rewards: ServedRewards, metrics: Metrics, max_bytes: int
    ) -> None:
        self._scorer = scorer
        self._rewards = rewards
        self._metrics = metrics
        self._max_bytes = max_bytes
        self._remembered = Remembered()

    async def get_reward(self, request: Request) -> HttpResponse:
        """The rewards of OpenRLHF's queries, in their order; none for none.

        Raises:
            CallError, TooLarge: the call is refused.
        """
        settings = self._rewards.http.openrlhf
        if settings is None:
            return _off("openrlhf")
        _check(request, settings)
        body = await read_body(request, self._max_bytes)
        items = openrlhf_items(json_object(body), settings)
        rewards = await self._scored(request, body, items, settings)
        if isinstance(rewards, HttpResponse):
            return rewards
        ok = [1.0 if scored else 0.0 for _, scored in rewards]
        numbers = [reward for reward, _ in rewards]
        logs = {"rewardplane_ok": ok}
        return json_response({"rewards": numbers, "scores": numbers, "extra_logs": logs})

    async def remote_rm(self, request: Request) -> HttpResponse:
        """The reward of one sample of slime or miles.

        Raises:
            CallError, TooLarge: the call is refused.
        """
        settings = self._rewards.http.remote_rm
        if settings is None:
            return _off("remote_rm")
        _check(request, settings)
        body = await read_body(request, self._max_bytes)
        items = [remote_rm_item(json_object(body), settings)]
        rewards = await self._scored(request, body, items, settings)
        if isinstance(rewards, HttpResponse):
            return rewards
        return HttpResponse(json.dumps(rewards[0][0]), media_type="application/json")

    async def _scored(
        self, request: Request, body: bytes, items: Sequence[Item], settings: RewardUrl
    ) -> list[tuple[float, bool]] | HttpResponse:
        """Each item's number, and whether it is its score; or the answer to a failure."""
        if not items:
            return []
        reward = settings.reward
        key = key_of(body, reward, self._rewards.find(reward, "").digest)
        known = self._remembered.find(key)
        if known is not None:
            return json_response(error_json(known), 500)
        begin_s, code = time.perf_counter(), "INTERNAL"
        try:
            trace = traceparent_of(request)
            call = await score_items(
                self._scorer,
                reward,
                items,
                timeout_s=ANSWER_S,
                traceparent=trace,
                caller=caller_of(request),
            )
            code = "OK"
        except CallError as error:
            code = encode(error)[0].name
            raise
        except asyncio.CancelledError:
            code = "CANCELLED"
            raise
        finally:
            self._metrics.call_ended(reward, "", code, time.perf_counter() - begin_s)
        numbers: list[tuple[float, bool]] = []
        for outcome in plain_outcomes(call):
            if isinstance(outcome, Score):
                numbers.append((outcome.reward, True))
            elif outcome.retryable:
                headers = {"retry-after": str(_RETRY_AFTER_S)}
                return json_response(error_json(outcome), item_status(outcome.reason), headers)
            elif settings.value_on_error is not None:
                numbers.append((settings.value_on_error, False))
            else:
                self._remembered.add(key, outcome)
                return self._lasting(outcome)
        return numbers

    @staticmethod
    def _lasting(error: ScoreError) -> HttpResponse:
        return json_response(error_json(error), 500)


def _check(request: Request, settings: RewardUrl) -> None:
    """Raises PermissionDenied where the caller may not name the reward."""
    caller = caller_of(request)
    if caller is not None:
        caller.check_reward(settings.reward)


def openrlhf_items(fields: Mapping[str, Any], settings: RewardUrl) -> list[Item]:
    """The items of an OpenRLHF request.

    Raises:
        InvalidRequest: it is none: lists of different lengths, or a query without its prompt.
    """
    queries, prompts = _texts(fields, "query"), _texts(fields, "prompts")
    labels: object = fields.get("labels")
    if labels is None:
        labels = [None] * len(queries)
    if not isinstance(labels, list):
        raise InvalidRequest("labels: want a list")
    golds = cast("list[object]", labels)
    if not len(queries) == len(prompts) == len(golds):
        counts = f"{len(queries)}, {len(prompts)} and {len(golds)}"
        raise InvalidRequest(f"query, prompts and labels have {counts} entries")
    items: list[Item] = []
    for i, (query, prompt, label) in enumerate(zip(queries, prompts, golds, strict=True)):
        try:
            text = response_of(query, prompt)
        except ValueError as error:
            raise InvalidRequest(f"query[{i}]: {error}") from None
        example = _example((Content("user", (Part(prompt),)),), label, settings.gold)
        items.append((example, Response(without_end_tokens(text, settings.end_tokens))))
    return items


def remote_rm_item(fields: Mapping[str, Any], settings: RewardUrl) -> Item:
    """The item of a request of slime or miles.

    Raises:
        InvalidRequest: it is none.
    """
    response = fields.get("response")
    if not isinstance(response, str):
        raise InvalidRequest("response: want a text")
    turns = _turns(fields.get("prompt"))
    text = without_end_tokens(response, settings.end_tokens)
    return _example(turns, fields.get("label"), settings.gold), Response(text)


def _example(turns: Sequence[Content], label: object, gold: str) -> Example:
    known = cast("dict[str, object]", label) if isinstance(label, dict) else {gold: label}
    system = turns[0] if turns and turns[0].role == "system" else None
    return Example(
        turns if system is None else turns[1:],
        {name: value for name, value in known.items() if isinstance(value, str)},
        {
            name: json.dumps(value, ensure_ascii=False)
            for name, value in known.items()
            if value is not None and not isinstance(value, str)
        },
        system,
    )


def _turns(prompt: object) -> tuple[Content, ...]:
    if isinstance(prompt, str):
        return (Content("user", (Part(prompt),)),)
    if not isinstance(prompt, list):
        raise InvalidRequest("prompt: want a text or a list of messages")
    turns: list[Content] = []
    for i, message in enumerate(cast("list[object]", prompt)):
        fields = cast("dict[str, object]", message) if isinstance(message, dict) else {}
        role, content = fields.get("role"), fields.get("content")
        if not isinstance(role, str) or not isinstance(content, str):
            raise InvalidRequest(f"prompt[{i}]: want a message with role and content, both texts")
        turns.append(Content("model" if role == "assistant" else role, (Part(content),)))
    return tuple(turns)


def _texts(fields: Mapping[str, Any], name: str) -> list[str]:
    value = fields.get(name)
    if not isinstance(value, list):
        raise InvalidRequest(f"{name}: want a list of texts")
    texts = [text for text in cast("list[object]", value) if isinstance(text, str)]
    if len(texts) != len(cast("list[object]", value)):
        raise InvalidRequest(f"{name}: want a list of texts")
    return texts


def _off(name: str) -> HttpResponse:
    message = f"this URL is not switched on: set http.{name} in the service's configuration"
    return json_response({"error": {"reason": "NOT_CONFIGURED", "message": message}}, 404)
