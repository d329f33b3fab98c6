"""A penalty on responses that say what others of their group say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from ..compose.group_kind import OfGroup
from ..reward import Result, kind
from ..text.shingles import Of, resemblances
from ..types import Response, RewardFault, Score


@kind("duplicates")
class Duplicates(OfGroup):
    """-`penalty` times the share of the group's other responses that are (nearly) the same text.

    Two texts are near duplicates when the runs of words that they share are at least `near` of
    those that either has. All copies are penalised alike, so no order is preferred. A response
    alone in its group gets 0. Components: `exact` and `near`, how many others are the same text,
    and the same or nearly; `nearest`, the greatest resemblance to another one, 0 to 1.
    """

    penalty: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    """The size of the penalty when all others are duplicates."""
    near: Annotated[float, Field(gt=0, le=1)] = 0.8
    """The resemblance from which on texts are near duplicates; 1: only equal runs are."""
    size: Annotated[int, Field(ge=1, le=64)] = 3
    """The length of a run, in `of`."""
    of: Of = "words"
    """What runs are of: `words`, or `chars` for languages without spaces."""

    @property
    def component_names(self) -> tuple[str, ...]:
        """`exact`, `near`, `nearest`."""
        return ("exact", "near", "nearest")

    def score_group(
        self,
        responses_G: Sequence[Response],  # noqa: N803
    ) -> Sequence[Result | RewardFault]:
        """The penalties, 0 or less."""
        texts = [response.text for response in responses_G]
        alike = resemblances(texts, self.size, self.of)
        others = len(texts) - 1
        scores: list[Result | RewardFault] = []
        for index, text in enumerate(texts):
            row = [value for other, value in enumerate(alike[index]) if other != index]
            near = sum(value >= self.near for value in row)
            parts = {
                "exact": float(texts.count(text) - 1),
                "near": float(near),
                "nearest": max(row, default=0.0),
            }
            share = near / others if others else 0.0
            scores.append(Score(-self.penalty * share + 0.0, parts))
        return scores
