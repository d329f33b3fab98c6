"""Whether a text says that a model will not, or cannot, answer."""

from __future__ import annotations

import re

_MAX_CHARS = 1_000
"""A longer text says more than that it refuses."""

_APOLOGY = (
    r"(?:(?:i'?m|i am|we'?re|we are)\s+(?:very |so |really |terribly )?(?:sorry|afraid)"
    r"|(?:very |so )?sorry|(?:i |we )?apologi[sz]e|my apologies|unfortunately|regrettably"
    r"|as an? [^,.!?\n]{1,60})"
)
_SHORT = r"[^.!?\n]{0,60}?"
_CANNOT = (
    r"(?:can'?t|cannot|can not|could not|couldn'?t|won'?t|will not|would not|wouldn'?t|do not"
    r"|don'?t|(?:'m|am|are|'re) (?:unable to|not (?:able|allowed|permitted|willing|going) to)"
    r"|(?:must |have to |need to )?(?:decline|refuse)(?: to)?|(?:'m|am) not comfortable)"
)
_TASK = (
    r"(?:help|assist|comply|answer|judge|judging|rate|rating|evaluat|grade|grading|assess|score"
    r"|scoring|provid|fulfil|complet|do (?:that|this|so)|say|tell|determin|engag|continu|respond"
    r"|discuss|offer|support|process|participat|feel comfortable|verify|give)"
)
_REFUSAL = re.compile(
    rf"\W*(?:{_APOLOGY}{_SHORT}[,.:;!]?\s*(?:but )?)?(?:i|we)\s*{_CANNOT}"
    rf"(?:\s+(?:\w+ )?{_TASK}|\W*\Z)"
    r"|\W*(?:i|we) (?:must |have to |need to )?(?:decline|refuse)\b"
    r"|\W*(?:this|that|the|your) (?:request|content|prompt) (?:violates|goes against|is against)\b"
    r"|\W*(?:很|非常)?(?:抱歉|对不起)|\W*我(?:无法|不能|不会)",
    re.IGNORECASE,
)


def is_refusal(text: str) -> bool:
    """Whether a short text begins as refusals do: "I cannot help with that.", "I'm sorry, but I …".

    A text that only regrets ("Unfortunately the answer is wrong") or cannot find a fault is none.
    """
    text = " ".join(text.replace("\u2019", "'").split()) if len(text) <= _MAX_CHARS else ""
    return _REFUSAL.match(text) is not None
