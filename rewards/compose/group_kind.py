"""What rewards have in common that look at all responses of a group at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..reward import Item, Result, Reward, Unit
from ..types import InvalidInput, Response, RewardFault


class OfGroup(Reward):
    """A reward that compares the responses of a group; the group is never split."""

    reads_prompt = False

    @property
    def unit(self) -> Unit:
        """One group."""
        return Unit.GROUP

    @property
    def whole_group(self) -> bool:
        """All of it."""
        return True

    def score_items(self, items: Sequence[Item]) -> Sequence[Result]:
        """Scores the responses of one group against each other."""
        results: Sequence[Any] = self.score_group([response for _example, response in items])
        return results

    def score_group(
        self,
        responses_G: Sequence[Response],  # noqa: N803
    ) -> Sequence[Result | RewardFault]:
        """What each response gets; a fault is that response's alone. n in, n out, same order."""
        raise NotImplementedError


def length_of(response: Response, unit: str) -> int | InvalidInput:
    """The length of a response in `tokens` or `chars`, or why it is not known."""
    if unit == "chars":
        return len(response.text)
    if response.token_count is None:
        return InvalidInput("the response has no token_count, which `unit: tokens` needs")
    if response.token_count < 0:
        return InvalidInput(f"the response's token_count is {response.token_count}")
    return response.token_count
