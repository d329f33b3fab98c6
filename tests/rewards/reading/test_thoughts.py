"""One list of marks, and what each reader of texts makes of them."""

from __future__ import annotations

import pytest
from rewardplane.rewards.code.candidates import find_candidates
from rewardplane.rewards.models import thoughts as judges
from rewardplane.rewards.reading.span import span
from rewardplane.rewards.reading.thoughts import CHANNEL, PROMPTED, TRAINED, Mark


@pytest.mark.parametrize("mark", [*TRAINED, CHANNEL, *PROMPTED])
def test_all_readers_know_all_marks(mark: Mark) -> None:
    opening, closing = mark
    begun = "" if mark is CHANNEL else "first "
    text = f"{begun}{opening}no{closing}yes"
    assert judges.without_thoughts(text) == f"{begun}yes"
    assert find_candidates(text) == ["yes"]
    # A tag that a prompt asks for is a part of a response, not a thought.
    assert span(text) == (text if mark in PROMPTED else "yes")


@pytest.mark.parametrize("mark", [*TRAINED, CHANNEL, *PROMPTED])
def test_what_an_unfinished_thought_leaves_is_the_readers_choice(mark: Mark) -> None:
    text = f"before{mark[0]}and on"
    assert judges.without_thoughts(text) == ""
    assert find_candidates(text) == ["before"]
    assert span(text) == (text if mark in PROMPTED else "")


@pytest.mark.parametrize("tag", ["</THINK>", "</think >", "</Thought\t>", "[/think]"])
def test_judges_spell_marks_as_they_like(tag: str) -> None:
    assert judges.without_thoughts(f"hm{tag}5") == "5"
