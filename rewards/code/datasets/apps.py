"""APPS and TACO: parallel lists of inputs and outputs; calls where there is a `fn_name`.

Sources: https://huggingface.co/datasets/codeparrot/apps (`input_output`, and its `testing_util`),
https://huggingface.co/datasets/BAAI/TACO.
"""

from __future__ import annotations

from typing import Any, cast

from ...types import InvalidReference
from ..tests import CallTests, StdinTests
from .document import Document
from .pairs import either, tests_of


def is_object(document: Document) -> bool:
    """Whether it has the two lists."""
    return all(isinstance(document.value.get(key), list) for key in ("inputs", "outputs"))


def read(document: Document) -> StdinTests | CallTests:
    """The tests.

    Of a call the expected value stands alone or as the one item of a list, and their grader takes
    either: so does this.
    """
    inputs = cast("list[Any]", document.get("inputs"))
    outputs = cast("list[Any]", document.get("outputs"))
    function = document.text("fn_name") or document.text("entry_point")
    tests = tests_of(inputs, outputs, function, document.text("prompt"), document.limits())
    checker = document.text("checker") or document.text("generated_checker")
    if isinstance(tests, StdinTests):
        return StdinTests(tests.inputs, tests.outputs, checker, tests.limits)
    if checker:
        raise InvalidReference("a checker is for programs with stdin and stdout")
    right = [either(values) for values in tests.outputs]
    return CallTests(tests.function, tests.inputs, right, tests.prompt, tests.limits)
