"""The tests of a program, as data sets have them.

======================================================================= ======================
reference                                                               tests
======================================================================= ======================
``{"inputs": […], "outputs": […]}``                                     input and output texts
``[{"input": "…", "output": "…"}, …]``, also under ``"tests"``            the same
the first with ``"fn_name": "f"``, the second under ``"tests"`` with it  calls of f
``{"test": "def check(candidate): …", "entry_point": "f", "prompt": …}``  HumanEval's
``["assert f(1) == 2", …]``, also under ``"test_list"``                   MBPP's
Python text with ``assert`` in it                                       either of the last two
======================================================================= ======================

An input of a call is a list of arguments, or text with one JSON document a line, as LiveCodeBench
has it; an output then is a JSON document too. `entry_point`, `fn_name` and `prompt` may also be
references of their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from ..reading.json_text import NoJson, read_json
from ..types import InvalidReference

MAX_TESTS = 10_000


@dataclass(slots=True, frozen=True)
class StdinTests:
    """Each input with what the program must write."""

    inputs: Sequence[str]
    outputs: Sequence[str]


@dataclass(slots=True, frozen=True)
class CallTests:
    """Each list of arguments with the value that `function` must return."""

    function: str
    inputs: Sequence[Sequence[Any]]
    outputs: Sequence[Any]


@dataclass(slots=True, frozen=True)
class AssertTests:
    """Test code. `prompt` is what a program continues, and what the tests may build on.

    With an `entry_point` the code defines ``check(candidate)``; without, its assert statements are
    at the top level and call the program's functions by name.
    """

    code: str
    entry_point: str = ""
    prompt: str = ""


Tests = StdinTests | CallTests | AssertTests


def read_tests(value: Any, others: Mapping[str, Any]) -> Tests:
    """The tests in a reference; `others` are all references of the item.

    Raises:
        InvalidReference: there are none to be read.
    """
    if isinstance(value, str):
        text = value.strip()
        if text.startswith(("{", "[")):
            try:
                return read_tests(read_json(text), others)
            except NoJson as error:
                raise InvalidReference(f"the tests are no JSON: {error}") from None
        return _asserts(value, others)
    if isinstance(value, list):
        return _listed(cast("list[Any]", value), others)
    if isinstance(value, dict):
        return _named(cast("dict[str, Any]", value), others)
    raise InvalidReference(f"the tests are {type(value).__name__}, want text, a list or an object")


def _named(value: Mapping[str, Any], others: Mapping[str, Any]) -> Tests:
    both = {**others, **value}
    for key in ("tests", "test_list"):
        if isinstance(value.get(key), list):
            return _listed(cast("list[Any]", value[key]), both)
    for key in ("test", "tests"):
        if isinstance(value.get(key), str):
            return _asserts(value[key], both)
    inputs, outputs = value.get("inputs"), value.get("outputs")
    if isinstance(inputs, list) and isinstance(outputs, list):
        return _cases(cast("list[Any]", inputs), cast("list[Any]", outputs), both)
    raise InvalidReference(
        f"the tests have {', '.join(sorted(value)) or 'nothing'}; "
        "want inputs and outputs, tests, test_list, or test and entry_point"
    )


def _listed(tests: Sequence[Any], others: Mapping[str, Any]) -> Tests:
    if tests and all(isinstance(test, str) for test in tests):
        setup = others.get("test_setup_code")
        lines = [setup] if isinstance(setup, str) else []
        return _asserts("\n".join([*lines, *tests]), {**others, "entry_point": ""})
    if not all(isinstance(t, dict) and "input" in t and "output" in t for t in tests):
        raise InvalidReference(
            "want a list of assert statements, or of objects with input and output"
        )
    return _cases([t["input"] for t in tests], [t["output"] for t in tests], others)


def _asserts(code: str, others: Mapping[str, Any]) -> AssertTests:
    if "assert" not in code:
        raise InvalidReference("the tests have no assert statement")
    return AssertTests(code, _text(others, "entry_point"), _text(others, "prompt"))


def _cases(
    inputs: Sequence[Any], outputs: Sequence[Any], others: Mapping[str, Any]
) -> StdinTests | CallTests:
    if len(inputs) != len(outputs) or not inputs:
        raise InvalidReference(f"{len(inputs)} inputs for {len(outputs)} outputs; want one each")
    if len(inputs) > MAX_TESTS:
        raise InvalidReference(f"{len(inputs)} tests; at most {MAX_TESTS}")
    function = _text(others, "fn_name") or _text(others, "entry_point")
    if function:
        pairs = [
            _call(i, given, out) for i, (given, out) in enumerate(zip(inputs, outputs, strict=True))
        ]
        return CallTests(function, [given for given, _ in pairs], [out for _, out in pairs])
    return StdinTests(
        [_lines(i, "input", text) for i, text in enumerate(inputs)],
        [_lines(i, "output", text) for i, text in enumerate(outputs)],
    )


def _call(index: int, given: Any, expected: Any) -> tuple[Sequence[Any], Any]:
    if isinstance(given, list):
        return cast("list[Any]", given), expected
    if isinstance(given, str):
        try:
            arguments = [read_json(line) for line in given.split("\n") if line.strip()]
            return arguments, read_json(expected) if isinstance(expected, str) else expected
        except NoJson as error:
            raise InvalidReference(f"test {index} is no JSON: {error}") from None
    raise InvalidReference(f"input {index} is {type(given).__name__}, want a list of arguments")


def _lines(index: int, what: str, text: Any) -> str:
    if isinstance(text, str):
        return text
    if isinstance(text, list):
        lines = cast("list[Any]", text)
        if all(isinstance(line, str) for line in lines):
            return "\n".join(lines)  # as APPS has some
    raise InvalidReference(f"{what} {index} is no text")


def _text(others: Mapping[str, Any], key: str) -> str:
    value = others.get(key)
    return value if isinstance(value, str) else ""
