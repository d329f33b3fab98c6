"""Codeforces as open-r1 has it: official tests, a checker in Python, limits for each problem.

Source: https://huggingface.co/datasets/open-r1/codeforces.
"""

from __future__ import annotations

from typing import Any, cast

from ...types import InvalidReference
from ..tests import StdinTests
from .document import Document
from .pairs import is_list, tests_of

_IGNORED = ("aliases", "interaction_format", "note", "editorial", "contest_name", "contest_type")
_MORE_IGNORED = ("contest_start", "contest_start_year", "index", "rating", "tags", "input_format")
_MOST_IGNORED = (
    "output_format",
    "generated_tests",
    "testset_size",
    "input_mode",
    "executable",
    "examples",
)


def is_object(document: Document) -> bool:
    """Whether it has official tests."""
    return document.has("official_tests")


def read(document: Document) -> StdinTests:
    """The tests.

    Raises:
        InvalidReference: some are left out, so that who passes the others may yet be wrong.
    """
    for key in (*_IGNORED, *_MORE_IGNORED, *_MOST_IGNORED):
        document.get(key)
    if document.get("official_tests_complete") is False:
        raise InvalidReference("official_tests_complete is false: some official tests are missing")
    if document.value.get("input_mode") not in (None, "", "stdio"):
        raise InvalidReference(f"input_mode {document.value['input_mode']!r}; want stdio")
    cases = document.get("official_tests")
    if not isinstance(cases, list) or not is_list(cast("list[Any]", cases)):
        raise InvalidReference("official_tests: want objects with input and output, one at least")
    pairs = cast("list[dict[str, Any]]", cases)
    tests = tests_of(
        [p["input"] for p in pairs], [p["output"] for p in pairs], "", "", document.limits()
    )
    checker = document.text("generated_checker") or document.text("checker")
    if not isinstance(tests, StdinTests):
        raise InvalidReference("official_tests: want text for stdin and stdout")
    return StdinTests(tests.inputs, tests.outputs, checker, tests.limits)
