"""What a judge is asked and what it answers, the same for every backend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

Message = Mapping[str, Any]
"""A chat message as OpenAI writes it: ``{"role", "content"}``; content is text or parts."""


@dataclass(slots=True, frozen=True)
class Option:
    """One of the answers to choose from, and what it counts for `Answer.value`."""

    label: str
    value: float = 0.0


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
class Question:
    """One thing to find out about what the judge is shown.

    ========= ==================================================== =======================
    kind      the judge answers with                               `Answer.value`
    ========= ==================================================== =======================
    text      free text; whoever asks reads it                     None
    score     a number within [low, high], with its reasons        the number, clipped
    choice    one of the labels of `options`                       the option's value
    predicate yes or no                                            1 or 0
    ========= ==================================================== =======================

    `instructions` go after what is shown, as a message of their own; "" where the prompt says all.
    """

    name: str
    kind: Literal["text", "score", "choice", "predicate"] = "text"
    instructions: str = ""
    options: tuple[Option, ...] = ()
    low: float = 0.0
    high: float = 1.0


@dataclass(slots=True, frozen=True)
class State:
    """What the judge is shown, and which judge: all questions about it share this.

    `model` is the name that the contract uses (``projects/…/models/gemini-…``, ``gpt-4o…``); the
    backend maps it to one that its endpoint serves.
    """

    model: str
    messages: Sequence[Message]
    sampling: Sampling = Sampling()


@dataclass(slots=True, frozen=True)
class Usage:
    """Tokens that one answer took, repeats and repairs included; and how many calls those were."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    calls: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.cached_tokens + other.cached_tokens,
            self.calls + other.calls,
        )


@dataclass(slots=True, frozen=True)
class Answer:
    """What the judge found. A refusal or an unreadable answer is no `Answer`: it is raised.

    `probs` has the probability of each option, where the wire tells it, else 1 for the chosen one;
    `label_mass` how much of the probability was on the options at all, None where the wire cannot
    tell. `raw` is the judge's own text. `read` says how the answer was read ("text", "structured").
    `fingerprint` names judge and question: equal ones were asked the same of the same model.
    """

    value: float | None
    raw: str
    probs: Mapping[str, float] = field(default_factory=dict[str, float])
    clipped: bool = False
    label_mass: float | None = None
    explanation: str = ""
    read: str = "text"
    usage: Usage = Usage()
    model: str = ""
    fingerprint: str = ""


class JudgeBackend(Protocol):
    """Asks a judge. One object serves any number of calls side by side."""

    async def decide(
        self, state: State, questions: Sequence[Question], timeout_s: float
    ) -> dict[str, Answer]:
        """The answers by the names of their questions: all of them, or it raises.

        At most `timeout_s` for all together, and never longer than the item that is scored has
        (`deadline.left_s`).

        Raises:
            JudgeRefused: the judge would not answer.
            JudgeUnreadable: it answered, but no verdict can be read; one repair was tried.
            RateLimited: its limits, or ours, leave no room within the time.
            Unavailable: it cannot be reached, fails, or does not answer in time.
            InvalidInput: it refuses the request itself, such as a prompt that is too long.
        """
        ...

    def take_figures(self) -> dict[str, float]:
        """What happened since the last call: calls, retries, repairs, tokens, by metric name."""
        ...

    async def close(self) -> None:
        """Closes connections. What is under way fails."""
        ...
