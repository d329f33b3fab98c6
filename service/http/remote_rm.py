"""The URL that slime and miles call for rewards (`--rm-type remote_rm --rm-url`).

`POST /remote_rm` with `prompt` (a text or messages), `response` and `label` is answered with the
reward as bare JSON (slime 624b824a8, slime/rollout/rm_hub). slime's client waits 120 s.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from rewardplane.rewards.text.end_tokens import without_end_tokens
from rewardplane.rewards.types import Response
from rewardplane.wire.errors import InvalidRequest

from .exchange import Request, json_answer
from .facade import Ask, Facade, switched_off
from .items import example_of, labelled, turns_of
from .openrlhf import rewards_of
from .request import json_object
from .scoring import Asked, Asking, Item

if TYPE_CHECKING:
    from rewardplane.config.settings import RewardUrl


class RemoteRm(Facade):
    """Answers `POST /remote_rm`."""

    answer_s: ClassVar[float] = 110.0

    def routes(self) -> Mapping[str, Ask]:
        """See the base."""
        return {"/remote_rm": self.remote_rm}

    def remote_rm(self, _request: Request) -> Asking:
        """The reward of one sample.

        Raises:
            Answered: the URL is not switched on.
        """
        settings = self.rewards.http.remote_rm
        if settings is None:
            raise switched_off("remote_rm")
        return Asking(
            settings.reward,
            lambda body: Asked([remote_rm_item(json_object(body), settings)]),
            lambda outcomes: json_answer(rewards_of(outcomes, settings)[0]),
            tells=settings.tells,
        )


def remote_rm_item(fields: Mapping[str, Any], settings: RewardUrl) -> Item:
    """The item of a request of slime or miles.

    Raises:
        InvalidRequest: it is none.
    """
    response = fields.get("response")
    if not isinstance(response, str):
        raise InvalidRequest("response: want a text")
    turns = turns_of(fields.get("prompt"))
    text = without_end_tokens(response, settings.end_tokens)
    return example_of(turns, labelled(fields.get("label"), settings.gold)), Response(text)
