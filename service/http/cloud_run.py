"""The reward target that a Gemini tuning job calls: one example, one response, one number.

Contract: `ReinforcementTuningCloudRunRewardScorer` of the Vertex AI API (v1beta1). The job gives
up after 300 s, and repeats a failed call after 2, 4, 8, 16 and 32 s before it takes the reward for
NaN: a fault that will not pass is answered from memory when it comes again.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from starlette.requests import Request
from starlette.responses import Response as HttpResponse

from ...rewards.types import Content, Reason, Response, ScoreError
from ..dataset import content_from_json, example_from_json
from ..errors import InvalidRequest
from .request import item_status, json_response, read_json, score_one

if TYPE_CHECKING:
    from ...rewards.types import Example
    from ..call import Call
    from ..scorer import Scorer
    from ..table import Table

ANSWER_S = 280.0
"""The job waits 300 s."""
REMEMBER_S = 120.0
MAX_REMEMBERED = 65_536
_RETRY_AFTER_S = 2


class CloudRun:
    """Answers `POST /` and `POST /rewards/{reward}`."""

    def __init__(self, scorer: Scorer, table: Table, max_bytes: int) -> None:
        self._scorer = scorer
        self._table = table
        self._max_bytes = max_bytes
        self._remembered: OrderedDict[bytes, tuple[float, ScoreError]] = OrderedDict()

    async def answer(self, request: Request) -> HttpResponse:
        """The reward, or an error that tells the job whether to come again.

        Raises:
            CallError: the call is refused.
        """
        reward = request.path_params.get("reward") or self._table.http.reward
        if not reward:
            raise InvalidRequest("no reward is configured for this address: set http.reward")
        document, body = await read_json(request, self._max_bytes)
        version = self._table.bind(reward, "").digest
        key = hashlib.blake2b(body, digest_size=16, key=f"{reward}/{version}".encode()[-64:])
        known = self._known(key.digest())
        if known is not None:
            return self._failed(known)
        example, response, job, step = read_call(document)
        call = await score_one(
            self._scorer,
            reward,
            example,
            response,
            timeout_s=ANSWER_S,
            traceparent=request.headers.get("traceparent", "")[:128],
            job=job,
            step=step,
        )
        outcome = _error_of(call)
        if outcome is None:
            return json_response(_scored(call))
        if outcome.retryable:
            headers = {"retry-after": str(_RETRY_AFTER_S)}
            return json_response(_told(outcome), item_status(outcome.reason), headers)
        self._remember(key.digest(), outcome)
        return self._failed(outcome)

    def _failed(self, error: ScoreError) -> HttpResponse:
        value = self._table.http.value_on_error
        if value is None:
            return json_response(_told(error), 500)
        said = f"{error.reason.name}: {error.message}"
        return json_response({"reward": value, "user_requested_aux_info": said})

    def _known(self, key: bytes) -> ScoreError | None:
        found = self._remembered.get(key)
        if found is None or found[0] < time.monotonic():
            return None
        return found[1]

    def _remember(self, key: bytes, error: ScoreError) -> None:
        self._remembered[key] = time.monotonic() + REMEMBER_S, error
        self._remembered.move_to_end(key)
        while len(self._remembered) > MAX_REMEMBERED or (
            next(iter(self._remembered.values()))[0] < time.monotonic()
        ):
            self._remembered.popitem(last=False)


def read_call(document: Mapping[str, Any]) -> tuple[Example, Response, str, int]:
    """The example, the response, the tuning job's id and its step.

    The id stands under either of its documented spellings; both it and the step may be text.

    Raises:
        InvalidRequest: the document is no such call.
    """
    try:
        example = example_from_json(_object(document, "example"))
        content = content_from_json(_object(document, "response"))
        metadata = cast("dict[str, Any]", dict(document.get("metadata") or {}))
        job = metadata.get("tuningJobId", metadata.get("tuning_job_id", ""))
        step = int(metadata.get("step") or 0)
    except (ValueError, TypeError, RecursionError) as error:
        raise InvalidRequest(str(error), violations=[("body", str(error))]) from None
    return example, response_of(content), str(job)[:128], step


def response_of(content: Content) -> Response:
    """A response of one turn; turns are kept where there is more to them than text."""
    plain = all(isinstance(part.data, str) and not part.thought for part in content.parts)
    return Response(content.text, turns=() if plain else (Content("model", content.parts),))


def _object(document: Mapping[str, Any], key: str) -> Any:
    if key not in document:
        raise ValueError(f"{key}: missing")
    return document[key]


def _error_of(call: Call) -> ScoreError | None:
    extra = call.extras.get(0)
    if not call.reasons():
        return None
    number, message = extra or (Reason.UNAVAILABLE.value, "the reason was lost on its way")
    return ScoreError(Reason(number), message)


def _scored(call: Call) -> dict[str, Any]:
    answer: dict[str, Any] = {"reward": call.rewards[0]}
    explanation = call.extras[0][0] if call.extras else ""
    if explanation:
        answer["user_requested_aux_info"] = explanation
    elif call.stride:
        names = call.bound[0].component_names
        parts = dict(zip(names, call.components[: len(names)], strict=True))
        answer["user_requested_aux_info"] = json.dumps(parts)
    return answer


def _told(error: ScoreError) -> dict[str, Any]:
    return {
        "error": {
            "reason": error.reason.name,
            "message": error.message,
            "retryable": error.retryable,
        }
    }
