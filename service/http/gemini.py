"""Google's own way to try a reward configuration on one response.

Contract: `projects.locations.tuningJobs.validateReinforcementTuningReward` of the Vertex AI API
(v1beta1). Each member of a composite is scored as a reward of its own, and told of by itself.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from rewardplane.config.load import ConfigError, gemini_reward
from rewardplane.config.settings import HttpSettings
from rewardplane.rewards.formats.gemini.combine import MemberOutcome
from rewardplane.rewards.formats.gemini.options import CloudRun, Undocumented
from rewardplane.rewards.formats.gemini.reader import BadMessage
from rewardplane.rewards.formats.gemini.wire import (
    Member,
    Validation,
    member_outcome,
    parse_validation,
    refused_answer,
    validation_answer,
)
from rewardplane.wire.errors import InvalidRequest
from rewardplane.wire.messages import example_to, response_to

from .exchange import Answer, Request, json_answer
from .request import outcome_of

if TYPE_CHECKING:
    from rewardplane.access.caller import Caller
    from rewardplane.gateway.served import ServedRewards
    from rewardplane.gateway.validate import Validator

TIMEOUT_S = 600.0
"""A Cloud Run service alone may take 300 s."""


class GeminiValidation:
    """Answers `…/tuningJobs:validateReinforcementTuningReward`."""

    def __init__(self, validator: Validator, rewards: ServedRewards) -> None:
        self._validator = validator
        self._rewards = rewards

    async def answer(self, request: Request) -> Answer:
        """What came of each reward, and of all together.

        Raises:
            CallError, TooLarge: the call is refused.
        """
        caller = request.caller
        if caller is not None:
            caller.check_inline()
        body = request.body
        settings = self._rewards.http
        options, cloud_run = _options(settings)
        try:
            asked = parse_validation(body, options, cloud_run)
        except BadMessage as fault:
            return json_answer(refused_answer(fault), 400)
        trace = request.traceparent
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(self._outcome(asked, member, settings, trace, caller))
                    for member in asked.members
                ]
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None
        outcomes = [task.result() for task in tasks]
        return json_answer(
            validation_answer(
                outcomes,
                is_composite=asked.is_composite,
                on_member_error=options.on_member_error,
            )
        )

    async def _outcome(
        self,
        asked: Validation,
        member: Member,
        settings: HttpSettings,
        trace: str,
        caller: Caller | None,
    ) -> MemberOutcome:
        try:
            config = await self._validator.reading(gemini_reward, member.config, settings)
        except ConfigError as error:
            raise InvalidRequest(str(error), violations=[("config", str(error))]) from None
        call = await self._validator.score_apart(
            config,
            example_to(asked.example),
            response_to(asked.response),
            TIMEOUT_S,
            trace,
            caller,
        )
        return member_outcome(member, outcome_of(call))


def _options(settings: HttpSettings) -> tuple[Undocumented, CloudRun]:
    given: dict[str, Any] = dict(settings.gemini)
    cloud_run: dict[str, Any] = {"allowed_origins": (), **given.get("cloud_run", {})}
    return Undocumented(**given.get("undocumented", {})), CloudRun(**cloud_run)
