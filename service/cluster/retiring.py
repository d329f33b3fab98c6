"""Versions that are served no more: they go when no call uses them."""
# pyright: basic

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from typing import Any

from .membership import ANSWER_S, STALE_S
from .names import fingerprint_of


class Retiring:
    """The applications whose replicas are to go."""

    def __init__(self, apps: Iterable[str] = ()) -> None:
        self._apps = set(apps)
        self._restored_s = -math.inf

    def add(self, apps: Iterable[str]) -> None:
        """Has applications go."""
        self._apps |= set(apps)

    def keep(self, apps: Iterable[str]) -> None:
        """Has applications stay, or be forgotten that are gone."""
        self._apps -= set(apps)

    def restored(self) -> None:
        """The membership actor was started anew: gateways tell it again what they use."""
        self._restored_s = time.monotonic()

    def unused(self, membership: Any) -> list[str]:
        """Those that no call uses, as far as it is known.

        Raises:
            RayError: the membership actor does not answer.
        """
        import ray

        if not self._apps or time.monotonic() - self._restored_s <= STALE_S:
            return []
        _switched, used, _addresses = ray.get(membership.in_use.remote(0), timeout=ANSWER_S)
        return [app for app in self._apps if fingerprint_of(app) not in used]
