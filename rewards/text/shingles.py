"""How alike texts are: by the runs of words or characters that they share.

Shingles and their resemblance: Broder, On the resemblance and containment of documents (1997).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal
from zlib import crc32

Of = Literal["words", "chars"]
MAX_KEPT = 4096
"""Of a text with more shingles than twice as many, a fixed sample is compared."""


def shingles(text: str, size: int, of: Of) -> frozenset[int]:
    """The runs of `size` words or characters of a text, as numbers.

    Case and the amount of white space do not count. A text shorter than one run is a run itself,
    an empty one has none. Of very long texts the runs are those whose number is divisible by a
    power of two, the same for all texts of about that length, so that samples can be compared.
    """
    words = text.casefold().split()
    if not words:
        return frozenset()
    if of == "words":
        runs = [" ".join(words[i : i + size]) for i in range(max(1, len(words) - size + 1))]
    else:
        joined = " ".join(words)
        runs = [joined[i : i + size] for i in range(max(1, len(joined) - size + 1))]
    return frozenset([crc32(run.encode("utf-8", "surrogatepass")) for run in runs])


def sampled(sets: Sequence[frozenset[int]]) -> list[frozenset[int]]:
    """The sets, thinned out by one rule for all where the largest has too many to compare."""
    largest = max(map(len, sets), default=0)
    step = 1
    while largest > 2 * MAX_KEPT * step:
        step *= 2
    if step == 1:
        return list(sets)
    return [frozenset([one for one in each if one % step == 0]) for each in sets]


def resemblance(one: frozenset[int], other: frozenset[int]) -> float:
    """The share of shingles that both have among those that either has; 1 for two empty sets."""
    if not one and not other:
        return 1.0
    shared = len(one & other)
    return shared / (len(one) + len(other) - shared)


def resemblances(texts_G: Sequence[str], size: int, of: Of) -> list[list[float]]:  # noqa: N803
    """How much each text resembles each other one, 1 for itself; symmetric."""
    # Equal texts are looked at once: a group of copies costs what one of them does.
    places = {text: index for index, text in enumerate(dict.fromkeys(texts_G))}
    sets = sampled([shingles(text, size, of) for text in places])
    table = [[1.0] * len(sets) for _ in sets]
    for i, one in enumerate(sets):
        for j in range(i):
            table[i][j] = table[j][i] = resemblance(one, sets[j])
    at = [places[text] for text in texts_G]
    return [[table[i][j] for j in at] for i in at]
