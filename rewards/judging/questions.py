"""What a configuration asks: predicates, choices and scores, as questions with labels.

Labels are what a model answers with one token: Yes and No, letters, digits.
"""

from __future__ import annotations

import math
import string
from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from ..models.model import Label, LabelQuestion

_Finite = Annotated[float, Field(allow_inf_nan=False)]
_Words = Annotated[str, Field(min_length=1, max_length=20_000)]
_Meaning = Annotated[str, Field(max_length=4_000)]

YES, NO = "Yes", "No"


class _Asked(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    instructions: _Words
    """The question in words. It stands after all that the judge is shown."""


class Predicate(_Asked):
    """Answered by Yes or No; worth the probability of Yes."""

    kind: Literal["predicate"] = "predicate"

    def question(self) -> LabelQuestion:
        """As a model is asked."""
        return predicate(self.instructions)


class Choice(_Asked):
    """Answered by one of `options`, which are worth what stands beside them."""

    kind: Literal["choice"]
    options: Annotated[Mapping[_Meaning, _Finite], Field(min_length=2, max_length=26)]
    """From each option, in words, to its value. They are labelled A, B, C …."""

    def question(self) -> LabelQuestion:
        """As a model is asked."""
        options = zip(string.ascii_uppercase, self.options.items(), strict=False)
        labels = tuple(Label(letter, value, words) for letter, (words, value) in options)
        return LabelQuestion("choice", self.instructions, labels)


class ScoreLevels(_Asked):
    """Answered by one of `levels`, from the lowest to the highest."""

    kind: Literal["score"]
    levels: (
        Annotated[tuple[_Finite, ...], Field(min_length=2, max_length=10)]
        | Annotated[Mapping[_Finite, _Meaning], Field(min_length=2, max_length=10)]
    )
    """The values, or from each value to what it means, rising. Whole numbers from 0 to 9 are their
    own labels; others are numbered from 1 (from 0, where there are ten)."""

    @model_validator(mode="after")
    def _rise(self) -> ScoreLevels:
        values = [*self.levels]
        if any(low >= high for low, high in pairwise(values)):
            raise ValueError("levels: want values that rise, each once")
        return self

    def question(self) -> LabelQuestion:
        """As a model is asked."""
        values = [*self.levels]
        meanings = [*self.levels.values()] if isinstance(self.levels, Mapping) else [""] * 10
        if all(value.is_integer() and 0 <= value <= 9 for value in values):
            texts = [str(int(value)) for value in values]
        else:
            first = 0 if len(values) == 10 else 1
            texts = [str(first + index) for index in range(len(values))]
        labels = map(Label, texts, values, meanings)
        return LabelQuestion("score", self.instructions, tuple(labels))


def _from_words(given: Any) -> Any:
    return {"kind": "predicate", "instructions": given} if isinstance(given, str) else given


Question = Annotated[
    Annotated[Predicate | Choice | ScoreLevels, Field(discriminator="kind")],
    BeforeValidator(_from_words),
]
"""One of the three; words alone are a predicate."""


def predicate(instructions: str) -> LabelQuestion:
    """A question of Yes or No."""
    return LabelQuestion("predicate", instructions, (Label(YES, 1.0), Label(NO, 0.0)))


def value_of(question: LabelQuestion, probs: Mapping[str, float]) -> float:
    """The expectation of the labels' values, within the least and the greatest of them."""
    values = [label.value for label in question.labels]
    mean = math.fsum(probs[label.text] * label.value for label in question.labels)
    return min(max(mean, min(values)), max(values))
