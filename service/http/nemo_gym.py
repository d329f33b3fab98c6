"""A resources server of NeMo Gym: the URLs that its agents call.

`POST /verify` with the task's fields, `responses_create_params` and `response` is answered with all
that and `reward`, `mask_sample`, `failure_kind`, `failure_reason`; `POST /seed_session` and
`/close_session` keep nothing; `POST /aggregate_metrics` gives the mean of the rewards that were not
masked, and no other figure (NeMo Gym 0.7.0, nemo_gym/base_resources_server.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from rewardplane.rewards.formats.nemo_gym import row, verdict_of
from rewardplane.rewards.text.end_tokens import without_end_tokens
from rewardplane.rewards.types import Outcome, Reason, Response, Score
from rewardplane.wire.errors import InvalidRequest

from .exchange import Answer, Request, echoed, json_answer
from .facade import Ask, Facade, switched_off
from .items import example_of, turns_of
from .request import json_object
from .scoring import Asked, Asking, Item

if TYPE_CHECKING:
    from rewardplane.config.settings import NemoGymUrl

_NAME = "nemo_gym"
_LARGEST = 1e100
"""No reward is larger, and as many as fit in a body have a sum."""


class NemoGym(Facade):
    """Answers as a resources server does."""

    def routes(self) -> Mapping[str, Ask]:
        """See the base."""
        return {
            "/verify": self.verify,
            "/seed_session": self.session,
            "/close_session": self.session,
            "/aggregate_metrics": self.aggregate_metrics,
        }

    def verify(self, _request: Request) -> Asking:
        """The request and the verdict on it.

        Raises:
            Answered: the URL is not switched on.
        """
        settings = self._settings()
        fields: Mapping[str, Any] = {}

        def read(body: bytes) -> Asked:
            nonlocal fields
            fields = json_object(body)
            return Asked([verify_item(fields, settings)])

        def written(outcomes: list[Outcome]) -> Answer:
            (outcome,) = outcomes
            if isinstance(outcome, Score):
                told = verdict_of(outcome.reward)
            elif outcome.reason is Reason.NOT_APPLICABLE:
                told = verdict_of(None)
            else:
                told = verdict_of(settings.value_on_error, outcome.reason, outcome.message)
            return echoed({**fields, **told})

        return Asking(settings.reward, read, written, tells=settings.tells)

    def session(self, request: Request) -> Answer:
        """There is nothing to keep: the id of the session, where it has one.

        Raises:
            Answered, CallError, TooLarge: the call is refused.
        """
        self._settings()
        fields = json_object(request.body)
        name = "resources_session_id"
        return json_answer({name: fields[name]} if isinstance(fields.get(name), str) else {})

    def aggregate_metrics(self, request: Request) -> Answer:
        """The mean reward.

        Raises:
            Answered, CallError, TooLarge: the call is refused.
        """
        self._settings()
        fields = json_object(request.body)
        verified: object = fields.get("verify_responses")
        if not isinstance(verified, list):
            raise InvalidRequest("verify_responses: want a list")
        rewards: list[float] = []
        for one in cast("list[object]", verified):
            told = cast("dict[str, object]", one) if isinstance(one, dict) else {}
            reward = told.get("reward")
            # JSON's numbers have no bounds, and Python reads more than JSON has.
            is_number = isinstance(reward, int | float) and abs(reward) < _LARGEST
            if is_number and not told.get("mask_sample"):
                rewards.append(cast("float", reward))
        mean = {"mean/reward": sum(rewards) / len(rewards)} if rewards else {}
        return json_answer({"agent_metrics": mean, "key_metrics": mean})

    def _settings(self) -> NemoGymUrl:
        settings = self.rewards.http.nemo_gym
        if settings is None:
            raise switched_off(_NAME)
        return settings


def verify_item(fields: Mapping[str, Any], settings: NemoGymUrl) -> Item:
    """The item of a request.

    Raises:
        InvalidRequest: it is none.
    """
    try:
        messages, text, columns = row(fields)
    except (AttributeError, KeyError, TypeError) as error:
        why = "want responses_create_params and response as NeMo Gym sends them"
        raise InvalidRequest(f"{why}: {type(error).__name__} {error}") from None
    turns = turns_of(messages, "responses_create_params.input")
    return example_of(turns, columns), Response(without_end_tokens(text, settings.end_tokens))
