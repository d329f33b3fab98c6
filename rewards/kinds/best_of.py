"""A reward's standing within its group: the best, its rank, its place in the range, its z-score."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from pydantic import Field

from ..compose.combining import Combined, Combining, MemberOutcome, checked, member_failed
from ..reward import kind
from ..types import Reason, ScoreError

_LEFT_OUT = ScoreError(Reason.NOT_APPLICABLE, "a gate left the item out")


@kind("best_of")
class BestOf(Combining):
    """Where a response stands in its group by another reward of the file.

    A response whose reward failed keeps its error, and the others stand among each other. In a
    group where all are alike none is better: `best` is 1, `rank` 0.5, `range` and `z` 0. Component:
    the member's own reward under its name, and its components.
    """

    reward: str
    """The reward that is looked at."""
    measure: Annotated[Literal["best", "rank", "range", "z"], Field(alias="as")] = "rank"
    """In the configuration `as`. `best`: 1 for the greatest, else 0. `rank`: from 0 for the least
    to 1 for the greatest, equal ones in the middle of their ranks. `range`: (reward - least) /
    (greatest - least). `z`: (reward - mean) / standard deviation."""

    @property
    def members(self) -> Mapping[str, str]:
        """The one reward."""
        return {self.reward: self.reward}

    @property
    def needs_whole_group(self) -> bool:
        """All of it."""
        return True

    def combine_group(
        self,
        outcomes_G: Sequence[Mapping[str, MemberOutcome]],  # noqa: N803
    ) -> list[Combined | ScoreError]:
        """The standing of each that has a reward, among those that have one."""
        values = [outcomes[self.reward] for outcomes in outcomes_G]
        there = [value for value in values if isinstance(value, float)]
        known = self._standings(there)
        return [
            checked(known[value])
            if isinstance(value, float)
            else member_failed({self.reward: _error(value)}, self.members)
            for value in values
        ]

    def _standings(self, values: Sequence[float]) -> Mapping[float, float]:
        if not values:
            return {}
        least, greatest = min(values), max(values)
        if self.measure == "best":
            return {value: float(value == greatest) for value in values}
        if self.measure == "rank":
            return _ranks(values)
        if least == greatest:
            return dict.fromkeys(values, 0.0)
        if self.measure == "range":
            width = greatest - least
            return {value: (value - least) / width for value in values}
        mean = sum(values) / len(values)
        std = math.sqrt(sum((value - mean) ** 2 for value in values) / len(values))
        return {value: (value - mean) / std if std else 0.0 for value in values}


def _error(outcome: MemberOutcome) -> ScoreError:
    return outcome if isinstance(outcome, ScoreError) else _LEFT_OUT


def _ranks(values: Sequence[float]) -> Mapping[float, float]:
    ordered, last = sorted(values), len(values) - 1
    first: dict[float, int] = {}
    end: dict[float, int] = {}
    for rank, value in enumerate(ordered):
        first.setdefault(value, rank)
        end[value] = rank
    return {v: (first[v] + end[v]) / 2 / last if last else 0.5 for v in first}
