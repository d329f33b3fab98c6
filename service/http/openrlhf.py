"""The URL that OpenRLHF calls for rewards (`--reward.remote_url`).

`POST /get_reward` with `query`, `prompts` and `labels`, a list each, is answered with `rewards`,
`scores` and `extra_logs` (OpenRLHF 0.11.2, openrlhf/utils/agent.py). Its client waits 180 s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, cast

from rewardplane.rewards.formats.openrlhf import response_of
from rewardplane.rewards.text.end_tokens import without_end_tokens
from rewardplane.rewards.types import Content, Outcome, Part, Response, Score
from rewardplane.wire.errors import InvalidRequest

from .exchange import Answer, Request, json_answer
from .facade import Ask, Facade, switched_off
from .items import example_of, labelled, texts_of
from .request import json_object
from .scoring import Asked, Asking, Item

if TYPE_CHECKING:
    from rewardplane.config.settings import RewardUrl


class OpenRlhf(Facade):
    """Answers `POST /get_reward`."""

    answer_s: ClassVar[float] = 110.0

    def routes(self) -> Mapping[str, Ask]:
        """See the base."""
        return {"/get_reward": self.get_reward}

    def get_reward(self, _request: Request) -> Asking:
        """The rewards of the queries, in their order; none for none.

        Raises:
            Answered: the URL is not switched on.
        """
        settings = self.rewards.http.openrlhf
        if settings is None:
            raise switched_off("openrlhf")

        def written(outcomes: list[Outcome]) -> Answer:
            numbers = rewards_of(outcomes, settings)
            logs = {"rewardplane_ok": [float(isinstance(outcome, Score)) for outcome in outcomes]}
            return json_answer({"rewards": numbers, "scores": numbers, "extra_logs": logs})

        return Asking(
            settings.reward,
            lambda body: Asked(openrlhf_items(json_object(body), settings)),
            written,
            tells=settings.tells,
        )


def rewards_of(outcomes: Sequence[Outcome], settings: RewardUrl) -> list[float]:
    """The reward of each outcome, or what the configuration says in its place."""
    return [
        outcome.reward if isinstance(outcome, Score) else cast("float", settings.value_on_error)
        for outcome in outcomes
    ]


def openrlhf_items(fields: Mapping[str, Any], settings: RewardUrl) -> list[Item]:
    """The items of an OpenRLHF request.

    Raises:
        InvalidRequest: it is none: lists of different lengths, or a query without its prompt.
    """
    queries, prompts = texts_of(fields, "query"), texts_of(fields, "prompts")
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
        turns = (Content("user", (Part(prompt),)),)
        example = example_of(turns, labelled(label, settings.gold))
        items.append((example, Response(without_end_tokens(text, settings.end_tokens))))
    return items
