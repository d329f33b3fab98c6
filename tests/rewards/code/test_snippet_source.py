"""Source text of a reward function, before it may run."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rewardplane.rewards.code.snippet_source import BadSource, check_source


@pytest.mark.parametrize(
    ("source", "shape"),
    [
        ("def evaluate(example, response): return 1.0", "evaluate"),
        ("def grade(sample: dict, item: dict) -> float:\n    return 0", "grade"),
        ("import json\nX = 1\ndef grade(s, i, /): return 1", "grade"),
        ("def evaluate(example, response, strict=False): return 1", "evaluate"),
        ("def grade(*all): return 1", "grade"),
        ("def grade(a): return 0\ndef grade(a, b): return 1", "grade"),
        ("class A:\n    def evaluate(self): pass\ndef grade(a, b): return 1", "grade"),
    ],
)
def test_the_shape_is_told_by_the_name(source: str, shape: str) -> None:
    assert check_source(source) == shape


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ("", "defines no function"),
        ("reward = 1.0", "defines no function"),
        ("def evaluate(example, response): return 1\ndef grade(s, i): return 1", "both"),
        ("def evaluate(", "does not compile"),
        ("def grade(sample, item):\n    return 1\x00", "does not compile"),
        ("async def grade(sample, item): return 1", "async"),
        ("def grade(sample): return 1", "does not take"),
        ("def grade(sample, item, more): return 1", "does not take"),
        ("def grade(sample, item, *, more): return 1", "does not take"),
        ("def grade(): return 1", "does not take"),
        ("if True:\n    def grade(a, b): return 1", "defines no function"),
        ("def grade(a, b): return 1\n" + "#" * 256_000, "at most 256000"),
        ("(" * 5000 + ")" * 5000, "does not compile"),
        ("def grade(a, b): yield from break", "does not compile"),
    ],
)
def test_what_cannot_be_served_is_refused(source: str, fault: str) -> None:
    with pytest.raises(BadSource, match=fault):
        check_source(source)


@given(st.text(alphabet="def gra(:\n\t)e*,=1'\\\x00\ud800é", max_size=60))
def test_any_text_is_a_source_or_is_refused(text: str) -> None:
    try:
        assert check_source(text) in ("evaluate", "grade")
    except BadSource:
        return
