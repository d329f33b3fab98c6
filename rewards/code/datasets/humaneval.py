"""HumanEval, HumanEval+ and those like it: test code as one text, with an entry point and a prompt.

LeetCodeDataset (``Solution().f`` as entry point, ListNode and TreeNode in the prompt), BigCodeBench
and KodCode (`unittest` classes, pytest functions) have this shape too.

Sources: https://huggingface.co/datasets/openai/openai_humaneval,
https://huggingface.co/datasets/newfacade/LeetCodeDataset,
https://huggingface.co/datasets/bigcode/bigcodebench.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...types import InvalidReference
from ..tests import AssertTests
from .document import Document, limits_of, text_of
from .mbpp import described

_KEYS = ("test", "tests")


def is_object(document: Document) -> bool:
    """Whether it has test code as text."""
    return any(isinstance(document.value.get(key), str) for key in _KEYS)


def read(document: Document) -> AssertTests:
    """The tests of an example. MBPP+ has its assert statements beside them: they are the same."""
    key = next(key for key in _KEYS if isinstance(document.value.get(key), str))
    for read in ("entry_point", "prompt", "test_list", "test_imports", "test_setup_code"):
        document.get(read)
    document.limits()
    return read_code(document.get(key), {**document.others, **document.value})


def read_code(code: str, others: Mapping[str, Any]) -> AssertTests:
    """The tests of a text.

    Raises:
        InvalidReference: it is empty, or no code at all.
    """
    if not code.strip():
        raise InvalidReference("the tests have no assert statement: they are empty")
    if not any(word in code for word in ("assert", "(", "import ")):
        raise InvalidReference("the tests have no assert statement and call nothing")
    entry_point = text_of(others, "entry_point") or text_of(others, "fn_name")
    return AssertTests(
        [code],
        text_of(others, "test_setup_code"),
        entry_point if "def check" in code else "",
        text_of(others, "prompt"),
        described(others),
        limits_of(others),
    )
