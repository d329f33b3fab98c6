"""Rewards that say right or wrong: one value for each, and whether there was an answer to judge."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from .reward import Reward
from .types import Score

Finite = Annotated[float, Field(allow_inf_nan=False)]

_PARSED = {"parsed": 1.0}
_NOT_PARSED = {"parsed": 0.0}


class Verdict(Reward):
    """A reward with two values."""

    correct_reward: Finite = 1.0
    """The reward of a right response."""
    wrong_reward: Finite = 0.0
    """The reward of a wrong one."""


class AnswerVerdict(Verdict):
    """A reward with two values for an answer that is looked for in the response.

    Component `parsed`: 1 where an answer was found and could be read, else 0; then it is wrong.
    """

    @property
    def component_names(self) -> tuple[str, ...]:
        """`parsed`."""
        return ("parsed",)

    def judged(self, correct: bool | None, explanation: str = "") -> Score:
        """The score of an answer that is right, wrong, or (None) not there."""
        if correct is None:
            return Score(self.wrong_reward, _NOT_PARSED, explanation, ())
        return Score(
            self.correct_reward if correct else self.wrong_reward, _PARSED, explanation, ()
        )
