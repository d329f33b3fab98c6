"""Whether a judge's answer is one of the labels that `exactMatchScorer` chooses among.

The contract names the right label alone and says that "any unmatched value" is wrong. A judge that
refuses, stutters or says something else altogether must not count as one: it would punish the
policy for the judge's failure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ...models.completion import shown
from ...models.refusal import is_refusal
from ...types import JudgeRefused, JudgeUnreadable

MAX_CHARS = 80
"""A longer text is no label."""

_COMMON = frozenset(
    {
        *("yes", "no", "true", "false", "correct", "incorrect", "right", "wrong", "pass", "fail"),
        *("passed", "failed", "good", "bad", "valid", "invalid", "accept", "reject", "accepted"),
        *("rejected", "partial", "partially", "partly", "maybe", "unsure", "neither", "both"),
        *("tie", "equal", "better", "worse", "safe", "unsafe", "harmful", "harmless", "high"),
        *("medium", "low", "positive", "negative", "neutral", "satisfied", "unsatisfied"),
    }
)
_NUMBER = re.compile(r"[-+]?[0-9]{1,9}(?:\.[0-9]{1,9})?")
_LETTER = re.compile(r"[^\W\d_]")
_EDGES = re.compile(r"^[\W_]+|[\W_]+$")


@dataclass(slots=True, frozen=True)
class Labels:
    """What a judge may answer: `known`, or else by `is_label`.

    `extracted`: answers are found by a parse expression, which is the form that the judge was asked
    for; any text in that form is a label.
    """

    prompt: str
    """The autorater's prompt without its placeholders."""
    known: tuple[str, ...] | None
    extracted: bool
    open_ended: bool
    """The right label is the item's own: there is no list of the others."""


def is_right(answer: str, want: str, labels: Labels) -> bool:
    """Whether the judge's answer is the label `want`; white space around it does not count.

    Raises:
        JudgeRefused: the judge says that it will not answer.
        JudgeUnreadable: it is no label, or nearly `want`: "Yes." for "Yes".
    """
    answer = answer.strip()
    if answer == want.strip():
        return True
    if not answer:
        raise JudgeUnreadable("the judge's answer is empty")
    if is_refusal(answer):
        raise JudgeRefused(f"the judge refused: {shown(answer)}")
    if labels.known is not None:
        if answer in labels.known:
            return False
        raise JudgeUnreadable(f"the judge's answer is none of its labels: {shown(answer)!r}")
    if labels.extracted or is_label(answer, want, labels):
        return False
    raise JudgeUnreadable(
        f"the judge's answer is no label: {shown(answer)!r}, want {shown(want)!r} or one that the "
        "prompt names (see judge_labels)"
    )


def is_label(answer: str, want: str, labels: Labels) -> bool:
    """Whether a text beside `want` is a label: a line of at most `MAX_CHARS`.

    As it stands it is

    * a text of the autorater's prompt: what the judge was told to choose from; or
    * a word of `_COMMON`, in the case of `want`: "No" beside "Yes"; or
    * of the same kind as a `want` without letters or of one letter: a number, or a letter; or
    * where labels are open-ended, as short as `want` but for a word, without `want` in it.

    What differs from `want` in case alone is none, nor is one with other signs around it than
    `want` has: both may mean anything, and right and wrong must be lost alike.
    """
    if len(answer) > MAX_CHARS or "\n" in answer or _core(answer) == _core(want):
        return False
    if _LETTER.search(want) is None:
        return _NUMBER.fullmatch(answer) is not None
    if _EDGES.findall(answer) != _EDGES.findall(want):
        return False
    if re.search(rf"(?<!\w){re.escape(answer)}(?!\w)", labels.prompt) and _LETTER.search(answer):
        return True
    if answer.casefold() in _COMMON or (labels.open_ended and _is_like(answer, want)):
        return _case(answer) == _case(want)
    return len(want) == len(answer) == 1 and _case(answer) == _case(want)


def _is_like(answer: str, want: str) -> bool:
    holds_it = re.search(rf"(?<!\w){re.escape(want)}(?!\w)", answer, re.IGNORECASE)
    return len(answer.split()) <= len(want.split()) + 1 and holds_it is None


def _core(text: str) -> str:
    return _EDGES.sub("", text).casefold()


def _case(text: str) -> tuple[bool, bool]:
    letters = "".join(_LETTER.findall(text))
    # A word that is capitalised is "Yes", one of a single letter is like either.
    return letters[:1].isupper(), letters[1:].isupper()
