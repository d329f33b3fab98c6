"""A soft penalty on responses that are too long."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from ..reward import Reward, kind
from ..types import Example, InvalidInput, Response, Score


@kind("length")
class Length(Reward):
    """DAPO's soft over-long penalty (https://arxiv.org/abs/2503.14476, section 3.4), to be added.

    0 up to `max_length` - `cache_length`, from there linear to -1 at `max_length`, and -1 beyond;
    also -1 for a response that was cut (`finish_reason` "length"), however long; all times
    `penalty`. Component `length`: the length measured.
    """

    fits_inline = True
    reads_prompt = False

    max_length: Annotated[int, Field(ge=1, le=10**9)]
    """The length from which on the whole penalty applies, in its unit."""
    cache_length: Annotated[int, Field(ge=1, le=10**9)]
    """How far below `max_length` the penalty begins, in its unit; at most `max_length`."""
    counted_in: Annotated[Literal["tokens", "chars"], Field(alias="unit")] = "tokens"
    """In the configuration `unit`. `tokens` needs the response's `token_count`: without it the item
    is INVALID_INPUT, never a guess. `chars` counts the characters (code points) of its
    text, thoughts in it too; earlier turns, and thoughts apart from it, are not counted."""
    penalty: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    """The size of the whole penalty."""

    @model_validator(mode="after")
    def _cache_fits(self) -> Length:
        if self.cache_length > self.max_length:
            raise ValueError("`cache_length` must not exceed `max_length`")
        return self

    @property
    def component_names(self) -> tuple[str, ...]:
        """`length`."""
        return ("length",)

    def score(self, example: Example, response: Response) -> Score:  # noqa: ARG002
        """The penalty, 0 or less.

        Raises:
            InvalidInput: the length in tokens is not known.
        """
        length = len(response.text)
        if self.counted_in == "tokens":
            if response.token_count is None:
                raise InvalidInput("the response has no token_count, which `unit: tokens` needs")
            if response.token_count < 0:
                raise InvalidInput(f"the response's token_count is {response.token_count}")
            length = response.token_count
        over = length - (self.max_length - self.cache_length)
        part = 1.0 if response.finish_reason == "length" else over / self.cache_length
        reward = -self.penalty * min(max(part, 0.0), 1.0)
        return Score(reward + 0.0, {"length": float(length)}, "", ())
