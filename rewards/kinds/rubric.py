"""A response under a list of weighted questions of Yes or No."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Annotated

from pydantic import Field, model_validator

from ..formats.member_fault import member_fault
from ..judging.asks_model import CUT_TOKENS, LABEL_MASS, AsksModel, spent
from ..judging.criteria import MAX_ITEMS, Criterion, criteria_of
from ..judging.questions import predicate
from ..judging.shown import SHOW, Shown
from ..references import reference
from ..reward import NO_RESPONSE, kind
from ..types import RETRYABLE, Example, Response, RewardFault, Score

COUNT = "items"


@kind("rubric")
class Rubric(AsksModel):
    """The weighted sum of the probabilities of Yes, as a share of all positive weights.

    So 1 is all that is wanted and nothing that is not; what is not wanted (negative weights) can
    take it below 0. Each item is a question of its own. One that has no answer fails the response:
    a sum without it would be of another rubric.

    Components: the probability of Yes of each item by its name (with `items_from`, which differs by
    example, only their number, `items`); `label_mass` and `cut_tokens` (`AsksModel`).
    """

    items: Annotated[tuple[Criterion, ...], Field(max_length=MAX_ITEMS)] = ()
    """The questions."""
    items_from: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    """In place of `items`: the reference that holds those of each example."""
    show: str = Field(default=SHOW, min_length=1, max_length=100_000)
    """What the judge is shown before each question: as of kind `judge`."""
    gated_reward: Annotated[float, Field(allow_inf_nan=False)] = 0.0
    """The reward where an item stays below its gate."""

    @model_validator(mode="after")
    def _is_sound(self) -> Rubric:
        if bool(self.items) is (self.items_from is not None):
            raise ValueError("want either `items` or `items_from`")
        names = [item.name for item in self.items]
        taken = {name for name in names if names.count(name) > 1} | {*names} & {
            COUNT,
            LABEL_MASS,
            CUT_TOKENS,
        }
        if taken:
            raise ValueError(f"items: {sorted(taken)[0]!r} stands twice, or is no free name")
        if self.items and all(item.weight <= 0 for item in self.items):
            raise ValueError("items: want one with a weight above 0")
        _ = self._shown
        return self

    @property
    def component_names(self) -> tuple[str, ...]:
        """The items' names, or `items`, and those of `AsksModel`."""
        names = tuple(item.name for item in self.items) or (COUNT,)
        return (*names, *self.read_components)

    @property
    def reference_keys(self) -> tuple[str, ...]:
        """What `show` names, and `items_from`."""
        own = () if self.items_from is None else (self.items_from,)
        return tuple(dict.fromkeys((*self._shown.reference_keys, *own)))

    def examine(self, example: Example) -> None:
        """Reads the rubric and fills `show`; nobody is asked."""
        super().examine(example)
        self._items_for(example, NO_RESPONSE)
        self._shown.message(example, NO_RESPONSE)

    async def score(self, example: Example, response: Response) -> Score:
        """The weighted sum.

        Raises:
            RewardFault: an item has no answer, or the reference holds no rubric.
        """
        items = self._items_for(example, response)
        message = self._shown.message(example, response)
        answers = await self.answers([([message], predicate(item.ask)) for item in items])
        faults = [
            (item, answer)
            for item, answer in zip(items, answers, strict=True)
            if isinstance(answer, RewardFault)
        ]
        if faults:
            # One that may go away is told first: then the item is worth another try.
            item, first = min(faults, key=lambda pair: pair[1].reason not in RETRYABLE)
            raise member_fault(first.reason, f"{item.name}: {first}", spent(answers))
        found = [answer for answer in answers if not isinstance(answer, RewardFault)]
        records = [record for record, _ in found]
        yes = {item.name: record.value for item, record in zip(items, records, strict=True)}
        below = [i.name for i in items if i.gate is not None and yes[i.name] < i.gate]
        parts = yes if self.items else {COUNT: float(len(items))}
        parts = {**parts, **self.read_values(records, sum(cut for _, cut in found))}
        told = "\n".join(f"{item.name} {yes[item.name]:.3g}: {item.ask}" for item in items)
        if below:
            told = f"below its gate: {', '.join(below)}\n{told}"
        reward = self.gated_reward if below else _weighted(items, yes)
        return Score(reward, parts, told, judgements=tuple(records))

    def _items_for(self, example: Example, response: Response) -> Sequence[Criterion]:
        if self.items_from is None:
            return self.items
        return criteria_of(reference(example, response, self.items_from), self.items_from)

    @cached_property
    def _shown(self) -> Shown:
        return Shown(self.show, self.look_in)


def _weighted(items: Sequence[Criterion], yes: dict[str, float]) -> float:
    total = math.fsum(item.weight * yes[item.name] for item in items)
    return total / math.fsum(item.weight for item in items if item.weight > 0)
