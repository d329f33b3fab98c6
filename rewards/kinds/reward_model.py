"""The number of a reward model, as it is or transformed."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from ..deadline import left_s
from ..models.model import Model, ModelNeed
from ..reward import Result, Reward, kind
from ..text.chat import Message, prompt_messages, response_messages
from ..types import Example, InvalidInput, Response, Score


class Affine(BaseModel):
    """``(x - mean) / std``: for models whose numbers have a scale of their own."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mean: Annotated[float, Field(allow_inf_nan=False)] = 0.0
    std: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0


@kind("reward_model")
class RewardModel(Reward):
    """What a model of the configuration with head `scalar` says of prompt and response together.

    The number is the head's own, with no activation. Numbers of models trained on comparisons mean
    something within one prompt only.
    """

    model: str
    """The model, under `models:`."""
    transform: Literal["identity", "sigmoid"] | Affine = "identity"
    """What is made of the number; `{mean: x, std: y}` is affine."""

    _model: Model | None = PrivateAttr(None)

    @property
    def needs_model(self) -> ModelNeed:
        """A scalar one."""
        return ModelNeed((self.model,), "scalar")

    @property
    def is_async(self) -> bool:
        """It waits for the model."""
        return True

    @property
    def defaults(self) -> Mapping[str, Any]:
        """Time for an engine that is busy with others."""
        return {"timeout_s": 120.0}

    @property
    def component_names(self) -> tuple[str, ...]:
        """The number before the transformation, and how many tokens of the prompt were cut."""
        return ("raw", "cut_tokens")

    def bind(self, model: Model) -> None:
        """Takes the model."""
        self._model = model

    def examine(self, example: Example) -> None:
        """Looks whether there is a prompt."""
        super().examine(example)
        _prompt(example)

    def score(self, example: Example, response: Response) -> Awaitable[Result]:
        """The model's number."""
        return self._score(example, response)

    async def _score(self, example: Example, response: Response) -> Result:
        model = self._model
        if model is None:
            raise TypeError("no model was bound")
        messages = [*_prompt(example), *response_messages(response)]
        scalar = await model.scalar(messages, timeout_s=left_s())
        components = {"raw": scalar.value, "cut_tokens": float(scalar.cut_tokens)}
        return Score(self._transformed(scalar.value), components)

    def _transformed(self, value: float) -> float:
        if isinstance(self.transform, Affine):
            return (value - self.transform.mean) / self.transform.std
        if self.transform == "sigmoid":
            # The usual form overflows where the number is far below 0.
            odds = math.exp(min(value, -value))
            return 1 / (1 + odds) if value >= 0 else odds / (1 + odds)
        return value


def _prompt(example: Example) -> list[Message]:
    messages = prompt_messages(example)
    if not messages:
        raise InvalidInput("the example has no contents: the model scores an answer to a prompt")
    return messages
