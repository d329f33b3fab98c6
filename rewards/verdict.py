"""Rewards that say right or wrong: one value for each, and what of the response was read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from .reading.span import STOP_STRINGS, LookIn, StopStrings, is_marked, span
from .reward import Reward
from .types import Example, Response, Score

Finite = Annotated[float, Field(allow_inf_nan=False)]

_PARSED = {"parsed": 1.0}
_NOT_PARSED = {"parsed": 0.0}
_MAX_SHOWN_CHARS = 500
_SOME_ANSWER = Response(r"\boxed{-98765}")


class RightOrWrong(Reward):
    """A reward with two values."""

    correct_reward: Finite = 1.0
    """The reward of a right response."""
    wrong_reward: Finite = 0.0
    """The reward of a wrong one."""


class ReadsText(RightOrWrong):
    """A reward with two values that looks at the response's text."""

    look_in: LookIn = "answer"
    """`answer`: what follows the thoughts (`reading.span`); a response that is still thinking has
    none. `all`: the whole text."""
    stop: StopStrings = STOP_STRINGS
    """Stop strings that a sampler may leave at the end of the text: no part of it."""
    explain: bool = False
    """An explanation with each score: what was read, and the gold."""

    def examine(self, example: Example) -> None:
        """Scores a response whose answer is read and is no gold: so the gold is read too."""
        super().examine(example)
        self.score(example, _SOME_ANSWER)

    def text_of(self, response: Response) -> str:
        """The part of the response to look at."""
        text = response.text
        if self.stop is STOP_STRINGS and not is_marked(text):
            return text
        return span(text, self.look_in, self.stop)

    def said(self, read: str, golds: Sequence[str]) -> str:
        """The explanation, where one is wanted: ``read 19, gold 18``."""
        if not self.explain:
            return ""
        return f"read {_shown(read)}, gold {' or '.join(map(_shown, golds[:16]))}"


class ReadsAnswer(ReadsText):
    """A reward with two values for an answer that is looked for in the response.

    Component `parsed`: 1 where an answer was found and could be read, else 0; then it is wrong.
    `Score.answer`: what was read.
    """

    @property
    def component_names(self) -> tuple[str, ...]:
        """`parsed`."""
        return ("parsed",)

    def judged(self, correct: bool | None, answer: str = "", explanation: str = "") -> Score:
        """The score of an answer that is right, wrong, or (None) not there or not readable."""
        if correct is None:
            return Score(self.wrong_reward, _NOT_PARSED, explanation, (), answer)
        reward = self.correct_reward if correct else self.wrong_reward
        return Score(reward, _PARSED, explanation, (), answer)


def _shown(text: str) -> str:
    text = " ".join(text[: _MAX_SHOWN_CHARS + 1].split())
    if not text:
        return "nothing"
    return text if len(text) <= _MAX_SHOWN_CHARS else f"{text[:_MAX_SHOWN_CHARS]}…"
