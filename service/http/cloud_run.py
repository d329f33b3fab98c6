"""The reward target that a Gemini tuning job calls: one example, one response, one number.

Contract: `ReinforcementTuningCloudRunRewardScorer` of the Vertex AI API (v1beta1). The job gives
up after 300 s, and repeats a failed call after 2, 4, 8, 16 and 32 s before it takes the reward for
NaN: a fault that will not pass is answered from memory when it comes again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, cast

from rewardplane.rewards.formats.gemini.wire import (
    cloud_run_answer,
    cloud_run_value,
    parse_cloud_run,
)
from rewardplane.rewards.types import Outcome, Score
from rewardplane.wire.errors import InvalidRequest

from .exchange import Answer, Request, json_answer
from .facade import Ask, Facade
from .scoring import Asked, Asking


class CloudRun(Facade):
    """Answers `POST /` and `POST /rewards/{reward}`."""

    answer_s: ClassVar[float] = 280.0  # the job waits 300
    retry_after_s: ClassVar[int] = 2

    def routes(self) -> Mapping[str, Ask]:
        """See the base."""
        return {"/": self.answer, "/rewards/{reward}": self.answer}

    def answer(self, request: Request) -> Asking:
        """The reward, or an error that tells the job whether to come again.

        Raises:
            InvalidRequest: no reward is named.
        """
        settings = self.rewards.http
        reward = request.reward or settings.reward
        if not reward:
            raise InvalidRequest("no reward is configured for this address: set http.reward")

        def written(outcomes: list[Outcome]) -> Answer:
            (outcome,) = outcomes
            if isinstance(outcome, Score):
                return json_answer(cloud_run_answer(outcome))
            return json_answer(cloud_run_value(outcome, cast("float", settings.value_on_error)))

        return Asking(reward, _asked, written, ("components", "explanations"), settings.tells)


def _asked(body: bytes) -> Asked:
    asked = parse_cloud_run(body)
    return Asked([(asked.example, asked.response)], asked.job_id or "", asked.step or 0)
