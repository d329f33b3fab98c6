"""A reference that is a JSON object: what was read of it is known, and the rest is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...types import InvalidReference
from ..tests import GivenLimits

_DESCRIBING = frozenset(
    {
        *("id", "task_id", "question_id", "contest_id", "problem_id", "name", "title", "source"),
        *("difficulty", "platform", "url", "license", "tags", "language", "contest_date"),
        *("question_title", "question_content", "description", "starter_code", "metadata"),
        *("text", "code", "canonical_solution", "solution", "solutions", "raw_tags", "skill_types"),
        *("timeout", "base_input", "plus_input", "atol", "contract", "version", "explanation"),
        *("challenge_test_list", "libs", "doc_struct", "split", "is_public", "date", "testtype"),
        *("lang_cluster", "question", "public", "type", "expected_time_complexity"),
    }
)
"""Columns of the data sets that say nothing of how a program is tested."""
MAX_CPU_S, MAX_MEMORY_MB = 60.0, 4096


class Document:
    """A JSON object with the references beside it."""

    def __init__(self, value: Mapping[str, Any], others: Mapping[str, Any]) -> None:
        self.value = value
        self.others = others
        self._read: set[str] = set()

    def has(self, *keys: str) -> bool:
        """Whether it has all of these keys, and not null under them."""
        return all(self.value.get(key) is not None for key in keys)

    def get(self, key: str) -> Any:
        """What stands under a key here; None: nothing."""
        self._read.add(key)
        return self.value.get(key)

    def text(self, key: str) -> str:
        """The text under a key, here or in a reference of its own; empty: there is none."""
        here = self.get(key)
        return here if isinstance(here, str) else text_of(self.others, key)

    def limits(self) -> GivenLimits:
        """The limits for one test that the data set gives: seconds and MB, as Codeforces has them.

        Raises:
            InvalidReference: they are none.
        """
        self._read.update(("time_limit", "memory_limit"))
        return limits_of({**self.others, **self.value})

    def refuse_unread(self) -> None:
        """Raises InvalidReference where a key was not read that may say how to test."""
        left = [key for key in self.value if key not in self._read and key not in _DESCRIBING]
        if left:
            raise InvalidReference(f"the tests have keys that are not known: {', '.join(left)}")


def text_of(others: Mapping[str, Any], key: str) -> str:
    """The text under a key; empty: there is none."""
    value = others.get(key)
    return value if isinstance(value, str) else ""


def limits_of(values: Mapping[str, Any]) -> GivenLimits:
    """See `Document.limits`."""
    cpu_s = _number(values, "time_limit", MAX_CPU_S)
    memory_mb = _number(values, "memory_limit", MAX_MEMORY_MB)
    return GivenLimits(cpu_s, None if memory_mb is None else max(16, round(memory_mb)))


def _number(values: Mapping[str, Any], key: str, most: float) -> float | None:
    value = values.get(key)
    if value is None:
        return None
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None  # "2 seconds", as APPS' sources have it: for people
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= most:
        raise InvalidReference(f"{key} is {value!r}; want a number above 0, at most {most:g}")
    return float(value)
