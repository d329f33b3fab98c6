"""The vocabulary: what is scored and what comes of it. Standard library only.

    Group ── Example            one line of the data set
      └───── Response x N       the answers sampled for it
                 │
              Outcome = Score | ScoreError      exactly one per item, an (example, response) pair

A reward function that cannot score an item raises one of these; anything else it raises is RAISED::

    RewardFault ─┬─ NotApplicable       the reward does not apply to this item; not a failure
                 ├─ InvalidInput        the example or the response lacks what the reward needs
                 ├─ InvalidReference    the gold is missing or cannot be read
                 ├─ InvalidResult       what the reward returned is no reward
                 ├─ RateLimited         a service that the reward calls refused for its rate
                 ├─ Unavailable         a service that the reward calls cannot be reached
                 ├─ JudgeUnreadable     a judge answered, but not with a verdict
                 ├─ JudgeRefused        a judge would not answer
                 ├─ ModelChanged        an endpoint serves another model than before
                 └─ SandboxFault        the sandbox failed, not the code that it runs

To add one: a member of `Reason`, an entry in `RETRYABLE` if it is, the same member in the proto's
`ErrorReason`, and, where a reward may raise it, a subclass of `RewardFault`.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

MAX_MESSAGE_CHARS = 2_000
MAX_SCORE_ANSWER_CHARS = 500
MAX_DETAILS_CHARS = 16 * 2**20

ISOLATION_LEVELS = ("", "process", "confined", "namespaced", "guest_kernel")
"""How untrusted code is kept apart, from least to most; the index is the proto's number. Empty: no
such code runs. See `docs/sandbox.md`."""


class Reason(enum.Enum):
    """Why an item has no reward. The values are those of the proto's `ErrorReason`."""

    NOT_APPLICABLE = 1
    INVALID_INPUT = 2
    INVALID_REFERENCE = 3
    RAISED = 4
    INVALID_RESULT = 5
    TIMED_OUT = 6
    OUT_OF_MEMORY = 7
    CRASHED = 8
    QUEUE_TIMEOUT = 9
    DEADLINE = 10
    CANCELLED = 11
    RATE_LIMITED = 12
    UNAVAILABLE = 13
    JUDGE_UNREADABLE = 14
    JUDGE_REFUSED = 15
    SANDBOX_FAULT = 16
    MODEL_CHANGED = 17


RETRYABLE = frozenset(
    {
        Reason.QUEUE_TIMEOUT,
        Reason.DEADLINE,
        Reason.CANCELLED,
        Reason.RATE_LIMITED,
        Reason.UNAVAILABLE,
        Reason.SANDBOX_FAULT,
    }
)
"""The reasons under which the same item may well succeed when it is sent again."""


@dataclass(slots=True)
class Blob:
    """Bytes with their IANA media type."""

    mime_type: str
    data: bytes


@dataclass(slots=True)
class FileData:
    """A file by its address, with its IANA media type. Nothing here opens it."""

    mime_type: str
    file_uri: str


@dataclass(slots=True)
class FunctionCall:
    """A call of a function by the model; `args` is a JSON object."""

    name: str
    args: Mapping[str, Any] = field(default_factory=dict[str, Any])
    id: str = ""


@dataclass(slots=True)
class FunctionResponse:
    """A function's answer; `response` is a JSON object."""

    name: str
    response: Mapping[str, Any] = field(default_factory=dict[str, Any])
    id: str = ""


PartData = str | Blob | FileData | FunctionCall | FunctionResponse


@dataclass(slots=True)
class Part:
    """A piece of a turn: text or something else; a `thought` is no part of the answer."""

    data: PartData
    thought: bool = False


@dataclass(slots=True)
class Content:
    """One turn: who speaks ("user", "model", "tool", "system" or "") and what, in order."""

    role: str
    parts: Sequence[Part]

    @property
    def text(self) -> str:
        """The text of the parts, without thoughts, joined by nothing."""
        return "".join(p.data for p in self.parts if isinstance(p.data, str) and not p.thought)


_EMPTY: Mapping[str, str] = {}
_NO_COMPONENTS: Mapping[str, float] = {}


@dataclass(slots=True)
class Example:
    """One line of the data set.

    `references` holds text; `json_references` holds one JSON document a key, for values that are
    not strings. `tools_json` is a JSON list or empty. `id` is a label for logs.
    """

    contents: Sequence[Content] = ()
    references: Mapping[str, str] = field(default_factory=lambda: _EMPTY)
    json_references: Mapping[str, str] = field(default_factory=lambda: _EMPTY)
    system_instruction: Content | None = None
    tools_json: str = ""
    id: str = ""

    @property
    def prompt(self) -> str:
        """The text of all turns, joined by newlines."""
        return "\n".join(c.text for c in self.contents)


@dataclass(slots=True)
class Response:
    """One sampled answer.

    `text` is the answer (of a trajectory: the text of its last turn, without thoughts).
    `finish_reason` is "stop", "length", "other" or "" (not known); `token_count` is in tokens, None
    when not known. Its own references go before the example's.
    """

    text: str = ""
    finish_reason: str = ""
    token_count: int | None = None
    turns: Sequence[Content] = ()
    references: Mapping[str, str] = field(default_factory=lambda: _EMPTY)
    json_references: Mapping[str, str] = field(default_factory=lambda: _EMPTY)
    id: str = ""


@dataclass(slots=True)
class Group:
    """One example with its N sampled responses.

    `expected_size`: how many responses the whole group has, 0 for as many as are here. `reward` and
    `version` override the call's when they are not empty.
    """

    example: Example
    responses: Sequence[Response]
    expected_size: int = 0
    reward: str = ""
    version: str = ""


@dataclass(slots=True, frozen=True)
class Usage:
    """What judges took: tokens, repeats and repairs included, and how many calls those were."""

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
class JudgementRecord:
    """One answer of a judge that went into a score.

    `value` is what it is worth to the reward, `probs` the probability of each label, `label_mass`
    what the labels have of all that the judge might have said; None where it cannot be told.
    """

    question: str
    value: float
    probs: Mapping[str, float] = field(default_factory=dict[str, float])
    label_mass: float | None = None
    read: str = ""
    usage: Usage = Usage()
    text: str = ""

    def as_list(self) -> list[Any]:
        """As plain data, for another process."""
        usage, probs = self.usage, dict(self.probs)
        taken = [usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens, usage.calls]
        return [self.question, self.value, probs, self.label_mass, self.read, taken, self.text]

    @classmethod
    def from_list(cls, data: Sequence[Any]) -> JudgementRecord:
        """The judgement of `as_list`."""
        question, value, probs, label_mass, read, taken, text = data
        return cls(question, value, probs, label_mass, read, Usage(*taken), text)


@dataclass(slots=True)
class Score:
    """A finite reward, with the parts it is made of by name, words, and rewards per step.

    `answer`: what was read of the response, at most `MAX_SCORE_ANSWER_CHARS`; empty where the
    reward reads no answer. `details_json`: what there is to tell to programs, one JSON document of
    at most `MAX_DETAILS_CHARS`, or empty. `judgements`: what judges said; empty where none was
    asked.
    """

    reward: float
    components: Mapping[str, float] = field(default_factory=lambda: _NO_COMPONENTS)
    explanation: str = ""
    step_rewards: Sequence[float] = ()
    answer: str = ""
    details_json: str = ""
    judgements: Sequence[JudgementRecord] = ()

    @property
    def usage(self) -> Usage:
        """What judges took for it."""
        return sum((one.usage for one in self.judgements), Usage())


@dataclass(slots=True)
class ScoreError:
    """Why an item has no reward: a reason for programs and a message for a person.

    `usage` is what judges took in vain, None where none was asked.
    """

    reason: Reason
    message: str
    usage: Usage | None = None

    @property
    def retryable(self) -> bool:
        """Whether the same item may well succeed when it is sent again."""
        return self.reason in RETRYABLE


Outcome = Score | ScoreError


class RewardFault(Exception):
    """The reward function cannot score this item, and says why."""

    reason: ClassVar[Reason] = Reason.RAISED
    usage: Usage | None = None
    """What judges took in vain."""


class NotApplicable(RewardFault):
    """The reward does not apply to this item."""

    reason = Reason.NOT_APPLICABLE


class InvalidInput(RewardFault):
    """The example or the response lacks what the reward needs."""

    reason = Reason.INVALID_INPUT


class InvalidReference(RewardFault):
    """The gold is missing or cannot be read."""

    reason = Reason.INVALID_REFERENCE


class InvalidResult(RewardFault):
    """What the reward function returned is no reward."""

    reason = Reason.INVALID_RESULT


class RateLimited(RewardFault):
    """A service that the reward calls refused for its rate."""

    reason = Reason.RATE_LIMITED


class Unavailable(RewardFault):
    """A service that the reward calls cannot be reached."""

    reason = Reason.UNAVAILABLE


class JudgeUnreadable(RewardFault):
    """A judge answered, but no verdict can be read from it."""

    reason = Reason.JUDGE_UNREADABLE


class JudgeRefused(RewardFault):
    """A judge would not answer."""

    reason = Reason.JUDGE_REFUSED


class ModelChanged(RewardFault):
    """An endpoint serves another model than before."""

    reason = Reason.MODEL_CHANGED


class SandboxFault(RewardFault):
    """The sandbox failed, not the code that it runs."""

    reason = Reason.SANDBOX_FAULT
