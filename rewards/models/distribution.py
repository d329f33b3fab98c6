"""From the numbers of a model to the probabilities of labels. What is no distribution is an error.

A label's tokens are those that say it but for white space and, where no two labels differ in it
alone, case: " Yes" and "yes" are one answer.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from ..result import number
from ..types import InvalidResult, JudgeUnreadable

MAX_UNSEEN = 0.01
"""The most probability that labels outside a list of the likeliest tokens may have together."""
LEAST_TOTAL = 0.9
"""What an endpoint's probabilities add up to: some round ten of them to two digits."""
_SLACK = 1e-3
"""What probabilities may miss 1 by: endpoints round them."""


def from_probabilities(
    given: Mapping[str, object], labels: Sequence[str]
) -> tuple[dict[str, float], float]:
    """The labels' shares of what they have together, and how much that is: 1 but for rounding.

    Raises:
        JudgeUnreadable: a label has no probability, or all have none.
        InvalidResult: one is not between 0 and 1, or they are not 1 together.
    """
    missing = [label for label in labels if label not in given]
    if missing:
        raise JudgeUnreadable(f"the answer has no probability of {missing}, only {_told(given)}")
    found = {label: probability(given[label], label) for label in labels}
    shares, total = _shares(found)
    if total < LEAST_TOTAL:
        raise InvalidResult(f"the probabilities add up to {total:g}, want 1")
    return shares, total


def from_top(
    tokens: Iterable[tuple[str, float]], labels: Sequence[str]
) -> tuple[dict[str, float], float]:
    """The same from (token, log probability) of the likeliest tokens, in any order.

    A label that is not among them is less likely than each of them, and has none; where all those
    labels together might have more than `MAX_UNSEEN`, nothing can be said.

    Raises:
        JudgeUnreadable: no label is among them, or those that are not might matter.
        InvalidResult: a log probability is not finite, or above 0.
    """
    keys = _keys(labels)
    found = dict.fromkeys(labels, 0.0)
    seen: set[str] = set()
    least, listed = 1.0, 0
    for token, logprob in tokens:
        share = math.exp(min(0.0, logprob_of(logprob, token)))
        least, listed = min(least, share), listed + 1
        label = keys.get(_key(token, fold=_folds(labels)))
        if label is not None:
            found[label] += share
            seen.add(label)
    unseen = [label for label in labels if label not in seen]
    if not seen:
        raise JudgeUnreadable(f"the judge answers with none of {list(labels)}")
    if unseen and least * len(unseen) > MAX_UNSEEN:
        raise JudgeUnreadable(
            f"{unseen} are not among the {listed} likeliest tokens, and might be as likely as"
            f" {least:.2g}"
        )
    return _shares(found)


def check_whole(
    probs: Mapping[str, object], labels: Sequence[str], label_mass: float | None
) -> None:
    """Holds a model to its word: the labels' probabilities add up to 1, and the mass is a share.

    Raises:
        JudgeUnreadable: a label has no probability.
        InvalidResult: they add up to something else, or one is no probability.
    """
    total = from_probabilities(probs, labels)[1]
    if total < 1.0 - len(labels) * _SLACK:
        raise InvalidResult(f"the probabilities add up to {total:g}, want 1")
    if label_mass is not None:
        probability(label_mass, "the labels")


def label_of(text: str, labels: Sequence[str]) -> str | None:
    """The label that a whole text is, but for white space, case and a full stop at its end."""
    fold = _folds(labels)
    key = _key(text, fold=fold)
    return _keys(labels).get(key) or _keys(labels).get(_key(key.removesuffix("."), fold=fold))


def probability(value: object, what: str) -> float:
    """A number between 0 and 1.

    Raises:
        JudgeUnreadable: it is no number.
        InvalidResult: it is not between 0 and 1.
    """
    found = finite(value, f"the probability of {what!r}")
    if not -_SLACK <= found <= 1.0 + _SLACK:
        raise InvalidResult(f"the probability of {what!r} is {found:g}, want 0 to 1")
    return min(max(found, 0.0), 1.0)


def logprob_of(value: object, what: str) -> float:
    """The logarithm of a probability.

    Raises:
        JudgeUnreadable: it is no number.
        InvalidResult: it is NaN, or above 0.
    """
    if value == -math.inf:
        return -math.inf
    found = finite(value, f"the log probability of {what!r}")
    if found > _SLACK:
        raise InvalidResult(f"the log probability of {what!r} is {found:g}, want at most 0")
    return found


def finite(value: object, what: str) -> float:
    """A finite number.

    Raises:
        JudgeUnreadable: it is no number.
        InvalidResult: it is not finite.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise JudgeUnreadable(f"{what} is {str(value)[:80]!r}, want a number")
    return number(value, what)


def _shares(found: dict[str, float]) -> tuple[dict[str, float], float]:
    total = math.fsum(found.values())
    if total <= 0.0:
        raise JudgeUnreadable(f"the judge gives none of {list(found)} any probability")
    if total > 1.0 + len(found) * _SLACK:
        raise InvalidResult(f"the probabilities add up to {total:g}")
    return {label: share / total for label, share in found.items()}, min(total, 1.0)


def _folds(labels: Sequence[str]) -> bool:
    return len({label.casefold() for label in labels}) == len(labels)


def _key(text: str, *, fold: bool) -> str:
    # Tokenizers write a leading space as "Ġ" or "▁" where they tell tokens as they are.
    text = text.strip().lstrip("Ġ▁").strip()
    return text.casefold() if fold else text


def _keys(labels: Sequence[str]) -> dict[str, str]:
    fold = _folds(labels)
    return {_key(label, fold=fold): label for label in labels}


def _told(given: Mapping[str, object]) -> str:
    return ", ".join(str(name)[:40] for name in list(given)[:16]) or "nothing"
