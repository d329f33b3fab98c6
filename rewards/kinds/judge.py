"""A judge's answer to one question about each response."""

from __future__ import annotations

from functools import cached_property

from pydantic import Field, model_validator

from ..judging.asks_model import AsksModel, told
from ..judging.questions import Question
from ..judging.shown import SHOW, Shown
from ..models.model import LabelQuestion
from ..reward import NO_RESPONSE, kind
from ..types import Example, Response, Score


@kind("judge")
class Judge(AsksModel):
    """The expectation of a model's answer to `ask`, over the probabilities of its labels.

    What cannot be read is JUDGE_UNREADABLE, a refusal JUDGE_REFUSED; never a number. Components:
    `label_mass` and `cut_tokens` (`AsksModel`).
    """

    ask: Question
    """`{kind: predicate, instructions}`: the probability of Yes. `{kind: choice, instructions,
    options: {in words: value}}`. `{kind: score, instructions, levels: [1, 2, 3]}` or `{value:
    meaning}`."""
    show: str = Field(default=SHOW, min_length=1, max_length=100_000)
    """What the judge is shown before the question, with ``{{ prompt }}``, ``{{ response }}``,
    ``{{ thoughts }}``, ``{{ system_instruction }}`` and ``{{ references.KEY }}``. What changes
    least comes first: questions about one prompt then share its beginning."""

    @model_validator(mode="after")
    def _is_sound(self) -> Judge:
        _ = self._shown
        return self

    @property
    def component_names(self) -> tuple[str, ...]:
        """`label_mass`, where it is checked, and `cut_tokens`."""
        return self.read_components

    @property
    def reference_keys(self) -> tuple[str, ...]:
        """What `show` names."""
        return self._shown.reference_keys

    def examine(self, example: Example) -> None:
        """Fills `show`; nobody is asked."""
        super().examine(example)
        self._shown.message(example, NO_RESPONSE)

    async def score(self, example: Example, response: Response) -> Score:
        """The expectation.

        Raises:
            RewardFault: there is no answer.
        """
        message = self._shown.message(example, response)
        record, cut_tokens = await self.answer([message], self._question)
        parts = self.read_values([record], cut_tokens)
        return Score(record.value, parts, told(record), judgements=(record,))

    @cached_property
    def _shown(self) -> Shown:
        return Shown(self.show, self.look_in)

    @cached_property
    def _question(self) -> LabelQuestion:
        return self.ask.question()
