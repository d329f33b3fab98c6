"""The kind `math`: conventions, notations, and what is right, wrong or no gold."""

from __future__ import annotations

import logging
import signal
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rewardplane.rewards import Example, Reason, Response, Score, ScoreError
from rewardplane.rewards.registry import build
from rewardplane.rewards.run import Clip, run_item

REWARD = build("math", {})


def score(text: str, gold: str) -> Score | ScoreError:
    item = (Example(references={"answer": gold}), Response(text))
    return run_item(REWARD, item, Clip())


RIGHT, WRONG, UNREAD = (1.0, 1.0), (0.0, 1.0), (0.0, 0.0)


def verdict(text: str, gold: str) -> tuple[float, float]:
    """The reward, and whether there was an answer that could be read."""
    outcome = score(text, gold)
    assert isinstance(outcome, Score), outcome
    return outcome.reward, outcome.components["parsed"]


EQUAL = [
    # Fractions and decimals.
    ("1/2", r"\boxed{\frac{1}{2}}"),
    (r"\frac{1}{2}", r"\boxed{0.5}"),
    (r"\frac{1}{2}", "#### 1/2"),
    ("0.5", "The answer is 1/2."),
    (r"\frac12", "A: 2/4"),
    (r"-\frac{3}{4}", r"\boxed{-0.75}"),
    (r"1\frac{1}{2}", r"\boxed{1.5}"),
    ("3/2", "The answer is 1 1/2."),
    ("0.333333", r"\boxed{\frac{1}{3}}"),
    ("1/3", r"$x = \frac{1}{3}$"),
    ("0.1 + 0.2", "0.3"),
    # Thousands, currency, units, percent.
    ("1,234", "The answer is 1234."),
    ("1234", r"\boxed{1,234}"),
    ("1234", r"\boxed{1{,}234}"),
    ("18", r"She makes \$18. The answer is $18."),
    ("18", r"\boxed{\$18}"),
    ("18", r"\boxed{18\text{ dollars}}"),
    ("18", r"\boxed{18 \text{ cm}^2}"),
    ("18", "The answer is 18 dollars per day."),
    ("18", r"The answer is $\frac{36}{2}$."),
    ("2000000", "The answer is 2 million."),
    ("50", r"\boxed{50\%}"),
    ("0.5", r"\boxed{50\%}"),
    (r"50\%", "50"),
    ("50%", "The answer is 50 percent."),
    (r"90^\circ", r"\boxed{90}"),
    ("90", r"\boxed{90°}"),
    ("-5", "\\boxed{\u22125}"),
    # Roots, powers, constants, functions.
    (r"\sqrt{2}", r"\boxed{\sqrt{2}}"),
    (r"\frac{1}{\sqrt{2}}", r"\boxed{\frac{\sqrt{2}}{2}}"),
    ("sqrt(8)", r"\boxed{2\sqrt{2}}"),
    (r"3\sqrt{13}", r"\boxed{3 \sqrt{13}}"),
    (r"2\pi", r"\boxed{2\pi}"),
    (r"2\pi", "The answer is 2pi."),
    (r"\pi", "\\boxed{π}"),
    ("2^{10}", r"\boxed{1024}"),
    ("1000000", r"\boxed{10^6}"),
    ("1e5", r"\boxed{100000}"),
    (r"6.02\times 10^{23}", r"\boxed{6.02 \times 10^{23}}"),
    ("5!", r"\boxed{120}"),
    (r"\log_2 8", r"\boxed{3}"),
    (r"\binom{5}{2}", r"\boxed{10}"),
    ("5:3", r"\boxed{\frac{5}{3}}"),
    # Algebra.
    ("x^2+2x+1", r"\boxed{(x+1)^2}"),
    ("xy", r"\boxed{yx}"),
    (r"\frac{a}{b}", r"\boxed{a/b}"),
    ("y=2x+3", r"\boxed{y = 3 + 2x}"),
    ("x=5", r"\boxed{5}"),
    ("5", r"\boxed{x = 5}"),
    ("5", "The answer is x = 5."),
    (r"x \le 3", r"\boxed{3 \ge x}"),
    (r"3 \le x < 5", r"\boxed{3 \leq x < 5}"),
    ("3+4i", r"\boxed{4i + 3}"),
    # Sets, intervals, tuples, matrices.
    (r"(-\infty, 3]", r"\boxed{(-\infty,3]}"),
    ("[1,2)", "The answer is $[1, 2)$."),
    (r"(-\infty,1)\cup(2,\infty)", r"\boxed{(2,\infty) \cup (-\infty, 1)}"),
    (r"\{1,2,3\}", r"\boxed{\{3,2,1\}}"),
    (r"\{1,2\}", r"\boxed{1, 2}"),
    ("1,2", r"\boxed{1} and \boxed{2}"),
    ("1,2", r"$\boxed{2}$ and $\boxed{1}$."),
    ("-2, 3", r"\boxed{x = -2 \text{ or } x = 3}"),
    (r"\pm 2", r"\boxed{\{-2, 2\}}"),
    ("(1,2)", r"\boxed{(1, 2)}"),
    (r"\left(\frac{1}{2},3\right)", r"\boxed{(0.5, 3)}"),
    (r"\begin{pmatrix}1\\2\end{pmatrix}", r"\boxed{\begin{pmatrix}1\\2\end{pmatrix}}"),
    (r"\infty", r"\boxed{\infty}"),
    ("infinity", r"\boxed{\infty}"),
    (r"\emptyset", r"\boxed{\emptyset}"),
    # Letters and words.
    ("A", r"\boxed{A}"),
    ("A", "The answer is (A)."),
    ("B", r"\boxed{\text{(B)}}"),
    ("(C)", "The answer is C) 45 cm."),
    ("Monday", r"\boxed{\text{Monday}}"),
    (r"\text{Monday}", "The answer is Monday."),
    ("Monday", "The answer is Monday, because then it rains."),
    ("no solution", r"\boxed{\text{No solution}}"),
    (r"\text{east}", r"\boxed{East}"),
    ("Yes", "The answer is **yes**."),
    # Where the answer stands.
    ("72", "She sold 48/2 = 24 clips in May. Altogether 48+24 = 72."),
    ("72", "so we get $x = 72$."),
    ("10", "5 + 5 = <<5+5=10>>10\n#### 10"),
    ("18", "**Final Answer:** **18**"),
    ("18", r"<think>maybe \boxed{17}</think><answer>18</answer>"),
    ("3", r"\[ x = \boxed{3} \]"),
    ("7", "The answer is:\n$$7$$"),
    ("12", "The answer is $12$ and not 13."),
    ("Natalia sold 48/2 = 24 clips.\n#### 72", r"\boxed{72}"),
    (r"The area is \boxed{\frac{\pi}{2}}.", r"\boxed{\pi/2}"),
]

UNEQUAL = [
    (r"\frac{1}{2}", r"\boxed{\frac{1}{3}}"),
    ("0.33", r"\boxed{\frac{1}{3}}"),
    ("50", r"\boxed{5\%}"),
    ("18", "The answer is 18.5."),
    ("18", "The answer is -18."),
    ("9007199254740993", r"\boxed{9007199254740992}"),
    ("2", "The answer is 2 million."),
    (r"\sqrt{2}", r"\boxed{\sqrt{3}}"),
    (r"2\pi", r"\boxed{6.28}"),
    ("x^2+1", r"\boxed{(x+1)^2}"),
    ("y=2x+3", r"\boxed{y = 2x-3}"),
    ("x", r"\boxed{y}"),
    ("3+4i", r"\boxed{3-4i}"),
    (r"(-\infty, 3]", r"\boxed{(-\infty,3)}"),
    (r"\{1,2\}", r"\boxed{\{1,3\}}"),
    (r"\{1,2\}", r"\boxed{1}"),
    ("(1,2)", r"\boxed{(2, 1)}"),
    (r"\begin{pmatrix}1\\2\end{pmatrix}", r"\boxed{\begin{pmatrix}2\\1\end{pmatrix}}"),
    ("A", "The answer is (B)."),
    ("Monday", r"\boxed{\text{Tuesday}}"),
    ("Yes", "The answer is no."),
    ("17", r"<think>maybe \boxed{17}</think><answer>18</answer>"),
    ("17", r"first \boxed{17}, then \boxed{18}"),
    ("17", "#### 17\n#### 18"),
]


def test_the_table_is_large_enough() -> None:
    assert len(EQUAL) + len(UNEQUAL) >= 60


@pytest.mark.parametrize(("gold", "text"), EQUAL)
def test_equal(gold: str, text: str) -> None:
    assert verdict(text, gold) == RIGHT


@pytest.mark.parametrize(("gold", "text"), UNEQUAL)
def test_unequal(gold: str, text: str) -> None:
    assert verdict(text, gold) == WRONG


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "I do not know.",
        r"\boxed{}",
        r"\boxed{\frac{}",
        "<think>18</think>",
        "3" * 100_000,
        r"\boxed{" + "x+" * 10_000 + "1}",
        r"\boxed{" + r"\frac{1}{" * 20 + "2" + "}" * 20 + "}",
        r"\boxed{" + "(" * 20 + "18" + ")" * 20 + "}",
        "\ud800",
        "\x00",
        "\u202e81",
    ],
)
def test_no_answer_is_wrong_and_no_error(text: str) -> None:
    assert verdict(text, "18") == UNREAD


@pytest.mark.parametrize(
    "gold",
    ["???", r"\frac{", "{", r"1 \cup 2", "9^{9^9}", "99999999!", r"\binom{10^8}{5\cdot 10^7}"],
)
def test_a_gold_that_cannot_be_read_is_an_error_but_for_its_own_text(gold: str) -> None:
    for text in ("18", ""):
        outcome = score(text, gold)
        assert isinstance(outcome, ScoreError)
        assert outcome.reason is Reason.INVALID_REFERENCE
    assert verdict(f"A: {gold}", gold) == RIGHT


@pytest.mark.parametrize("gold", [r"\text{}", ".", "$ $", "\ud800" * 3000])
def test_a_gold_with_nothing_in_it_is_an_error(gold: str) -> None:
    for text in ("18", gold, ""):
        outcome = score(text, gold)
        assert isinstance(outcome, ScoreError)
        assert outcome.reason is Reason.INVALID_REFERENCE


def test_the_configured_values_and_key() -> None:
    reward = build("math", {"correct_reward": 2, "wrong_reward": -1, "reference": "gold"})
    example = Example(json_references={"gold": "18"})
    outcomes = [run_item(reward, (example, Response(t)), Clip()) for t in ("A: 18", "A: 19", "")]
    assert outcomes == [
        Score(2.0, {"parsed": 1.0}, answer="18"),
        Score(-1.0, {"parsed": 1.0}, answer="19"),
        Score(-1.0, {"parsed": 0.0}),
    ]
    assert reward.reference_keys == ("gold",)


def test_no_alarm_is_set_and_threads_work() -> None:
    before, outcomes = signal.getsignal(signal.SIGALRM), []
    thread = threading.Thread(target=lambda: outcomes.append(verdict(r"\boxed{\sqrt{9}}", "3")))
    thread.start()
    thread.join()
    assert outcomes == [RIGHT]
    assert signal.getsignal(signal.SIGALRM) is before


def test_setup_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        build("math", {}).setup()
    assert not caplog.records


def test_the_order_of_scoring_does_not_matter() -> None:
    pairs = [*EQUAL, *UNEQUAL]
    assert [verdict(text, gold) for gold, text in reversed(pairs)] == (
        [WRONG] * len(UNEQUAL) + [RIGHT] * len(EQUAL)
    )


@settings(deadline=None)
@given(st.integers(-(10**30), 10**30), st.integers(-(10**30), 10**30))
def test_integers_are_compared_exactly(gold: int, answer: int) -> None:
    assert verdict(f"A: {answer:,}", str(gold)) == (RIGHT if gold == answer else WRONG)
    assert verdict(f"\\boxed{{{gold}}}", f"{gold:,}") == RIGHT


_pieces = st.sampled_from(
    [r"\boxed{", "}", "{", "####", "\n", "A:", "answer is ", "18", "$", " and ", ",", "x", "(", ")"]  # noqa: RUF005
    + ["/", "-", "+", "=", " ", r"\frac", r"\text{", r"\sqrt", "%", "[", "]", "3", "one"]
)


@settings(deadline=None, max_examples=150)
@given(st.one_of(st.text(max_size=60), st.lists(_pieces, max_size=12).map("".join)))
def test_any_response_is_right_or_wrong(text: str) -> None:
    outcome = score(text, r"\frac{1}{2}")
    assert isinstance(outcome, Score)
    assert outcome.reward in (0.0, 1.0)
    assert outcome.reward <= outcome.components["parsed"]


@settings(deadline=None, max_examples=100)
@given(st.one_of(st.text(max_size=30), st.lists(_pieces, max_size=8).map("".join)))
def test_any_gold_is_read_or_an_invalid_reference(gold: str) -> None:
    outcome = score("A: 18", gold)
    if isinstance(outcome, ScoreError):
        assert outcome.reason is Reason.INVALID_REFERENCE
