"""The tests of a program as published data sets have them: one file for each family of shapes.

======================================================================= =====================
reference                                                               file
======================================================================= =====================
``{"public_test_cases": …, "private_test_cases": …}``, or a list of       `livecodebench`
objects with ``testtype``
``{"inputs": […], "outputs": […]}``, with ``fn_name`` for calls          `apps` (TACO too)
``{"input": […], "output": […]}``, or groups of such (``public_tests``)   `code_contests`
``{"official_tests": […], "generated_checker": …}``                      `codeforces`
``[{"input": …, "output": …}, …]``, ``{"test_cases": […]}``               `pairs` (SYNTHETIC too)
``{"test": …, "entry_point": …, "prompt": …}``                            `humaneval`
``["assert f(1) == 2", …]``, ``{"test_list": […]}``                       `mbpp`
Python text                                                              `humaneval`
======================================================================= =====================

A key that no file knows is refused: a test that was silently left out would give a wrong reward.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from ...reading.json_text import NoJson, read_json
from ...types import InvalidReference
from ..tests import Tests
from . import apps, code_contests, codeforces, humaneval, livecodebench, mbpp, pairs
from .document import Document

__all__ = ["read_tests"]

_OBJECTS = (livecodebench, codeforces, apps, code_contests, mbpp, humaneval, pairs)


def read_tests(value: Any, others: Mapping[str, Any]) -> Tests:
    """The tests in a reference; `others` are all references of the item.

    Raises:
        InvalidReference: there are none to be read.
    """
    if isinstance(value, str):
        text = value.strip()
        if livecodebench.is_packed(text):
            return livecodebench.read_packed(text, others)
        if not text.startswith(("{", "[")):
            return humaneval.read_code(value, others)
        try:
            value = read_json(text)
        except NoJson as error:
            raise InvalidReference(f"the tests are no JSON: {error}") from None
    if isinstance(value, list):
        items = cast("list[Any]", value)
        for reader in (mbpp, livecodebench, pairs):
            if reader.is_list(items):
                return reader.read_list(items, others)
        if not items:
            raise InvalidReference("0 inputs for 0 outputs; want one each")
        raise InvalidReference(
            f"{len(items)} tests that are neither assert statements nor objects with input and "
            "output; want one or the other"
        )
    if isinstance(value, dict):
        document = Document(cast("dict[str, Any]", value), others)
        for reader in _OBJECTS:
            if reader.is_object(document):
                tests = reader.read(document)
                document.refuse_unread()
                return tests
        raise InvalidReference(
            f"the tests have {', '.join(sorted(document.value)) or 'nothing'}; "
            "want inputs and outputs, tests, test_list, or test and entry_point"
        )
    raise InvalidReference(f"the tests are {type(value).__name__}, want text, a list or an object")
