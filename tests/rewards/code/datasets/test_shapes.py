"""Examples in the shapes of published data sets: a right program earns all, a wrong one less.

The rows are written for these tests in the columns of the published files.
"""

from __future__ import annotations

import base64
import json
import pickle
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rewardplane.rewards.code.datasets import read_tests
from rewardplane.rewards.code.datasets.document import GivenLimits
from rewardplane.rewards.code.tests import AssertTests, CallTests, StdinTests
from rewardplane.rewards.kinds.code_tests import CodeTests
from rewardplane.rewards.registry import build
from rewardplane.rewards.types import Example, InvalidReference, Response

ROWS = [
    json.loads(line) for line in Path(__file__).with_name("rows.jsonl").read_text().splitlines()
]
SHAPES = {"stdin": StdinTests, "calls": CallTests, "code": AssertTests}


@pytest.fixture(scope="module")
def reward() -> Iterator[CodeTests]:
    """The kind as it comes."""
    made = build("code_tests", {"cpu_s": 2.0})
    assert isinstance(made, CodeTests)
    made.setup()
    yield made
    made.kill()


def example(row: dict[str, Any]) -> Example:
    texts = {k: v for k, v in row["references"].items() if isinstance(v, str)}
    others = {k: json.dumps(v) for k, v in row["references"].items() if not isinstance(v, str)}
    return Example(references=texts, json_references=others)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["id"])
async def test_a_right_program_earns_all_and_a_wrong_one_less(
    row: dict[str, Any], reward: CodeTests
) -> None:
    known = row["references"]
    assert isinstance(read_tests(known["tests"], known), SHAPES[row["shape"]])
    right = await reward.score(example(row), Response(f"```python\n{row['right']}\n```"))
    assert right.reward == 1.0, right
    wrong = await reward.score(example(row), Response(f"```python\n{row['wrong']}\n```"))
    assert wrong.reward < 1.0, wrong
    assert wrong.components["parsed"] == 1.0


def packed(cases: object, protocol: int = 4) -> str:
    """As LiveCodeBench ships private cases."""
    return base64.b64encode(zlib.compress(pickle.dumps(json.dumps(cases), protocol))).decode()


CASES = [{"input": "2\n", "output": "4\n", "testtype": "stdin"}]


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_private_cases_are_read_as_shipped(protocol: int) -> None:
    for value in (packed(CASES, protocol), {"private_test_cases": packed(CASES, protocol)}):
        tests = read_tests(value, {})
        assert isinstance(tests, StdinTests)
        assert tests.inputs == ["2\n"]
    both = {"public_test_cases": json.dumps(CASES), "private_test_cases": packed(CASES)}
    tests = read_tests(both, {})
    assert isinstance(tests, StdinTests)
    assert len(tests.inputs) == 2


class _Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("loaded",)


@pytest.mark.parametrize(
    "blob",
    [
        base64.b64encode(zlib.compress(pickle.dumps(_Bomb()))).decode(),
        base64.b64encode(zlib.compress(pickle.dumps(["a", "b"]))).decode(),
        base64.b64encode(zlib.compress(pickle.dumps("{"))).decode(),
        base64.b64encode(zlib.compress(b"\x80\x04X\xff\xff\xff\xff")).decode(),
        base64.b64encode(zlib.compress(b"[" + b" " * (70 << 20))).decode(),
        "eJ!",
        "eJAAAA",
    ],
    ids=range(7),
)
def test_a_pickle_is_never_loaded(blob: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InvalidReference):
        read_tests({"private_test_cases": blob}, {})
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("value", "others", "fault"),
    [
        ({"inputs": ["1"], "outputs": ["1"], "seperator": " "}, {}, "not known: seperator"),
        ([{"input": "1", "output": "1", "weight": 2}], {}, "not known: weight"),
        ({"inputs": ["1"], "outputs": ["1"], "time_limit": -1}, {}, "time_limit"),
        ({"inputs": ["1"], "outputs": ["1"], "memory_limit": 1e9}, {}, "memory_limit"),
        ({"official_tests": [], "official_tests_complete": True}, {}, "official_tests"),
        (
            {"official_tests": [{"input": "1", "output": "1"}], "official_tests_complete": False},
            {},
            "missing",
        ),
        ({"test_cases": [{"input": "1"}]}, {}, "input and output"),
        (
            {"test_cases": [{"fn_name": n, "input": [1], "output": 1} for n in "fg"]},
            {},
            "call f, g",
        ),
        ([{"input": "1", "output": "1", "testtype": "functional"}], {}, "func_name"),
        ([{"input": "1", "output": "1", "testtype": "other"}], {}, "testtype other"),
        ({"test_list": ["assert f(1)"], "test_imports": [3]}, {}, "import statements"),
        ({"inputs": [[1]], "outputs": [1], "fn_name": "f", "checker": "x"}, {}, "checker"),
    ],
)
def test_what_is_not_understood_is_refused(value: Any, others: dict[str, Any], fault: str) -> None:
    with pytest.raises(InvalidReference, match=fault):
        read_tests(value, others)


def test_limits_are_of_the_data_set() -> None:
    given_here = {"inputs": ["1"], "outputs": ["1"], "time_limit": 2, "memory_limit": 256.0}
    assert read_tests(given_here, {}).limits == GivenLimits(2.0, 256)
    beside = read_tests({"inputs": ["1"], "outputs": ["1"]}, {"time_limit": "1.5"})
    assert beside.limits == GivenLimits(1.5, None)
    said = read_tests({"inputs": ["1"], "outputs": ["1"]}, {"time_limit": "2 seconds"})
    assert said.limits == GivenLimits()


Json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["public_test_cases", "private_test_cases", "official_tests", "test_cases",
                 "test_list", "test", "tests", "inputs", "outputs", "input", "output",
                 "testtype", "fn_name", "metadata", "time_limit", "generated_checker"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=10,
)  # fmt: skip


@given(Json, st.dictionaries(st.sampled_from(["metadata", "fn_name", "prompt"]), Json))
def test_any_document_is_tests_or_refused(value: Any, others: dict[str, Any]) -> None:
    try:
        read_tests(value, others)
    except InvalidReference:
        return
