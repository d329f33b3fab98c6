"""No reading costs more than in proportion to the text, and no answer more than its limit."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rewardplane.rewards import Example, Reason, Response, Score, ScoreError
from rewardplane.rewards.reading.bounds import MAX_TERMS, TooCostly, weigh
from rewardplane.rewards.reading.limit import Overrun, cpu_limit
from rewardplane.rewards.reading.schema import LIMIT_S
from rewardplane.rewards.registry import build, kinds
from rewardplane.rewards.run import Clip, run_item, run_items

# Where the limit ends a calculation inside a callback, Python tells of it and goes on; so does the
# limit, which raises again.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

PIECES = [
    *(r"\boxed{", r"\boxed{1} and ", "boxed", "####", "#### 1\n", "#### Step\n", "A: \n", "A:"),
    *(
        "A: B:\n",
        "\nB",
        "B:\n",
        "answer ",
        "answer is \n",
        "answer is correct. ",
        "nswer",
        "option ",
    ),
    "answer is not ",
    *("correct option is ", "final answer is ", "(A) ", "A, ", "</think>", "<think>", "[THINK]"),
    *("<answer>", "</answer>", "<answer></answer>", "<", "</s>", "</s> ", "<|im_end|>", "```"),
    *("~~~", "```json\n", '{"a":', '{"a":1},', "[", '"', "{", "}", "(", "$", "$$", "\\[", "\\"),
    *("\\frac", "\\text{", "\\text{a}", "\\sqrt", "\\quad ", "^", "^{", "_{", "!", "e", "1e", "9"),
    *("9,", "9 ", "1 000 ", "1/", "-", "- 1", "18 or ", "18, ", "x=", "million ", "base ", " "),
    *(
        "\n",
        "\t \n",
        "\r",
        ". ",
        "because ",
        ", which ",
        "~",
        "**",
        "é",
        "½",
        "⁰",
        "答案",
        "\ud800",
    ),
]
KINDS: dict[str, dict[str, Any]] = {
    "math": {},
    "numeric": {},
    "choice": {},
    "exact": {},
    "contains": {},
    "regex": {"pattern": "(a|aa)+$"},
    "format": {},
    "tags": {},
    "length": {"max_length": 100, "cache_length": 10, "unit": "chars"},
    "json_key": {"key": "a", "allow_fence": True},
    "json_schema": {
        "schema": {"additionalProperties": {"pattern": "^(a+)+$"}},
        "allow_fence": True,
    },
}
NOT_TIMED = {
    "python": "the operator's own code, in a process with a time limit",
    "code_tests": "what it reads is timed in tests/rewards/code/test_linear.py",
    "snippet": "its source is the operator's and at most 256 kB long; it runs in the sandbox",
    "gemini": "its readers are timed in tests/rewards/formats/test_linear.py",
    "program_run": "what a response says runs in the sandbox, within its limits",
    "composite": "its members are rewards of their own",
    "panel": "its members are rewards of their own",
    "best_of": "its member is a reward of its own",
    "judge": "what it shows is timed in tests/rewards/judging/test_linear.py",
    "pairwise": "as judge",
    "rubric": "as judge",
    "reward_model": "as judge",
    "openai_grader": "its readers are timed in tests/rewards/formats/test_linear.py",
    **dict.fromkeys(
        ("judge", "rubric", "pairwise", "reward_model"), "their model reads the response"
    ),
}


OF_GROUPS: dict[str, dict[str, Any]] = {
    "duplicates": {},
    "diversity": {},
    "relative_length": {"unit": "chars"},
}


def test_every_kind_is_timed_or_it_is_said_where() -> None:
    assert set(kinds()) == {*KINDS, *OF_GROUPS, *NOT_TIMED}


@pytest.mark.parametrize("kind", OF_GROUPS)
@pytest.mark.parametrize("piece", ["a", "a ", "the cat sat ", "\n", "é"])
def test_a_group_costs_in_proportion_to_its_texts(kind: str, piece: str) -> None:
    reward = build(kind, OF_GROUPS[kind])

    def spent_s(chars: int) -> float:
        text = piece * (chars // len(piece))
        items = [(Example(), Response(text + str(n))) for n in range(4)]
        begin = time.process_time()
        outcomes = run_items(reward, items, Clip())
        assert all(isinstance(outcome, Score) for outcome in outcomes), outcomes[0]
        return time.process_time() - begin

    long_s = spent_s(512_000)
    assert long_s < 0.5 or long_s < 24 * spent_s(32_000)


def cpu_s(reward: Any, gold: str, text: str, enough_s: float = 0.02) -> float:
    """The least of three times; less than `enough_s` is not measured again."""
    item = (Example(references={"answer": gold}), Response(text))
    spent = []
    for _ in range(3):
        begin = time.process_time()
        outcome = run_item(reward, item, Clip())
        spent.append(time.process_time() - begin)
        assert isinstance(outcome, Score), (text[:40], outcome)
        if spent[-1] < enough_s:
            break
    return min(spent)


@pytest.mark.parametrize("kind", KINDS)
def test_a_text_of_any_kind_costs_in_proportion_to_its_length(kind: str) -> None:
    """Sixteen times the text may cost sixteen times as much, and half as much again; it costs less
    than 0.3 s a megabyte in any case."""
    reward = build(kind, KINDS[kind])
    for gold in ("18", "x^2")[: 2 if kind == "math" else 1]:
        gold = "B" if kind == "choice" else gold
        for piece in PIECES:
            for before, after in (("", ""), (r"\boxed{1}", r"\boxed{2}"), ("The answer is 1", "")):
                short = before + piece * (64_000 // len(piece)) + after
                long = before + piece * (1_024_000 // len(piece)) + after
                spent = cpu_s(reward, gold, long, 0.3)
                assert spent < 0.3 or spent < 24 * cpu_s(reward, gold, short), (piece, spent)


COSTLY = [
    # What a reader of the old code reported.
    "9^{9^9}",
    "99999999!",
    "10^{10^{10}}",
    r"\sum_{n=1}^{10^9} 1/n^2",
    r"\int_0^1 e^{-x^2}\sin x^3",
    "(x+1)^{100000}",
    "(x+y+z+w)^{200}",
    r"\binom{10^8}{5·10^7}",
    # Of the same kinds.
    "((3!)!)!",
    "2^{2^{2^{2^{2^2}}}}",
    "9**9**9",
    r"\prod_{k=1}^{10^7} k",
    r"\sum_{k=1}^{900} \frac{k!}{(k+1)^{k}}",
    r"\int_0^{\infty} \frac{\sin(x^3)\ln(1+x)}{x^7+x+1} dx",
    "(a+b+c+d+e)^{40}",
    "7^{7^{7}} - 7^{7^{7}} + 5",
    "(9^{9^9}, 2)",
    r"\gcd(9^{9^9}, 3)",
    r"\operatorname{eye}(100000)",
    r"\Gamma(100000000)",
    r"\sqrt[99]{10^{15000}+1}",
    r"\log_2(10^{15000}+1)",
    r"(10^{15000}+1)^{1/7}",
    "1.0000001^{100000000000}",
    r"\sum_{i=1}^{500}\sum_{j=1}^{500}\sum_{k=1}^{500} \frac{i}{j+k}",
    r"\int_0^1\int_0^1\int_0^1 \frac{dx dy dz}{1-xyz}",
    r"\tan^{500}(x)+\sec^{300}(x)",
    "e^{e^{e^{e^{e}}}}",
    "^".join("2" * 200),
    "x" + "!" * 200,
]


@pytest.mark.parametrize("gold", ["5", r"\frac{x^2+1}{3}"])
@pytest.mark.parametrize("answer", COSTLY)
def test_an_answer_without_end_is_wrong_within_two_seconds(answer: str, gold: str) -> None:
    reward = build("math", {})
    run_item(reward, (Example(references={"answer": gold}), Response(r"\boxed{1+x}")), Clip())
    for text in (f"\\boxed{{{answer}}}", f"The answer is ${answer}$."):
        begin = time.process_time()
        outcome = run_item(reward, (Example(references={"answer": gold}), Response(text)), Clip())
        assert time.process_time() - begin < 2
        assert isinstance(outcome, Score)
        assert outcome.reward == 0.0


@pytest.mark.parametrize(
    "gold", [COSTLY[0], COSTLY[1], COSTLY[3], COSTLY[4], COSTLY[7], COSTLY[13]]
)
def test_a_gold_without_end_is_an_invalid_reference(gold: str) -> None:
    reward = build("math", {})
    for text, reason in ((r"\boxed{7}", Reason.INVALID_REFERENCE), (f"\\boxed{{{gold}}}", None)):
        outcome = run_item(reward, (Example(references={"answer": gold}), Response(text)), Clip())
        if reason is None:
            assert isinstance(outcome, Score)
            assert outcome.reward == 1.0
        else:
            assert isinstance(outcome, ScoreError)
            assert outcome.reason is reason


@pytest.mark.parametrize(
    "text",
    [
        *(
            r"\frac{1}{3^{80}}",
            "2^{2004}",
            r"\frac{1}{2004!}",
            "x^{100000}",
            "10^{1000}",
            "(x+1)^{10}",
        ),
        *(
            r"\binom{100}{50}",
            r"\sum_{k=1}^{n} k",
            r"\sum_{k=1}^{100} k^2",
            r"\sqrt{2}+\sqrt[3]{5}",
        ),
        *("e^{-x^2}", "2^{n+1}", r"\frac{\pi}{4} + k\pi", "1,000,000", "0.5^{10}", "5!", "n!"),
    ],
)
def test_what_an_answer_may_well_be_is_not_too_costly(text: str) -> None:
    assert weigh(text).terms <= MAX_TERMS


@settings(deadline=None, max_examples=300)
@given(st.text("0123456789^{}()!+-*/x._,\\ \tsumfracsqrtbinom[]", max_size=80))
def test_any_text_has_a_weight_or_is_too_costly(text: str) -> None:
    try:
        weight = weigh(text)
    except TooCostly:
        return
    assert weight.digits >= 0
    assert weight.terms >= 1


@pytest.mark.parametrize("in_thread", [False, True])
def test_the_limit_ends_what_catches_every_exception(in_thread: bool) -> None:
    ended: list[bool] = []

    def stubborn() -> None:
        try:
            with cpu_limit(0.1):
                while True:
                    try:
                        sum(range(1000))
                    except Exception:  # noqa: BLE001, S112 - as libraries do
                        continue
        except Overrun:
            ended.append(True)

    before = threading.active_count()
    if in_thread:
        thread = threading.Thread(target=stubborn)
        thread.start()
        thread.join()
    else:
        stubborn()
    assert ended == [True]
    assert threading.active_count() == before


def test_the_limit_counts_cpu_time_and_not_the_clock() -> None:
    with cpu_limit(0.05):
        time.sleep(0.3)


def test_what_ends_in_time_is_left_alone() -> None:
    for _ in range(200):
        with cpu_limit(5):
            assert sum(range(100)) == 4950


_AFTERWARDS = """
import sys, time
from rewardplane.rewards.reading.limit import Overrun, cpu_limit

def traced():
    return 1

def busy(cpu_s):
    until_s = time.thread_time() + cpu_s
    while time.thread_time() < until_s:
        pass

ended = []
for turn in range(60):  # those that end in time, those that do not, and those that end at the limit
    try:
        with cpu_limit(0.02):
            busy((0.0, 0.2, 0.019 + turn * 0.0002)[turn % 3])
        ended.append(True)
    except Overrun:
        ended.append(False)
    sys.settrace(lambda *_: None)
    assert traced() == 1
    sys.settrace(None)
busy(0.1)  # nothing is on its way any more
print(ended[0::3].count(True), ended[1::3].count(False))
"""


def test_nothing_is_left_of_a_limit() -> None:
    """An exception that is taken back leaves a mark in CPython 3.11: what is traced hangs then."""
    ran = subprocess.run(
        [sys.executable, "-c", _AFTERWARDS], capture_output=True, text=True, timeout=60, check=True
    )
    assert ran.stdout == "20 20\n"


@pytest.mark.parametrize("depth", [10, 16, 60])
def test_no_schema_and_no_response_takes_seconds(depth: int) -> None:
    branch = {"type": "array", "items": {"$ref": "#/$defs/t"}}
    schema = {
        "$defs": {"t": {"anyOf": [branch, {**branch, "minItems": 0}, {"type": "null"}]}},
        "$ref": "#/$defs/t",
    }
    reward = build("json_schema", {"schema": schema})
    begin = time.process_time()
    outcome = run_item(reward, (Example(), Response("[" * depth + "1" + "]" * depth)), Clip())
    # The check's own limit, and what unwinding it costs in a process that holds much.
    assert time.process_time() - begin < 4 * LIMIT_S
    assert isinstance(outcome, Score)
    assert outcome.reward == 0.0
    good = run_item(reward, (Example(), Response("[" * depth + "null" + "]" * depth)), Clip())
    assert isinstance(good, Score)
    assert good.reward == 1.0


@pytest.mark.parametrize("where", ["pattern", "patternProperties"])
def test_a_pattern_takes_linear_time(where: str) -> None:
    schema: dict[str, Any] = {"pattern": "^(a+)+$"}
    text = '"' + "a" * 40_000 + 'b"'
    if where == "patternProperties":
        schema = {"patternProperties": {"^(a+)+$": {"type": "null"}}, "additionalProperties": False}
        text = '{"' + "a" * 40_000 + 'b": 1}'
    begin = time.process_time()
    outcome = run_item(
        build("json_schema", {"schema": schema}), (Example(), Response(text)), Clip()
    )
    assert time.process_time() - begin < 1
    assert isinstance(outcome, Score)
    assert outcome.reward == 0.0


def test_schemas_with_a_dialect_have_linear_patterns_all_the_way_down() -> None:
    schema = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "properties": {"a": {"$ref": "#"}},
        "patternProperties": {"^b+$": {"type": "string", "pattern": "^(a+)+$"}},
        "additionalProperties": False,
    }
    reward = build("json_schema", {"schema": schema})
    for text, wanted in (
        ('{"a": {"bb": "aaa"}}', 1.0),
        ('{"a": {"bb": "' + "a" * 50 + 'c"}}', 0.0),
        ('{"c": 1}', 0.0),
        ('{"b": 1}', 0.0),
    ):
        outcome = run_item(reward, (Example(), Response(text)), Clip())
        assert isinstance(outcome, Score)
        assert outcome.reward == wanted, text


def test_answers_without_end_cost_their_neighbours_nothing() -> None:
    reward = build("math", {})
    items = [(Example(references={"answer": "5"}), Response(r"\boxed{5}")) for _ in range(90)]
    for index, answer in enumerate(COSTLY[:8]):
        items.insert(10 * index, (items[0][0], Response(f"\\boxed{{{answer}}}")))
    rewards = [getattr(run_item(reward, item, Clip()), "reward", None) for item in items]
    assert rewards.count(0.0) == 8
    assert rewards.count(1.0) == 90
