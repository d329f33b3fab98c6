"""The memory of scores is bounded, and what was not asked for the longest goes first."""

from __future__ import annotations

from array import array
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from rewardplane.gateway.reuse import ENTRY_BYTES, Entry, Reuse
from rewardplane.replica.segment import SCORED


def entry(words: int = 0) -> Entry:
    extra: list[Any] | None = ["x" * words, [], ""] if words else None
    return Entry(SCORED, 1.0, array("d"), extra, 0, 5)


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 3000)), max_size=200))
def test_the_bound_holds_and_the_least_used_goes_first(puts: list[tuple[int, int]]) -> None:
    reuse = Reuse(10 * ENTRY_BYTES)
    for number, words in puts:
        reuse.put(bytes([number]), entry(words))
        assert reuse.bytes <= reuse.max_bytes
        assert (reuse.bytes == 0) is not any(reuse.get(bytes([n])) for n in range(31))


def test_what_is_asked_for_stays() -> None:
    reuse = Reuse(3 * ENTRY_BYTES)
    for number in range(3):
        reuse.put(bytes([number]), entry())
    assert reuse.get(b"\0")
    reuse.put(b"\3", entry())
    assert reuse.get(b"\1") is None
    assert reuse.get(b"\0")
