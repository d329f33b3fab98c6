"""MBPP and MBPP+: a list of assert statements, with imports and set-up code beside it.

Sources: https://huggingface.co/datasets/google-research-datasets/mbpp,
https://huggingface.co/datasets/evalplus/mbppplus.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from ...types import InvalidReference
from ..tests import AssertTests
from .document import Document, limits_of, text_of

_LISTS = ("test_list", "tests")


def is_list(items: Sequence[Any]) -> bool:
    """Whether it is a list of assert statements."""
    return bool(items) and all(isinstance(item, str) for item in items)


def read_list(items: Sequence[Any], others: Mapping[str, Any]) -> AssertTests:
    """The tests of a list."""
    return AssertTests(
        list(items),
        _setup(others.get("test_imports"), text_of(others, "test_setup_code")),
        "",
        text_of(others, "prompt") if _is_code(text_of(others, "prompt")) else "",
        described(others),
        limits_of(others),
    )


def is_object(document: Document) -> bool:
    """Whether it has a list of assert statements, and no text of tests beside (MBPP+'s `test`)."""
    if isinstance(document.value.get("test"), str):
        return False
    return any(
        isinstance(document.value.get(key), list) and is_list(document.value[key]) for key in _LISTS
    )


def read(document: Document) -> AssertTests:
    """The tests of an example."""
    key = next(key for key in _LISTS if is_list(document.value.get(key) or ()))
    for read in ("test_imports", "test_setup_code", "prompt", "entry_point"):
        document.get(read)
    document.limits()
    return read_list(document.get(key), {**document.others, **document.value})


def described(others: Mapping[str, Any]) -> str:
    """The texts that say what is wanted of the program."""
    keys = ("prompt", "text", "description", "question", "question_content", "starter_code")
    return "\n".join(text_of(others, key) for key in keys)


def _setup(imports: Any, code: str) -> str:
    if imports is None:
        return code
    if isinstance(imports, str):
        imports = [imports]
    lines = cast("list[Any]", imports) if isinstance(imports, list) else [imports]
    if not all(isinstance(line, str) for line in lines):
        raise InvalidReference("test_imports: want a list of import statements")
    return "\n".join([*lines, code])


def _is_code(prompt: str) -> bool:
    """MBPP's prompt is a sentence, others' is code."""
    return "def " in prompt or "import " in prompt or "class " in prompt
