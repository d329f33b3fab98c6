"""What OpenRLHF sends for a sample: a query, which is the prompt and the response as one text."""

from __future__ import annotations

_LEAST_OVERLAP_CHARS = 16


def response_of(query: str, prompt: str) -> str:
    """The response in a query, which is the prompt and the response.

    A prompt that was too long has lost its beginning: the query then begins with the end of it.

    Raises:
        ValueError: the query begins with no part of the prompt.
    """
    if query.startswith(prompt):
        return query[len(prompt) :]
    overlap = _overlap(prompt, query)
    if overlap < _LEAST_OVERLAP_CHARS:
        raise ValueError(
            f"the response cannot be told from the prompt: the query begins with {query[:60]!r}, "
            f"the prompt ends with {prompt[-60:]!r}"
        )
    return query[overlap:]


def _overlap(prompt: str, query: str) -> int:
    """The length of the longest end of `prompt` that `query` begins with; in linear time.

    https://en.wikipedia.org/wiki/Knuth%E2%80%93Morris%E2%80%93Pratt_algorithm
    """
    begin = query[: len(prompt)]
    if not begin:
        return 0
    borders = [0] * len(begin)
    matched = 0
    for i in range(1, len(begin)):
        while matched and begin[i] != begin[matched]:
            matched = borders[matched - 1]
        matched += begin[i] == begin[matched]
        borders[i] = matched
    matched = 0
    for char in prompt:
        while matched and (matched == len(begin) or char != begin[matched]):
            matched = borders[matched - 1]
        matched += char == begin[matched]
    return matched
