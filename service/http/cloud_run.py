"""The reward target that a Gemini tuning job calls: one example, one response, one number.

Contract: `ReinforcementTuningCloudRunRewardScorer` of the Vertex AI API (v1beta1). The job gives
up after 300 s, and repeats a failed call after 2, 4, 8, 16 and 32 s before it takes the reward for
NaN: a fault that will not pass is answered from memory when it comes again.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

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

from .remembered import Remembered, key_of
from .request import (
    caller_of,
    error_json,
    item_status,
    json_response,
    outcome_of,
    read_body,
    score_one,
    traceparent_of,
)

if TYPE_CHECKING:
    from rewardplane.access.caller import Caller
    from rewardplane.gateway.metrics import Metrics
    from rewardplane.gateway.scorer import Scorer
    from rewardplane.gateway.served import ServedRewards

ANSWER_S = 280.0
"""The job waits 300 s."""
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
        self._remembered = Remembered()

    async def answer(self, request: Request) -> HttpResponse:
        """The reward, or an error that tells the job whether to come again.

        Raises:
            CallError, BadMessage, TooLarge: the call is refused.
        """
        reward = request.path_params.get("reward") or self._rewards.http.reward
        if not reward:
            raise InvalidRequest("no reward is configured for this address: set http.reward")
        caller = caller_of(request)
        if caller is not None:
            caller.check_reward(reward)
        body = await read_body(request, self._max_bytes)
        key = key_of(body, reward, self._rewards.find(reward, "").digest)
        known = self._remembered.find(key)
        if known is not None:
            return self._failed(known)
        outcome = await self._scored(reward, body, traceparent_of(request), caller)
        if isinstance(outcome, Score):
            return json_response(cloud_run_answer(outcome))
        if outcome.retryable:
            headers = {"retry-after": str(_RETRY_AFTER_S)}
            return json_response(error_json(outcome), item_status(outcome.reason), headers)
        self._remembered.add(key, outcome)
        return self._failed(outcome)

    async def _scored(
        self, reward: str, body: bytes, traceparent: str, caller: Caller | None
    ) -> Outcome:
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
                caller=caller,
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
            return json_response(error_json(error), 500)
        return json_response(cloud_run_value(error, value))
