"""Programs in responses, the shapes of tests, and what is the same as what."""

from __future__ import annotations

import itertools
import json
import math
import time
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from decimal import Decimal
from fractions import Fraction
from http import HTTPStatus
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rewardplane.rewards.code.candidates import MAX_CANDIDATES, Which, find_candidates
from rewardplane.rewards.code.compare import Comparison, same_output, same_value
from rewardplane.rewards.code.datasets import read_tests
from rewardplane.rewards.code.tests import AssertTests, CallTests, StdinTests
from rewardplane.rewards.sandbox.guest.source import choose
from rewardplane.rewards.sandbox.guest.values import MAX_ITEMS, TooMany, Unplain, dump, load
from rewardplane.rewards.types import InvalidReference

FENCE = "```"


@pytest.mark.parametrize(
    ("text", "last", "first"),
    [
        (f"{FENCE}python\na\n{FENCE}\nthen\n{FENCE}python\nb\n{FENCE}", "b\n", "a\n"),
        (f"{FENCE}\na\n{FENCE}\n{FENCE}\nb\n{FENCE}", "b\n", "a\n"),
        (f"{FENCE}python\na\n{FENCE}\n{FENCE}\nout\n{FENCE}", "a\n", "a\n"),
        (f"{FENCE}py\na\n{FENCE}", "a\n", "a\n"),
        (f"{FENCE}Python 3\na\n{FENCE}", "a\n", "a\n"),
        (f"{FENCE}{{.python}}\na\n{FENCE}", "a\n", "a\n"),
        (f"{FENCE}json\n{{}}\n{FENCE}", None, None),
        (f"{FENCE}cpp\nint x;\n{FENCE}", None, None),
        ("~~~python\na\n~~~", "a\n", "a\n"),
        (f"    {FENCE}python\na\n    {FENCE}", "a\n", "a\n"),
        (f"So: {FENCE}python\na", "a\n", "a\n"),
        (f"So:\n{FENCE}python\na", "a\n", "a\n"),
        (f"<think>{FENCE}python\nx\n{FENCE}</think>\n{FENCE}\na\n{FENCE}", "a\n", "a\n"),
        (f"<think>{FENCE}python\nx\n{FENCE}", None, None),
        ("print(1)", "print(1)", "print(1)"),
        ("    return x", "    return x", "    return x"),
        (f"a\n{FENCE}", "a\n", "a\n"),
        ("", None, None),
        (" \n ", None, None),
        (f"{FENCE}python\n\n{FENCE}", None, None),
    ],
)
def test_where_the_program_of_a_response_may_stand(
    text: str, last: str | None, first: str | None
) -> None:
    assert next(iter(find_candidates(text)), None) == last
    assert next(iter(find_candidates(text, "first")), None) == first
    assert find_candidates(text, "none") == ([text] if text.strip() else [])


EVERY_WHICH: tuple[Which, ...] = ("last", "first", "none")


@given(st.text(alphabet="`~pyth \n\x00\ud800x<>/think", max_size=120))
def test_any_text_gives_candidates_or_none(text: str) -> None:
    for which in EVERY_WHICH:
        candidates = find_candidates(text, which)
        assert len(candidates) <= MAX_CANDIDATES
        assert all(candidate.strip() for candidate in candidates)


@pytest.mark.parametrize(
    "line", ["```python\n", "```\n", "~~~\n", "    ```\nx\n", "``` x\n", "<think>", "```py x", "`"]
)
def test_candidates_take_time_by_the_length_of_the_text(line: str) -> None:
    begin_s = time.process_time()
    find_candidates(line * (200_000 // len(line)))
    assert time.process_time() - begin_s < 1.0


BEGUN = "def f():\n    'x'\n"


@pytest.mark.parametrize(
    ("candidates", "options", "number"),
    [
        (["x = 1", "def f(): pass\nx = 2"], {"wanted": ["f"]}, 0),
        (["x = 1", "def f(): return 2"], {"wanted": ["f"]}, 1),
        (["print(f(1))", "f = lambda: 2"], {"wanted": ["f"]}, 1),
        (["x = 1", "if x:\n    def f(): return 1"], {"wanted": ["f"]}, 1),
        (["x = 1", "class S:\n    def f(self): return 1"], {"wanted": ["f"]}, 1),
        (["print(1)", "print(input())"], {"reads": True}, 1),
        (["print(1)", "import sys\nprint(sys.stdin.read())"], {"reads": True}, 1),
        (["def (", "print(1)"], {"reads": True}, 1),
        (["return 1", "print(1)"], {}, 1),
        (["def (", "return 1"], {}, None),
        (["    return 1"], {"prompt": BEGUN, "wanted": ["f"]}, 0),
        (["return 1"], {"prompt": BEGUN, "wanted": ["f"]}, 0),
        (["print(f())", "return 1"], {"prompt": BEGUN, "wanted": ["f"]}, 0),
        (["print(f())", "    return 1"], {"prompt": BEGUN, "wanted": ["f"]}, 1),
    ],
)
def test_which_candidate_is_the_program(
    candidates: list[str], options: dict[str, Any], number: int | None
) -> None:
    program = choose(candidates, **options)
    assert (None if program is None else program.number) == number


Plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
    | st.complex_numbers(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text() | st.integers() | st.tuples(st.integers()), inner, max_size=3)
        | st.sets(st.integers() | st.text(), max_size=3)
        | st.frozensets(st.integers(), max_size=3)
    ),
    max_leaves=10,
)  # fmt: skip


@given(Plain)
def test_plain_values_cross_as_they_are(value: Any) -> None:
    back = load(dump(value))
    assert type(back) is type(value)
    assert repr(back) == repr(value) or back == value


class _Liar(int):
    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = int.__hash__

    def __int__(self) -> int:
        return 7

    def __index__(self) -> int:
        return 7


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (_Liar(3), 3),
        ([_Liar(3)], [3]),
        (Counter("aab"), {"a": 2, "b": 1}),
        (OrderedDict(a=1), {"a": 1}),
        (defaultdict(int, a=1), {"a": 1}),
        (HTTPStatus.OK, 200),
        (namedtuple("Pair", "a b")(1, 2), (1, 2)),
    ],
)
def test_what_is_derived_from_plain_is_told_as_what_it_holds(value: Any, plain: Any) -> None:
    back = load(dump(value))
    assert type(back) is type(plain)
    assert back == plain


@pytest.mark.parametrize(
    "value", [range(3), range(9, 0, -2), deque([1, (2,)]), Fraction(1, 3), Decimal("0.10")]
)
def test_rarer_values_cross_as_they_are(value: Any) -> None:
    back = load(dump(value))
    assert type(back) is type(value)
    assert back == value


def test_iterators_cross_as_what_they_give() -> None:
    assert list(load(dump(i * i for i in range(4)))) == [0, 1, 4, 9]
    assert next(load(dump(map(str, [7])))) == "7"
    endless = load(dump(itertools.count()))
    assert [next(endless) for _ in range(MAX_ITEMS)][-1] == MAX_ITEMS - 1
    with pytest.raises(TooMany):
        next(endless)


@pytest.mark.parametrize("value", [object(), {"a": print}, bytearray(b"x"), lambda: 1])
def test_what_is_not_plain_does_not_cross(value: Any) -> None:
    with pytest.raises(Unplain):
        dump(value)


def test_what_is_nested_for_ever_does_not_cross() -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(Unplain, match="deep"):
        dump(value)


Json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["i", "f", "c", "b", "t", "s", "z", "d", "inputs", "outputs", "tests", "test",
                 "fn_name", "input", "output", "test_list", "entry_point"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)  # fmt: skip


@given(st.text(alphabet='{}[]":,ifctszdb0x1nul ', max_size=40))
def test_any_text_is_a_value_or_none(text: str) -> None:
    try:
        load(text)
    except ValueError:
        return


@given(Json, st.dictionaries(st.sampled_from(["entry_point", "fn_name", "prompt"]), Json))
def test_any_reference_holds_tests_or_says_that_it_does_not(
    value: Any, others: dict[str, Any]
) -> None:
    try:
        tests = read_tests(value, others)
    except InvalidReference:
        return
    assert isinstance(tests, StdinTests | CallTests | AssertTests)
    if not isinstance(tests, AssertTests):
        assert len(tests.inputs) == len(tests.outputs) > 0


EVERY: tuple[Comparison, ...] = ("exact", "lines", "tokens", "tokens_icase", "floats")


@pytest.mark.parametrize(
    ("expected", "output", "right_by"),
    [
        ("1\n2\n", "1\n2", {*EVERY}),
        ("1\n2\n", "1  \r\n2\n\n\n", {*EVERY} - {"exact"}),
        ("1 2", "1  2", {"tokens", "tokens_icase", "floats"}),
        ("1\n\n2", "1\n2", {"tokens", "tokens_icase", "floats"}),
        ("", "\n\n", {*EVERY}),
        ("YES", "yes", {"tokens_icase"}),
        ("1.0", "1", {"floats"}),
        ("1", "1.0", set()),
        ("0.3333333333", "0.3333333", {"floats"}),
        ("1e-3", "0.001", {"floats"}),
        ("1000000007", "1000000000", set()),
        ("1.5", "nan", set()),
        ("1.0", "inf", set()),
        ("1000.0", "1_000", set()),
        ("a", "b", set()),
    ],
)
def test_outputs(expected: str, output: str, right_by: set[Comparison]) -> None:
    assert {by for by in EVERY if same_output(expected, output, by, 1e-6)} == right_by


@pytest.mark.parametrize(
    ("expected", "value", "same"),
    [
        (1, 1.0, True), (1, True, False), (0, False, False), ([1], (1,), True), ("1", 1, False),
        ({"1": 2}, {1: 2}, True), ({"a": None}, {"a": None}, True), (None, False, False),
        (1.0, math.nan, False), ([1, 2], {1, 2}, False), ("a", b"a", False), (3, 3 + 0j, False),
        ([], {}, False), ("", [], False), (10**400, 10**400, True), ([0, 1], range(2), True),
        ([1], deque([1]), True), (0.5, Fraction(1, 2), True), (0.5, Decimal("0.5"), True),
        ([1], {1: 2}.keys(), True), ([], range(10**15), False),
    ],
)  # fmt: skip
def test_values(expected: Any, value: Any, same: bool) -> None:
    assert same_value(expected, dump(value), 0.0) is same
    assert same_value(expected, dump(value), 1e-9) is same


@pytest.mark.parametrize("told", ["", "{", '{"d":[[{},1]]}', '{"d":3}', '{"x":1,"y":2}', "[" * 500])
def test_what_is_no_value_is_the_same_as_nothing(told: str) -> None:
    assert not same_value({"x": 1}, told, 0.0)


def test_what_hashes_alike_costs_nothing() -> None:
    alike = [i * (2**61 - 1) for i in range(40_000)]
    for told in ('{"s":' + json.dumps(alike) + "}", json.dumps({"d": [[i, 1] for i in alike]})):
        begin_s = time.thread_time()
        assert not same_value({"x": 1}, told, 0.0)
        assert time.thread_time() - begin_s < 1


def test_a_tolerance_is_relative_or_absolute() -> None:
    assert same_value(1e6, dump(1e6 + 0.5), 1e-6)
    assert not same_value(1e6, dump(1e6 + 2), 1e-6)
    assert same_value(0.0, dump(1e-7), 1e-6)
    assert not same_value(10**400, dump(1.0), 1e-6)
    assert not same_value(1_000_000_007, dump(1_000_000_008), 1e-6)
