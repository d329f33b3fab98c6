"""The URL that eval-protocol's remote reward functions are called at.

`POST /evaluate` (eval-protocol 0.3.33: eval_protocol/reward_function.py sends the arguments beside
`messages` and `ground_truth`, eval_protocol/generic_server.py takes them under `kwargs`; both are
read here) is answered with `score`, `reason` and `metrics`.

Its client does not look at `is_score_valid`: an item without a reward is an HTTP error, for which
the client raises, or the number that the configuration says.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from rewardplane.rewards.text.end_tokens import without_end_tokens
from rewardplane.rewards.types import Outcome, Response, Score
from rewardplane.wire.errors import InvalidRequest

from .exchange import Request, json_answer
from .facade import Ask, Facade, switched_off
from .items import example_of, labelled, turns_of
from .request import json_object
from .scoring import Asked, Asking, Item

if TYPE_CHECKING:
    from rewardplane.config.settings import RewardUrl

_NAME = "eval_protocol"
_OWN = frozenset({"messages", "ground_truth", "kwargs"})


class EvalProtocol(Facade):
    """Answers `POST /evaluate`."""

    def routes(self) -> Mapping[str, Ask]:
        """See the base."""
        return {"/evaluate": self.evaluate}

    def evaluate(self, _request: Request) -> Asking:
        """The score of a conversation's last message.

        Raises:
            Answered: the URL is not switched on.
        """
        settings = self.rewards.http.eval_protocol
        if settings is None:
            raise switched_off(_NAME)
        return Asking(
            settings.reward,
            lambda body: Asked([evaluate_item(json_object(body), settings)]),
            lambda outcomes: json_answer(answer_of(outcomes[0], settings)),
            wants=("components", "explanations"),
            tells=settings.tells,
        )


def evaluate_item(fields: Mapping[str, Any], settings: RewardUrl) -> Item:
    """The item of a request.

    Raises:
        InvalidRequest: it is none.
    """
    messages: object = fields.get("messages")
    if not isinstance(messages, list) or not messages:
        raise InvalidRequest("messages: want a list of messages, one at least")
    turns = turns_of(cast("list[object]", messages), "messages")
    if turns[-1].role != "model":
        raise InvalidRequest(f"messages: the last is of {turns[-1].role!r}, want the assistant's")
    gold: object = fields.get("ground_truth")
    if gold == cast("list[object]", messages)[:-1]:
        gold = None  # what its client sends where it was given none
    more: object = fields.get("kwargs") or {}
    if not isinstance(more, dict):
        raise InvalidRequest("kwargs: want an object")
    flat = {name: value for name, value in fields.items() if name not in _OWN}
    label: Mapping[str, object] = {} if gold is None else labelled(gold, settings.gold)
    columns = {**flat, **cast("dict[str, object]", more), **label}
    text = without_end_tokens(turns[-1].text, settings.end_tokens)
    return example_of(turns[:-1], columns), Response(text)


def answer_of(outcome: Outcome, settings: RewardUrl) -> dict[str, Any]:
    """The body of an answer."""
    if not isinstance(outcome, Score):
        told = f"{outcome.reason.name}: {outcome.message}"
        return {
            "score": settings.value_on_error,
            "is_score_valid": False,
            "reason": told,
            "metrics": {},
            "error": told,
        }
    metrics = {
        name: {"score": value, "is_score_valid": True, "success": True, "reason": name}
        for name, value in outcome.components.items()
    }
    return {
        "score": outcome.reward,
        "is_score_valid": True,
        "reason": outcome.explanation or None,
        "metrics": metrics,
        "error": None,
    }
