"""A reward whose set-up fails in the replica."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class setup_fails:  # noqa: N801 - named like the function that it stands in for
    """Cannot load what it needs."""

    def setup(self) -> None:
        raise RuntimeError("no weights here")

    def score(self, items: Sequence[Any]) -> list[float]:
        return [0.0 for _ in items]
