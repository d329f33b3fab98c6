"""Programs in responses, the shapes of tests, and what is the same as what."""

from __future__ import annotations

import json
import math
import time
from collections import Counter, OrderedDict, defaultdict, namedtuple
from http import HTTPStatus
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rewardplane.rewards.code.block import compiles, find_program, functions_of
from rewardplane.rewards.code.cases import AssertTests, CallTests, StdinTests, read_tests
from rewardplane.rewards.code.compare import same_output, same_value
from rewardplane.rewards.sandbox.guest.values import Unplain, dump, load
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
        (f"{FENCE}json\n{{}}\n{FENCE}", None, None),
        ("~~~python\na\n~~~", "a\n", "a\n"),
        (f"    {FENCE}python\na\n    {FENCE}", "a\n", "a\n"),
        (f"So: {FENCE}python\na", "So: ```python\na", "So: ```python\na"),
        (f"So:\n{FENCE}python\na", "a", "a"),
        ("print(1)", "print(1)", "print(1)"),
        ("    return x", "    return x", "    return x"),
        ("", None, None),
        (" \n ", None, None),
        (f"{FENCE}python\n\n{FENCE}", None, None),
    ],
)
def test_the_program_in_a_response(text: str, last: str | None, first: str | None) -> None:
    assert find_program(text) == last
    assert find_program(text, "first") == first
    assert find_program(text, "none") == (text if text.strip() else None)


@given(st.text(alphabet="`~pyth \n\x00\ud800x", max_size=80))
def test_any_text_gives_a_program_or_none(text: str) -> None:
    for which in ("last", "first", "none"):
        program = find_program(text, which)
        assert program is None or program.strip()
        if program is not None:
            compiles(program)
            functions_of(program)


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


@pytest.mark.parametrize("value", [object(), {"a": print}, range(3), bytearray(b"x"), iter([])])
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


@pytest.mark.parametrize(
    ("expected", "output", "same"),
    [
        ("1\n2\n", "1\n2", True),
        ("1\n2\n", "1  \r\n2\n\n\n", True),
        ("1 2", "1  2", False),
        ("1\n\n2", "1\n2", False),
        (" 1", "1", False),
        ("", "\n\n", True),
        ("1.0", "1", False),
    ],
)
def test_outputs(expected: str, output: str, same: bool) -> None:
    assert same_output(expected, output, 0.0) is same


@pytest.mark.parametrize(
    ("expected", "value", "same"),
    [
        (1, 1.0, True), (1, True, False), (0, False, False), ([1], (1,), True), ("1", 1, False),
        ({"1": 2}, {1: 2}, True), ({"a": None}, {"a": None}, True), (None, False, False),
        (1.0, math.nan, False), ([1, 2], {1, 2}, False), ("a", b"a", False), (3, 3 + 0j, False),
        ([], {}, False), ("", [], False), (10**400, 10**400, True),
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
        begin_s = time.perf_counter()
        assert not same_value({"x": 1}, told, 0.0)
        assert time.perf_counter() - begin_s < 1


def test_a_tolerance_is_relative_or_absolute() -> None:
    assert same_value(1e6, dump(1e6 + 0.5), 1e-6)
    assert not same_value(1e6, dump(1e6 + 2), 1e-6)
    assert same_value(0.0, dump(1e-7), 1e-6)
    assert not same_value(10**400, dump(1.0), 1e-6)
