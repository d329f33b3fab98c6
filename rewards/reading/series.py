r"""Lists with dots in them, ``1, 2, \ldots, n``, of which no library says what they are.

They are compared by what is written: what stands before the dots, and what stands behind.
"""

from __future__ import annotations

import re

_DOTS = re.compile(r"\\(?:[lc]?dots[bcmo]?)(?![A-Za-z])|\.\.\.|…")
_PARTS = re.compile(r"[,;:]")


def same_series(gold: str, answer: str) -> bool | None:
    """Whether two canonical texts are the same list; None where one is none, or nobody knows.

    Where one goes on for longer before its dots, the other has to agree as far as it goes, and with
    two members at least.
    """
    wanted, told = _split(gold), _split(answer)
    if wanted is None or told is None:
        return None
    (begin, end), (first, last) = wanted, told
    common = min(len(begin), len(first))
    if begin[:common] != first[:common] or end[-1:] != last[-1:]:
        return False
    return True if common >= 2 and len(end) == len(last) <= 1 else None


def _split(text: str) -> tuple[list[str], list[str]] | None:
    parts = [part.strip(" ${}()[]").replace(" ", "") for part in _PARTS.split(text)]
    places = [i for i, part in enumerate(parts) if _DOTS.fullmatch(part)]
    if len(places) != 1:
        return None
    return parts[: places[0]], parts[places[0] + 1 :]
