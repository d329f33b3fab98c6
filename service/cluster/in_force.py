"""The configuration that the gateways are to serve, as the driver knows it.

The membership actor tells them of it. That actor may be started anew at any time and has lost it
then, so it is told again, in upkeep and while a reload waits.
"""
# pyright: basic

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from rewardplane.config.load import ServiceConfig
from rewardplane.host.progress import Progress

from .membership import ANSWER_S
from .ownership import Ownership

TOLD_S = 30.0
"""How long the membership actor may take to come back when it is to be told something."""

_log = logging.getLogger(__name__)


class InForce:
    """One configuration at a time; `claim` comes first.

    `on_loss` is called where the membership actor has lost what it knew.
    """

    def __init__(self, on_loss: Callable[[], None]) -> None:
        self._on_loss = on_loss
        self.ownership = Ownership()
        self.config: ServiceConfig | None = None
        self.generation = 0
        """Of what the membership actor was told last."""
        self._is_told = False
        self._membership: Any = None

    def claim(self, membership: Any, progress: Progress) -> None:
        """Makes this process the one that serves; raises as `Ownership.claim`."""
        self.generation = self.ownership.claim(membership, progress)
        self._membership = membership

    def take_over(self) -> ServiceConfig | None:
        """Goes on with what is in force already; None: there is nothing, or nobody can tell."""
        import ray
        from ray.exceptions import RayError

        try:
            data: Any = ray.get(self._membership.in_force.remote(), timeout=ANSWER_S)
            self.config = ServiceConfig.from_dict(data) if data else None
        except (RayError, AttributeError, LookupError, TypeError, ValueError) as error:
            _log.warning("what is served on the cluster cannot be read: %s", error)
        self._is_told = self.config is not None
        return self.config

    def put(self, config: ServiceConfig, progress: Progress) -> None:
        """Has the gateways told to serve a configuration.

        Raises:
            DeployFailed: the membership actor does not answer, `tell` tells it later; or another
                process serves.
            Stopped: a signal asked to end.
        """
        self.config, self._is_told = config, False
        progress.expect(self._lacking, TOLD_S)

    def tell(self) -> None:
        """Has the membership actor know who serves, and what.

        Raises:
            RayError: it does not answer.
            DeployFailed: another process serves.
        """
        import ray

        known = self.ownership.renew(self._membership, ANSWER_S)
        self.ownership.check()
        if self.config is None:
            return
        if known < self.generation:
            self._on_loss()
        if not self._is_told:
            published = self._membership.publish.remote(self.config.as_dict(), self.generation)
            generation: Any = ray.get(published, timeout=ANSWER_S)
            self.generation = generation
            self._is_told = True
        elif known < self.generation:
            restored = self._membership.restore.remote(self.generation, self.config.as_dict())
            ray.get(restored, timeout=ANSWER_S)

    def not_served(self) -> str:
        """Whether a gateway does not serve it yet, in words; empty where all do."""
        import ray
        from ray.exceptions import RayError

        if lacking := self._lacking():
            return lacking
        try:
            asked = self._membership.in_use.remote(self.generation)
            switched, *_ = ray.get(asked, timeout=ANSWER_S)
        except RayError as error:
            return _silent(error)
        return "" if switched else "the gateways do not serve the new configuration yet"

    def _lacking(self) -> str:
        from ray.exceptions import RayError

        try:
            self.tell()
        except RayError as error:
            return _silent(error)
        return ""


def _silent(error: Exception) -> str:
    return f"the membership actor does not answer: {error}"
