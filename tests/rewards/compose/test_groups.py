"""Rewards that compare the responses of a group: copies, near copies, lengths, differences."""

from __future__ import annotations

import random
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rewardplane.rewards.registry import build
from rewardplane.rewards.run import Clip, run_items
from rewardplane.rewards.text.shingles import resemblances
from rewardplane.rewards.types import Example, Outcome, Response, Score, ScoreError

EXAMPLE = Example()


def scored(kind: str, texts: list[str], counts: Any = None, **params: Any) -> list[Outcome]:
    counts = counts or [len(text) for text in texts]
    items = [(EXAMPLE, Response(t, token_count=c)) for t, c in zip(texts, counts, strict=True)]
    return run_items(build(kind, params), items, Clip())


def rewards(outcomes: list[Outcome]) -> list[float | str]:
    return [o.reward if isinstance(o, Score) else o.reason.name for o in outcomes]


LONG = "the quick brown fox jumps over the lazy dog and runs far away from here today"


def test_copies_and_near_copies_are_penalised_alike() -> None:
    texts = [LONG, LONG, LONG.replace("today", "now"), "something else entirely", ""]
    outcomes = scored("duplicates", texts)
    assert rewards(outcomes) == [-0.5, -0.5, -0.5, 0, 0]
    parts = [o.components for o in outcomes if isinstance(o, Score)]
    assert [part["exact"] for part in parts] == [1, 1, 0, 0, 0]
    assert [part["near"] for part in parts] == [2, 2, 2, 0, 0]
    assert parts[0]["nearest"] == 1
    assert 0.8 <= parts[2]["nearest"] < 1


def test_empty_responses_are_copies_of_each_other() -> None:
    assert rewards(scored("duplicates", ["", "", "x"], penalty=2)) == [-1, -1, 0]


def test_languages_without_spaces_are_compared_by_characters() -> None:
    texts = ["今天天气很好我们去公园散步吧", "今天天气很好我们去公园散步了", "数学题的答案是十八"]
    assert rewards(scored("duplicates", texts, of="chars", near=0.6)) == [-0.5, -0.5, 0]
    assert rewards(scored("duplicates", texts)) == [0, 0, 0]


def test_diversity_is_what_others_do_not_share() -> None:
    assert rewards(scored("diversity", ["a b c", "a b c", "x y z"])) == [0.5, 0.5, 1]
    assert rewards(scored("diversity", ["a b c d", "a b x y"], size=1)) == [1 - 2 / 6] * 2


def test_the_shortest_gets_the_most_and_one_without_length_spoils_nothing() -> None:
    texts = ["", "", "", ""]
    assert rewards(scored("relative_length", texts, [10, 20, None, 30])) == [
        0.5,
        0.0,
        "INVALID_INPUT",
        -0.5,
    ]
    assert rewards(scored("relative_length", texts, [10, -1, 20, 30], prefer="long")) == [
        -0.5,
        "INVALID_INPUT",
        0.0,
        0.5,
    ]
    assert rewards(scored("relative_length", ["ab", "abcd"], unit="chars")) == [0.5, -0.5]
    assert rewards(scored("relative_length", texts, [5, 5, 5, 5])) == [0, 0, 0, 0]


@pytest.mark.parametrize("kind", ["duplicates", "diversity", "relative_length"])
def test_a_response_alone_gets_nothing(kind: str) -> None:
    assert rewards(scored(kind, ["alone"])) == [0]


TEXTS = st.lists(st.text(alphabet="ab \n", max_size=12), min_size=1, max_size=8)


@given(TEXTS, st.randoms(use_true_random=False), st.sampled_from(["duplicates", "diversity"]))
def test_the_order_of_a_group_does_not_matter(texts: list[str], random_: Any, kind: str) -> None:
    order = list(range(len(texts)))
    random_.shuffle(order)
    straight = rewards(scored(kind, texts, size=2))
    shuffled = rewards(scored(kind, [texts[i] for i in order], size=2))
    assert shuffled == pytest.approx([straight[i] for i in order])


@given(TEXTS)
def test_resemblance_is_symmetric_and_of_copies_one(texts: list[str]) -> None:
    table = resemblances(texts, 3, "chars")
    for i, row in enumerate(table):
        for j, value in enumerate(row):
            assert 0 <= value <= 1
            assert value == table[j][i]
            if texts[i] == texts[j]:
                assert value == 1


def test_a_large_group_of_long_texts_takes_bounded_time() -> None:
    chance = random.Random(1)
    base = [str(chance.randrange(10**6)) for _ in range(60_000)]
    texts = [" ".join(base[: -n or None]) for n in range(8)] + [" ".join(reversed(base))]
    begin_s = time.process_time()
    found = rewards(scored("duplicates", texts))
    assert time.process_time() - begin_s < 10
    assert found == pytest.approx([-7 / 8] * 8 + [0])


def test_an_unreadable_response_leaves_the_rest_of_its_group() -> None:
    from rewardplane.rewards.types import Reason

    broken = ScoreError(Reason.INVALID_INPUT, "no UTF-8")
    items: list[Any] = [(EXAMPLE, Response("a")), (EXAMPLE, broken), (EXAMPLE, Response("a"))]
    outcomes = run_items(build("duplicates", {}), items, Clip())
    assert rewards(outcomes) == [-1, "INVALID_INPUT", -1]
    assert outcomes[1] is broken
