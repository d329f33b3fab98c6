"""What a judge is asked and what it answers, the same for every backend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from ..text.chat import Message
from ..types import RewardFault, Usage


@dataclass(slots=True, frozen=True)
class Option:
    """One of the answers to choose from, and the value of a judgement that chooses it."""

    label: str
    value: float = 0.0


@dataclass(slots=True, frozen=True)
class Question:
    """One thing to find out about what the judge is shown.

    ====== =================================================== ===========================
    kind   the judge answers with                              `Judgement.value`
    ====== =================================================== ===========================
    text   free text; whoever asks reads it                    None
    score  a number, with its reasons                          the number, clipped to
                                                               [low, high]
    choice one of the labels of `options`, with its reasons    the option's value
    ====== =================================================== ===========================
    """

    kind: Literal["text", "score", "choice"] = "text"
    options: tuple[Option, ...] = ()
    low: float = 0.0
    high: float = 1.0


@dataclass(slots=True, frozen=True)
class Sampling:
    """How the judge is to answer; None is the endpoint's default.

    `extra` are further fields of the request, passed as they are; it cannot override ours.
    """

    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    seed: int | None = None
    reasoning_effort: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(slots=True, frozen=True)
class Ask:
    """A question about messages, for one model.

    `model` is the name that the contract uses (``projects/…/models/gemini-…``, ``gpt-4o…``); the
    backend maps it to one that its endpoint serves.
    """

    model: str
    messages: Sequence[Message]
    question: Question = Question()
    sampling: Sampling = Sampling()


@dataclass(slots=True, frozen=True)
class Judgement:
    """A judge's answer. A refusal, or what cannot be read, is a `RewardFault` instead.

    `text` is the answer without the judge's thoughts. `unclipped` is the number that the judge
    gave where it lies outside the question's range, else None. `usage` counts the repair too.
    """

    value: float | None
    text: str
    unclipped: float | None = None
    explanation: str = ""
    usage: Usage = field(default_factory=Usage)
    label: str = ""
    """The label that it chose, of a question that has labels."""


class Judge(Protocol):
    """Asks a model. One object serves any number of calls side by side."""

    async def decide(
        self, asks: Sequence[Ask], timeout_s: float
    ) -> Sequence[Judgement | RewardFault]:
        """The answers: n in, n out, same order; they are asked for side by side.

        At most `timeout_s` for all together, and never longer than the item that is scored has
        (`deadline.left_s`). An answer that cannot be had is a fault in its place, with the usage
        that it cost, and leaves the others as they are:

        ================== ==================================================================
        `JudgeRefused`     the judge would not answer
        `JudgeUnreadable`  it answered, but no verdict can be read; one repair was tried
        `RateLimited`      its limits, or ours, leave no room within the time
        `Unavailable`      it cannot be reached, fails, or does not answer in time
        `InvalidInput`     it refuses the request itself, such as a prompt that is too long
        ================== ==================================================================
        """
        ...

    def take_figures(self) -> dict[str, float]:
        """What happened since the last call: calls, retries, repairs, tokens, by metric name."""
        ...

    async def close(self) -> None:
        """Closes connections. What is under way fails."""
        ...
