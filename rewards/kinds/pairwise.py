"""The responses of a group, compared with each other by a judge."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ..formats.member_fault import member_fault
from ..judging import pairs
from ..judging.asks_model import AsksModel, spent
from ..judging.pairs import ANCHOR, Compared
from ..judging.shown import Shown, joined
from ..models.model import Label, LabelQuestion
from ..references import reference
from ..reward import NO_RESPONSE, Item, Result, Unit, kind
from ..text.chat import Message
from ..text.template import TemplateFault, text_of
from ..types import (
    RETRYABLE,
    Example,
    InvalidInput,
    InvalidReference,
    JudgementRecord,
    Response,
    RewardFault,
    Score,
    Usage,
)

PROMPT = """Here is a prompt and two responses to it.

Prompt:
{{ prompt }}
"""
ORDER_GAP = "order_gap"
COMPARISONS = "comparisons"
MAX_ALL = 256
"""Responses of which everyone is compared with everyone: 32,640 comparisons."""

_Words = Annotated[str, Field(min_length=1, max_length=20_000)]
_Answer = tuple[JudgementRecord, int]


class Design(BaseModel):
    """Who is compared with whom."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    design: Literal["all", "ring", "chunks", "anchor"] = "ring"
    """`all`: everyone with everyone, n(n-1)/2 comparisons, n at most 256. `ring`: everyone with
    the `meets` next to it in a circle, n x meets / 2. `chunks`: everyone with everyone in chunks of
    `size`.
    `anchor`: everyone with a reference answer, n."""
    meets: Annotated[int, Field(ge=2, le=64, multiple_of=2)] = 4
    size: Annotated[int, Field(ge=2, le=64)] = 4
    reference: Annotated[str, Field(min_length=1, max_length=256)] = "answer"
    """The reference that holds the answer of `anchor`."""

    def pairs(self, count: int) -> list[tuple[int, int]]:
        """The pairs of a group of `count`."""
        if self.design == "all":
            return pairs.all_pairs(count)
        if self.design == "ring":
            return pairs.ring(count, self.meets)
        return pairs.chunks(count, self.size) if self.design == "chunks" else pairs.anchored(count)


@kind("pairwise")
class Pairwise(AsksModel):
    """How a response compares with others of its group, by a judge who sees two at a time.

    Each pair is asked in both seats by default, and the log odds are averaged: a judge that
    prefers a seat says nothing. Equal responses are equally good, without a question.

    A comparison that fails in one seat is left out, and leaves all others. A response that kept
    fewer than `min_answered` of its comparisons is an error, with the reason of the first that
    failed; one that was compared less than planned says so in component `comparisons`.

    Components: `comparisons`, how many went into the reward; `order_gap`, their mean distance
    between the two seats, as log odds (with `swap`); `label_mass` and `cut_tokens` (`AsksModel`).
    What a comparison took is told with the first of its two responses.
    """

    ask: _Words = "Which response is better?"
    """The question. The responses are called A and B."""
    show: str = Field(default=PROMPT, min_length=1, max_length=100_000)
    """What stands before the two responses: as of kind `judge`, without ``{{ response }}``."""
    pairs: Design = Design()
    """Who is compared with whom."""
    swap: bool = True
    """Each pair is asked in both orders. False: half the questions, and the judge's preference for
    a seat goes into the rewards."""
    aggregate: Literal["mean_win", "bradley_terry"] = "mean_win"
    """`mean_win`: the mean probability to be better, 0 to 1. `bradley_terry`: strength as log odds,
    with mean 0, or with the reference answer at 0."""
    min_answered: Annotated[float, Field(gt=0, le=1)] = 0.5
    """The share of its comparisons that a response must keep."""

    @model_validator(mode="after")
    def _is_sound(self) -> Pairwise:
        paths = self._shown.paths
        if "response" in paths or "thoughts" in paths:
            raise ValueError("show: the responses stand after it; want neither in it")
        if self.pairs.design == "chunks" and self.aggregate == "bradley_terry":
            raise ValueError("aggregate: no comparison connects the chunks; want mean_win")
        return self

    @property
    def unit(self) -> Unit:
        """A group."""
        return Unit.GROUP

    @property
    def whole_group(self) -> bool:
        """Never split."""
        return True

    @property
    def component_names(self) -> tuple[str, ...]:
        """As the class says."""
        return (COMPARISONS, *((ORDER_GAP,) if self.swap else ()), *self.read_components)

    @property
    def reference_keys(self) -> tuple[str, ...]:
        """What `show` names, and the reference answer."""
        anchor = (self.pairs.reference,) if self.pairs.design == "anchor" else ()
        return tuple(dict.fromkeys((*self._shown.reference_keys, *anchor)))

    def examine(self, example: Example) -> None:
        """Fills `show`, and reads the reference answer; nobody is asked."""
        super().examine(example)
        self._shown.parts(example, NO_RESPONSE)
        if self.pairs.design == "anchor":
            self._anchor(example)

    async def score_items(self, items: Sequence[Item]) -> Sequence[Result]:
        """What each response is worth among the others of its group, or its fault.

        Raises:
            RewardFault: nothing can be asked of any: one response alone, no reference answer.
        """
        example, responses = items[0][0], [response for _, response in items]
        if len(items) == 1 and self.pairs.design != "anchor":
            raise InvalidInput("a group of one response has nobody to be compared with")
        if self.pairs.design == "all" and len(items) > MAX_ALL:
            raise InvalidInput(
                f"a group of {len(items)} responses, `design: all` takes {MAX_ALL} at most: its"
                " comparisons grow with the square; choose `ring`"
            )
        anchor = self._anchor(example) if self.pairs.design == "anchor" else None
        seats = [*(self._seat(one) for one in responses), *([anchor] if anchor is not None else [])]
        planned = self.pairs.pairs(len(responses))
        asked = [(i, j) for i, j in planned if seats[i] != seats[j]]
        orders = [*asked, *((j, i) for i, j in asked)] if self.swap else asked
        head = self._shown.parts(example, Response())
        answers = await self.answers(
            ([_message(head, seats[a], seats[b])], self._question) for a, b in orders
        )
        by_order = dict(zip(orders, answers, strict=True))
        made: list[Compared] = []
        used: list[list[_Answer | RewardFault]] = [[] for _ in responses]
        for i, j in planned:
            both = [by_order[order] for order in ((i, j), (j, i)) if order in by_order]
            used[i] += both
            if j != ANCHOR:
                used[j] += map(_for_free, both)
            compared = _compared(i, j, both)
            if compared is not None:
                made.append(compared)
        if self.aggregate == "mean_win":
            values = pairs.mean_wins(len(responses), made)
        else:  # of a large group for some 100 ms: other rewards share the event loop
            values = await asyncio.to_thread(_strengths, len(responses), made)
        return [
            self._result(index, values[index], planned, made, used[index])
            for index in range(len(responses))
        ]

    def _result(
        self,
        index: int,
        value: float | None,
        planned: Sequence[tuple[int, int]],
        made: Sequence[Compared],
        answers: Sequence[_Answer | RewardFault],
    ) -> Score | RewardFault:
        mine = [one for one in made if index in (one.i, one.j)]
        want = sum(index in pair for pair in planned)
        if value is None or len(mine) < self.min_answered * want:
            faults = [answer for answer in answers if isinstance(answer, RewardFault)]
            told = f"{want - len(mine)} of {want} comparisons failed"
            if not faults:
                fault = InvalidInput(f"{told}: nothing connects the response with the others")
            else:
                # One that may go away is told first: then the item is worth another try.
                first = min(faults, key=lambda fault: fault.reason not in RETRYABLE)
                fault = member_fault(first.reason, f"{told}; {first}", None)
            fault.usage = spent(answers)
            return fault
        records = [answer[0] for answer in answers if not isinstance(answer, RewardFault)]
        cut = sum(answer[1] for answer in answers if not isinstance(answer, RewardFault))
        parts = {COMPARISONS: float(len(mine)), **self.read_values(records, cut)}
        if self.swap:
            parts[ORDER_GAP] = sum(one.order_gap for one in mine) / len(mine)
        return Score(value, parts, "", judgements=tuple(records))

    def _anchor(self, example: Example) -> list[Any]:
        key = self.pairs.reference
        try:
            text = text_of(reference(example, Response(), key), key)
        except TemplateFault as error:
            raise InvalidReference(str(error)) from None
        if not text.strip():
            raise InvalidReference(f"reference {key!r} is empty: nothing to compare with")
        return self._seat(Response(text))

    def _seat(self, response: Response) -> list[Any]:
        return self._response.parts(Example(), response)

    @cached_property
    def _shown(self) -> Shown:
        return Shown(self.show, self.look_in)

    @cached_property
    def _response(self) -> Shown:
        return Shown("{{ response }}", self.look_in)

    @cached_property
    def _question(self) -> LabelQuestion:
        return LabelQuestion("choice", self.ask, (Label("A", 1.0), Label("B", 0.0)))


def _strengths(count: int, made: Sequence[Compared]) -> list[float | None]:
    from ..judging.strengths import bradley_terry  # numpy takes a while, and others do without

    return bradley_terry(count, made)


def _message(head: Sequence[Any], first: Sequence[Any], second: Sequence[Any]) -> Message:
    return joined([*head, "\nResponse A:\n", *first, "\n\nResponse B:\n", *second])


def _for_free(answer: _Answer | RewardFault) -> _Answer | RewardFault:
    """The answer for the second of its two responses: what it took is told with the first."""
    if isinstance(answer, RewardFault):
        return member_fault(answer.reason, str(answer), None)
    return replace(answer[0], usage=Usage()), answer[1]


def _compared(i: int, j: int, both: Sequence[_Answer | RewardFault]) -> Compared | None:
    """The comparison from its answers, in both seats or one; None where one of them failed."""
    if not both:
        return Compared(i, j, 0.0)
    odds: list[float] = []
    for answer in both:
        if isinstance(answer, RewardFault):
            return None
        odds.append(pairs.log_odds(answer[0].probs["A"], answer[0].probs["B"]))
    return Compared(i, j, odds[0]) if len(odds) == 1 else pairs.both_seats(i, j, *odds)
