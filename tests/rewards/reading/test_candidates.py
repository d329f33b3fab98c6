"""Where the answer stands in a response."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rewardplane.rewards.reading.candidates import (
    MAX_ANSWER_CHARS,
    MAX_FREE_CHARS,
    Candidate,
    candidates,
)
from rewardplane.rewards.reading.span import span


def find(text: str) -> Candidate | None:
    return next(candidates(span(text)), None)


@pytest.mark.parametrize(
    ("text", "answer", "source"),
    [
        # Boxes.
        (r"so \boxed{18}.", "18", "boxed"),
        (r"\boxed{1} no, \boxed{2}", "2", "boxed"),
        (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}", "boxed"),
        (r"\boxed{\{1, 2\}}", r"\{1, 2\}", "boxed"),
        (r"\boxed{\left\{ x \right.}", r"\left\{ x \right.", "boxed"),
        (r"\boxed{\boxed{3}}", "3", "boxed"),
        (r"\fbox{3}", "3", "boxed"),
        (r"\boxed 7$", "7", "boxed"),
        (r"\boxed {7}", "7", "boxed"),
        (r"$\boxed{1}$ and $\boxed{2}$", "1, 2", "boxed"),
        (r"\boxed{1}, \boxed{2}, or \boxed{3}", "1, 2, 3", "boxed"),
        (r"\boxed{5}. I put it in \boxed{}.", "5", "boxed"),
        (r"\boxed{-2} \quad \text{and} \quad \boxed{1}", "-2, 1", "boxed"),
        (r"$\boxed{1}\boxed{2}$", "1, 2", "boxed"),
        (r"\boxed{1} so \boxed{2}", "2", "boxed"),
        (r"\boxed{255}. Final Answer: The final answer is $10$.", "$10$.", "stated"),
        ("\\boxed{5}\n#### 6\nA: 7", "5", "boxed"),
        # Hashes.
        ("work\n#### 18", "18", "hashes"),
        ("#### 17\nno\n#### 18\n", "18", "hashes"),
        ("#### $1,000$ \r\n", "$1,000$", "hashes"),
        ("work\n#### Monday", "Monday", "hashes"),
        ("#### Step 1\nadd\nThe answer is 5", "5", "stated"),
        ("#### 1. Add them\nThe answer is 5", "5", "stated"),
        ("#### $x$-coordinate\nThe answer is 5", "5", "stated"),
        ("#### 2x + 3 = 11\nThe answer is 5", "5", "stated"),
        ("9+9=18\n#### 18\nI hope this helps", "18", "hashes"),
        ("9+9=18 #### 18", "18", "hashes"),
        ("#### 18\nA: 19", "18", "hashes"),
        # Statements.
        ("work\nA: 18", "18", "stated"),
        ("A: 18\nQ: and?\nA: 19", "19", "stated"),
        ("**A:** 18", "18", "stated"),
        ("> A: 18", "18", "stated"),
        ("USA: 18", "USA: 18", "free"),
        ("A: 12\nB: 15\nso it is 15", "A: 12\nB: 15\nso it is 15", "free"),
        ("A: 12\n**B**: 15\nThe answer is B", "B", "stated"),
        ("The answer is 18.\n\nI hope this answer is correct.", "18.", "stated"),
        ("ANSWER IS E", "E", "stated"),
        ("答案是18。", "18。", "stated"),
        ("The answer is 18.", "18.", "stated"),
        ("the answer is: 18", "18", "stated"),
        ("Answer: 18", "18", "stated"),
        ("ANSWER: 18", "18", "stated"),
        ("**Final Answer:** 18", "18", "stated"),
        ("**Final Answer**: **18**", "18", "stated"),
        ("The final answer to 1.5 + 1 is 2.5", "2.5", "stated"),
        ("Answer = 18", "18", "stated"),
        ("The answers are 1 and 2", "1 and 2", "stated"),
        ("The answer is\n\n18\nbye", "18", "stated"),
        ("The answer is:\n$$\n18\n$$\nbye", "$$\n18\n$$", "stated"),
        ("The answer is:\n\\[ x \\]", "\\[ x \\]", "stated"),
        ("The answer is 1. No. The answer is 2", "2", "stated"),
        ("The answer is 5. What is the answer:", "5. What is the answer:", "stated"),
        # Thoughts and answer blocks.
        ("<think>\\boxed{1}</think> it is \\boxed{2}", "2", "boxed"),
        ("<think>\\boxed{1}</think>2", "2", "free"),
        ("\\boxed{1} <answer>2</answer>", "2", "tagged"),
        ("<answer> \\boxed{2} eggs</answer> x", "2", "boxed"),
        ("<answer>1</answer><answer>2", "1", "tagged"),
        ("<answer>18</answer> in <answer> tags", "18", "tagged"),
        ("<answer>18</answer> in <answer></answer> tags", "18", "tagged"),
        ("<answer>18", "18", "tagged"),
        ("<answer><answer>18</answer></answer>", "18", "tagged"),
        # Nothing of these.
        ("so it is 18", "so it is 18", "free"),
    ],
)
def test_conventions(text: str, answer: str, source: str) -> None:
    assert find(text) == Candidate(answer, source)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \n ",
        "<think>18</think>",
        "<think>18",
        "\\boxed{1}<answer></answer>",
        "9" * (MAX_FREE_CHARS + 1),
    ],
)
def test_no_answer(text: str) -> None:
    assert find(text) is None


@pytest.mark.parametrize("end", ["}", ""])
def test_a_box_that_is_too_long_hides_those_before_it(end: str) -> None:
    found = find(r"\boxed{1} \boxed{" + "x" * (MAX_ANSWER_CHARS + 500) + end)
    assert found is not None
    assert len(found.text) > MAX_ANSWER_CHARS


def test_all_places_in_their_order() -> None:
    text = "#### 1\n\\boxed{2}\nA: 3\nso \\boxed{4} or the answer is 5"
    assert [(c.text, c.source) for c in candidates(text)][:5] == [
        ("4", "boxed"),
        ("2", "boxed"),
        ("1", "hashes"),
        ("5", "stated"),
        ("3", "stated"),
    ]


def test_the_end_of_a_long_text_is_cut_at_white_space() -> None:
    found = find("123456789 " * 1000)
    assert found is not None
    assert set(found.text.split()) == {"123456789"}
    assert len(found.text) <= MAX_FREE_CHARS
    found = find("x " * 5000 + "y" * (MAX_FREE_CHARS - 1))
    assert found == Candidate("y" * (MAX_FREE_CHARS - 1), "free")


_pieces = st.sampled_from(
    [r"\boxed{", "}", "{", "####", "\n", "A:", "answer is", "<think>", "</think>", "<answer>"]  # noqa: RUF005
    + ["</answer>", "18", "$", " and ", ",", "\\", " ", "x^2", "**", "$$", "\\["]
)


@settings(deadline=None, max_examples=300)
@given(st.one_of(st.text(), st.lists(_pieces, max_size=30).map("".join)))
def test_an_answer_is_a_bounded_piece_of_text(text: str) -> None:
    for found in candidates(span(text)):
        assert len(found.text) > 0
        assert found.text.strip()
        assert all(piece in text for piece in found.text.split(", "))
