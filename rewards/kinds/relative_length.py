"""A reward for responses that are shorter than the others of their group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from ..compose.group_kind import OfGroup, length_of
from ..reward import Result, kind
from ..types import Response, RewardFault, Score


@kind("relative_length")
class RelativeLength(OfGroup):
    """Kimi k1.5's length reward (https://arxiv.org/abs/2501.12599, section 2.3.3), by length alone.

    From 0.5 for the shortest response of the group, linear in the length, to -0.5 for the longest;
    0 where all are of one length. Have a composite give it to correct responses only. A response
    whose length is not known is an error, and the others are compared among each other. Component:
    `length`.
    """

    counted_in: Annotated[Literal["tokens", "chars"], Field(alias="unit")] = "tokens"
    """In the configuration `unit`. `tokens` needs the responses' `token_count`; `chars` counts the
    characters of their text."""
    prefer: Literal["short", "long"] = "short"
    """Which end gets 0.5."""

    @property
    def component_names(self) -> tuple[str, ...]:
        """`length`."""
        return ("length",)

    def score_group(
        self,
        responses_G: Sequence[Response],  # noqa: N803
    ) -> Sequence[Result | RewardFault]:
        """The rewards, -0.5 to 0.5."""
        lengths = [length_of(response, self.counted_in) for response in responses_G]
        known = [length for length in lengths if isinstance(length, int)]
        least, width = min(known, default=0), max(known, default=0) - min(known, default=0)
        sign = 1.0 if self.prefer == "short" else -1.0
        scores: list[Result | RewardFault] = []
        for length in lengths:
            if isinstance(length, RewardFault):
                scores.append(length)
                continue
            place = 0.5 - (length - least) / width if width else 0.0
            scores.append(Score(sign * place + 0.0, {"length": float(length)}))
        return scores
