"""The reward target that a Gemini tuning job calls: one example, one response, one number.

Contract: `ReinforcementTuningCloudRunRewardScorer` of the Vertex AI API (v1beta1). The job gives
up after 300 s, and repeats a failed call after 2, 4, 8, 16 and 32 s before it takes the reward for
NaN: a fault that will not pass is answered from memory when it comes again.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from rewardplane.rewards.formats.gemini.wire import (
    cloud_run_answer,
    cloud_run_value,
    parse_cloud_run,
)
from rewardplane.rewards.types import Outcome, Score, ScoreError
from rewardplane.wire.errors import CallError, InvalidRequest
from rewardplane.wire.status import encode
from starlette.requests import Request
from starlette.responses import Response as HttpResponse

from .request import item_status, json_response, outcome_of, read_body, score_one, traceparent_of

if TYPE_CHECKING:
    from rewardplane.gateway.metrics import Metrics
    from rewardplane.gateway.scorer import Scorer
    from rewardplane.gateway.served import ServedRewards

ANSWER_S = 280.0
"""The job waits 300 s."""
REMEMBER_S = 120.0
MAX_REMEMBERED = 65_536
_RETRY_AFTER_S = 2


class CloudRun:
    """Answers `POST /` and `POST /rewards/{reward}`."""

    def __init__(
        self, scorer: Scorer, rewards: ServedRewards, metrics: Metrics, max_bytes: int
    ) -> None:
        self._scorer = scorer
        self._rewards = rewards
        self._metrics = metrics
        self._max_bytes = max_bytes
        self._remembered: OrderedDict[bytes, tuple[float, ScoreError]] = OrderedDict()

    async def answer(self, request: Request) -> HttpResponse:
        """The reward, or an error that tells the job whether to come again.

        Raises:
            CallError, BadMessage, TooLarge: the call is refused.
        """
        reward = request.path_params.get("reward") or self._rewards.http.reward
        if not reward:
            raise InvalidRequest("no reward is configured for this address: set http.reward")
        body = await read_body(request, self._max_bytes)
        version = self._rewards.find(reward, "").digest
        key = hashlib.blake2b(body, digest_size=16, key=f"{reward}/{version}".encode()[-64:])
        known = self._known(key.digest())
        if known is not None:
            return self._failed(known)
        outcome = await self._scored(reward, body, traceparent_of(request))
        if isinstance(outcome, Score):
            return json_response(cloud_run_answer(outcome))
        if outcome.retryable:
            headers = {"retry-after": str(_RETRY_AFTER_S)}
            return json_response(_told(outcome), item_status(outcome.reason), headers)
        self._remember(key.digest(), outcome)
        return self._failed(outcome)

    async def _scored(self, reward: str, body: bytes, traceparent: str) -> Outcome:
        begin_s, job, code = time.perf_counter(), "", "INVALID_ARGUMENT"
        try:
            asked = parse_cloud_run(body)
            job, code = asked.job_id or "", "INTERNAL"
            call = await score_one(
                self._scorer,
                reward,
                asked.example,
                asked.response,
                timeout_s=ANSWER_S,
                traceparent=traceparent,
                job=job,
                step=asked.step or 0,
            )
            code = "OK"
        except CallError as error:
            code = encode(error)[0].name
            raise
        except asyncio.CancelledError:
            code = "CANCELLED"
            raise
        finally:
            self._metrics.call_ended(reward, job, code, time.perf_counter() - begin_s)
        return outcome_of(call)

    def _failed(self, error: ScoreError) -> HttpResponse:
        value = self._rewards.http.value_on_error
        if value is None:
            return json_response(_told(error), 500)
        return json_response(cloud_run_value(error, value))

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


def _told(error: ScoreError) -> dict[str, Any]:
    return {
        "error": {
            "reason": error.reason.name,
            "message": error.message,
            "retryable": error.retryable,
        }
    }
