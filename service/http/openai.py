"""OpenAI's own way to check a grader and to run it on one sample.

Contract: `POST /v1/fine_tuning/alpha/graders/validate` and `/run` of the OpenAI API.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from rewardplane.config.load import ConfigError, RewardConfig, openai_reward
from rewardplane.rewards.formats.openai.outcome import item_of, run_result_of
from rewardplane.rewards.kinds.openai_grader import OpenAIGrader
from rewardplane.wire.errors import InvalidRequest
from rewardplane.wire.messages import example_to, response_to

from .exchange import Answer, Request, json_answer
from .request import json_object, outcome_of

if TYPE_CHECKING:
    from rewardplane.gateway.served import ServedRewards
    from rewardplane.gateway.validate import Validator

TIMEOUT_S = 300.0


class OpenAIGraders:
    """Answers `/validate` and `/run`."""

    def __init__(self, validator: Validator, rewards: ServedRewards) -> None:
        self._validator = validator
        self._rewards = rewards

    async def validate(self, request: Request) -> Answer:
        """The grader, as it was understood.

        Raises:
            CallError, TooLarge: it is none.
        """
        _check(request)
        document = json_object(request.body)
        _config, grader = await self._grader(document)
        return json_answer({"grader": grader.grader.model_dump(mode="json", exclude_none=True)})

    async def run(self, request: Request) -> Answer:
        """What the grader makes of a sample.

        Raises:
            CallError, TooLarge: the call is refused.
        """
        _check(request)
        document = json_object(request.body)
        sample: Any = document.get("model_sample")
        item: Any = document.get("item") or {}
        if not isinstance(sample, str):
            raise _invalid("model_sample", "want text")
        if not isinstance(item, dict):
            raise _invalid("item", "want an object")
        config, grader = await self._grader(document)
        try:
            example, response = item_of(sample, cast("dict[str, Any]", item))
        except (ValueError, TypeError, RecursionError) as error:
            raise _invalid("item", str(error)) from None
        call = await self._validator.score_apart(
            config,
            example_to(example),
            response_to(response),
            TIMEOUT_S,
            request.traceparent,
            request.caller,
        )
        result = run_result_of(grader.grader, outcome_of(call), call.elapsed_us[0] / 1e6)
        return json_answer(result.as_dict(invalid_as_zero=self._rewards.http.invalid_as_zero))

    async def _grader(self, document: Mapping[str, Any]) -> tuple[RewardConfig, OpenAIGrader]:
        if "grader" not in document:
            raise _invalid("grader", "missing")
        try:
            http = self._rewards.http
            config = await self._validator.reading(openai_reward, document["grader"], http)
        except ConfigError as error:
            fault = str(error).removeprefix("inline.")
            raise InvalidRequest(fault, violations=[("grader", fault)]) from None
        return config, cast("OpenAIGrader", config.build())


def _invalid(field: str, fault: str) -> InvalidRequest:
    return InvalidRequest(f"{field}: {fault}", violations=[(field, fault)])


def _check(request: Request) -> None:
    """Raises PermissionDenied where the caller may not bring a grader."""
    caller = request.caller
    if caller is not None:
        caller.check_inline()
