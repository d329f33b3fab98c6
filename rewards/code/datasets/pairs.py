"""Tests as pairs of input and output: a plain list, and SYNTHETIC's (PrimeIntellect) `test_cases`.

A pair is text and text, for stdin and stdout, or, where a function is named, arguments and a value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from ...reading.json_text import NoJson, read_json
from ...types import InvalidReference
from ..tests import CallTests, GivenLimits, StdinTests, checked
from .document import Document, limits_of, text_of

_LISTS = ("tests", "test_cases", "cases", "examples")
_KEYS = frozenset({"input", "output", "fn_name", "type", "explanation", "id", "testtype"})


def is_list(items: Sequence[Any]) -> bool:
    """Whether it is a list of pairs."""
    return bool(items) and all(
        isinstance(item, dict) and "input" in item and "output" in item for item in items
    )


def is_object(document: Document) -> bool:
    """Whether it has a list of pairs."""
    return any(isinstance(document.value.get(key), list) for key in _LISTS)


def read(document: Document) -> StdinTests | CallTests:
    """The tests of an object.

    Raises:
        InvalidReference: its list is none of pairs.
    """
    key = next(key for key in _LISTS if isinstance(document.value.get(key), list))
    items = cast("list[Any]", document.get(key))
    if not is_list(items):
        raise InvalidReference(f"{key}: want objects with input and output, one at least")
    function = document.text("fn_name") or document.text("entry_point")
    return _tests(items, function, document.text("prompt"), document.limits())


def read_list(items: Sequence[Any], others: Mapping[str, Any]) -> StdinTests | CallTests:
    """The tests of a list."""
    function = text_of(others, "fn_name") or text_of(others, "entry_point")
    return _tests(items, function, text_of(others, "prompt"), limits_of(others))


def _tests(
    items: Sequence[Any], function: str, prompt: str, limits: GivenLimits
) -> StdinTests | CallTests:
    for index, item in enumerate(items):
        if odd := [key for key in item if key not in _KEYS]:
            raise InvalidReference(f"test {index} has keys that are not known: {', '.join(odd)}")
    named = {item.get("fn_name") for item in items} - {None, ""}
    if named and (len(named) > 1 or (function and named != {function})):
        raise InvalidReference(f"the tests call {', '.join(sorted(map(str, named)))}; want one")
    function = function or str(next(iter(named), ""))
    inputs, outputs = [item["input"] for item in items], [item["output"] for item in items]
    tests = tests_of(inputs, outputs, function, prompt, limits)
    if isinstance(tests, CallTests) and all(i.get("type") == "function_call" for i in items):
        right = [either(values) for values in tests.outputs]  # SYNTHETIC's
        return CallTests(function, tests.inputs, right, prompt, limits)
    return tests


def either(values: Sequence[Any]) -> Sequence[Any]:
    """What is right where a value may stand alone or as the one item of a list."""
    (value,) = values
    if isinstance(value, list) and len(cast("list[Any]", value)) == 1:
        return [value, cast("list[Any]", value)[0]]
    return values


def tests_of(
    inputs: Sequence[Any],
    outputs: Sequence[Any],
    function: str,
    prompt: str,
    limits: GivenLimits,
) -> StdinTests | CallTests:
    """Calls of a function, or where it has no name programs with stdin and stdout.

    Raises:
        InvalidReference: what is there is neither.
    """
    checked(inputs, outputs)
    if function:
        calls = [call(i, *pair) for i, pair in enumerate(zip(inputs, outputs, strict=True))]
        return CallTests(
            function,
            [arguments for arguments, _right in calls],
            [right for _arguments, right in calls],
            prompt,
            limits,
        )
    return StdinTests(
        [lines(i, "input", text) for i, text in enumerate(inputs)],
        [lines(i, "output", text) for i, text in enumerate(outputs)],
        limits=limits,
    )


def call(index: int, given: Any, expected: Any) -> tuple[Sequence[Any], Sequence[Any]]:
    """The arguments of a call, and the values that are right for it.

    Text is one JSON document a line, as LiveCodeBench has it; other arguments are a list.
    """
    if isinstance(given, list):
        return cast("list[Any]", given), [expected]
    if isinstance(given, str):
        try:
            arguments = [read_json(line) for line in given.split("\n") if line.strip()]
            return arguments, [read_json(expected) if isinstance(expected, str) else expected]
        except NoJson as error:
            raise InvalidReference(f"test {index} is no JSON: {error}") from None
    raise InvalidReference(f"input {index} is {type(given).__name__}, want a list of arguments")


def lines(index: int, what: str, text: Any) -> str:
    """A text, or a list of its lines, as APPS has some."""
    if isinstance(text, str):
        return text
    if isinstance(text, list):
        parts = cast("list[Any]", text)
        if all(isinstance(line, str) for line in parts):
            return "\n".join(parts)
    raise InvalidReference(f"{what} {index} is no text")
