"""How different a response is from the others of its group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from ..compose.group_kind import OfGroup
from ..reward import Result, kind
from ..text.shingles import Of, resemblances
from ..types import Response, RewardFault, Score


@kind("diversity")
class Diversity(OfGroup):
    """1 minus the mean resemblance to the group's other responses: 1 where none shares a run.

    The resemblance of two texts is the share of runs (n-grams) that both have among those that
    either has. A response alone in its group gets 0: there is nothing to differ from. Component:
    `nearest`, the greatest resemblance to another response.
    """

    size: Annotated[int, Field(ge=1, le=64)] = 2
    """The length of a run, in `of`."""
    of: Of = "words"
    """What runs are of: `words`, or `chars` for languages without spaces."""

    @property
    def component_names(self) -> tuple[str, ...]:
        """`nearest`."""
        return ("nearest",)

    def score_group(
        self,
        responses_G: Sequence[Response],  # noqa: N803
    ) -> Sequence[Result | RewardFault]:
        """The differences, 0 to 1."""
        alike = resemblances([response.text for response in responses_G], self.size, self.of)
        others = len(responses_G) - 1
        scores: list[Result | RewardFault] = []
        for index, all_of_row in enumerate(alike):
            row = [value for other, value in enumerate(all_of_row) if other != index]
            reward = 1.0 - sum(row) / others if others else 0.0
            scores.append(Score(max(0.0, reward), {"nearest": max(row, default=0.0)}))
        return scores
