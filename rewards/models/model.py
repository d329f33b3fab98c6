"""A model as rewards see it: messages in, and a number, probabilities of labels, or text out.

Where it runs is not seen here: an engine of the same process (`hf`, `vllm`) or an endpoint.

A reward says which model it needs (`Described.needs_model`), gets it before its set-up
(`Reward.bind`), and never closes it. Its components are fixed by its parameters alone, whatever
model it gets: a model that cannot tell what a component holds is refused by `bind`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from ..text.chat import Message
from ..types import Usage
from .model_facts import ModelFacts
from .question import Sampling

Head = Literal["scalar", "chat"]
"""What stands on a model's last layer: one number, or the next token."""

Read = Literal[
    "logits",
    "logprob_token_ids",
    "top_logprobs",
    "structured",
    "decisions",
    "systemone",
    "text",
    "classify",
]
"""How labels or numbers are read of a model, from the most exact to the least:

=================== ================================================================ ==========
read                the probabilities of labels                                      label mass
=================== ================================================================ ==========
logits              of the next token, in the engine's process                       known
logprob_token_ids   of the labels' tokens, by an endpoint (vLLM)                     known
top_logprobs        of the labels among the 20 likeliest tokens                      known
structured          as above, but where only labels may follow                       unknown
decisions           as the endpoint tells them (OpenAI, SGLang)                      unknown
systemone           as the endpoint tells them (vLLM, transformers)                  if told
text                1 for the label that the answer names, after its reasons         unknown
classify            none: the number of a scalar head                                none
=================== ================================================================ ==========
"""


@dataclass(slots=True, frozen=True)
class Label:
    """An answer to choose: what the model writes, what it means, and what it is worth.

    `text` is short and one token as a rule: "A", "yes", "4".
    """

    text: str
    value: float = 0.0
    meaning: str = ""


@dataclass(slots=True, frozen=True)
class LabelQuestion:
    """A question that is answered by one of `labels`: at least two, all different.

    `instructions` is the question in words. `predicate` has yes and no, in this order; `score` has
    levels from the lowest to the highest; `choice` has anything.
    """

    kind: Literal["predicate", "choice", "score"]
    instructions: str
    labels: tuple[Label, ...]


@dataclass(slots=True, frozen=True)
class Scalar:
    """The number of a scalar head as it is, no activation; `cut_tokens` of the prompt were cut."""

    value: float
    prompt_tokens: int = 0
    cut_tokens: int = 0


@dataclass(slots=True, frozen=True)
class LabelReading:
    """The probability of each label of the question, by the label's text; they add up to 1.

    `label_mass`: what they added up to before, as a share of all that the model might have said;
    None where the read cannot tell. What the model thought or reasoned is `text`, "" where the
    labels were read without.
    """

    probs: Mapping[str, float]
    label_mass: float | None
    read: str
    usage: Usage = field(default_factory=Usage)
    cut_tokens: int = 0
    text: str = ""


@dataclass(slots=True, frozen=True)
class Completion:
    """What a model said; `finish_reason` is "stop" or "length".

    The text is without thoughts, but for an answer to a schema, which may have them before it.
    """

    text: str
    finish_reason: str = "stop"
    usage: Usage = field(default_factory=Usage)


@dataclass(slots=True, frozen=True)
class ModelNeed:
    """The model that a reward asks for: the first of `names` that the configuration has.

    `optional`: the reward has a way of its own (an endpoint) where the configuration has none.
    `instead` says, for a message, what else the reward could be given.
    """

    names: tuple[str, ...]
    head: Head
    optional: bool = False
    instead: str = ""


class Model(Protocol):
    """A served model. One object serves any number of calls side by side, on one event loop.

    Messages are as `text.chat` makes them: text, or parts of type `text`, `image_url` with a data
    URI, `input_audio`. Every call ends within `timeout_s`, and work whose caller is cancelled is
    aborted. Each raises:

    ================== ==================================================================
    `InvalidInput`     longer than the model takes; roles or media that it does not take
    `InvalidResult`    a scalar or a probability that is not finite
    `JudgeUnreadable`  it answered, but nothing that was asked
    `JudgeRefused`     it would not answer, or a filter took its words
    `ModelChanged`     the endpoint has become another model
    `RateLimited`      its limits, or ours, leave no room within the time
    `Unavailable`      it cannot be reached, fails, or does not answer in time
    ================== ==================================================================
    """

    @property
    def name(self) -> str:
        """Its name in the configuration."""
        ...

    @property
    def head(self) -> Head:
        """What it answers with."""
        ...

    @property
    def facts(self) -> ModelFacts:
        """What it is. Known once it serves; a fingerprint may become known later."""
        ...

    async def scalar(self, messages: Sequence[Message], *, timeout_s: float) -> Scalar:
        """The number of a conversation whose last turn is the response. For head `scalar`."""
        ...

    async def labels(
        self,
        messages: Sequence[Message],
        question: LabelQuestion,
        *,
        sampling: Sampling,
        timeout_s: float,
    ) -> LabelReading:
        """The probabilities of the labels. For head `chat`.

        `messages` are what the model is shown, without the question: engines and chat endpoints
        add it at the end (`asking.asked`), so that questions about one text share their beginning.
        """
        ...

    async def text(
        self,
        messages: Sequence[Message],
        *,
        sampling: Sampling,
        schema: Mapping[str, Any] | None,
        timeout_s: float,
    ) -> Completion:
        """What the model says to the messages. For head `chat`.

        It is held to the JSON schema where it can be; the text may be no valid JSON all the same,
        and may be cut off.
        """
        ...
