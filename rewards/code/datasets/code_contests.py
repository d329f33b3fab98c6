"""CodeContests: tests as an object of two lists, public, private and generated ones apart.

Source: https://huggingface.co/datasets/deepmind/code_contests.
"""

from __future__ import annotations

from typing import Any, cast

from ...types import InvalidReference
from ..tests import CallTests, StdinTests
from .document import Document
from .pairs import tests_of

_GROUPS = ("public_tests", "private_tests", "generated_tests")


def is_object(document: Document) -> bool:
    """Whether it has the two lists, or groups of such."""
    return _is_group(document.value) or any(_is_group(document.value.get(key)) for key in _GROUPS)


def read(document: Document) -> StdinTests | CallTests:
    """The tests of all groups, in their order."""
    if _is_group(document.value):
        groups = [{key: document.get(key) for key in ("input", "output")}]
    else:
        groups = [group for key in _GROUPS if (group := document.get(key)) is not None]
    if not all(_is_group(group) for group in groups):
        raise InvalidReference("a group of tests is no object of two lists, input and output")
    inputs: list[Any] = []
    outputs: list[Any] = []
    for group in groups:
        if len(group["input"]) != len(group["output"]):
            raise InvalidReference(
                f"{len(group['input'])} inputs for {len(group['output'])} outputs; want one each"
            )
        inputs += group["input"]
        outputs += group["output"]
    return tests_of(inputs, outputs, document.text("fn_name"), "", document.limits())


def _is_group(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    found = cast("dict[str, Any]", value)
    return all(isinstance(found.get(key), list) for key in ("input", "output"))
