"""Which process runs the service of a cluster: one at a time, told as long as it lives."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from typing import Any

from rewardplane.host.progress import DeployFailed, Progress

from .membership import STALE_S

RENEW_S = 2.0
READY_S = 60.0


class Ownership:
    """This process's claim of the membership actor.

    A start or a reload may take minutes, so the claim is renewed from a thread of its own.
    """

    def __init__(self) -> None:
        self._owner = f"pid {os.getpid()} on {socket.gethostname()}"
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self.successor = ""
        """Who took the place of this process while it was silent for a while; empty: nobody."""

    def claim(self, membership: Any, progress: Progress) -> int:
        """Waits until nobody else serves; returns the generation that is in force.

        Raises:
            DeployFailed: somebody does.
            Stopped: a signal asked to end.
        """
        import ray

        generation = 0

        def claimed() -> str:
            nonlocal generation
            known: Any = ray.get(membership.claim.remote(self._owner), timeout=READY_S)
            if isinstance(known, str):
                return f"the cluster has a rewardplane service already, of {known}"
            generation = known
            return ""

        # An owner that was killed is known to be gone after a while.
        progress.expect(claimed, STALE_S + 2)
        self._thread = threading.Thread(target=self._renew, args=(membership,), daemon=True)
        self._thread.start()
        return generation

    def end(self) -> None:
        """Claims no more. To be called before the connection to Ray ends."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def check(self) -> None:
        """Raises DeployFailed where another process has taken the place of this one."""
        if self.successor:
            raise DeployFailed(f"the cluster is served by {self.successor} now")

    def renew(self, membership: Any, limit_s: float) -> int:
        """Claims it once more; returns the generation that the membership actor knows.

        Raises:
            RayError: the actor does not answer in `limit_s`.
        """
        import ray

        known: Any = ray.get(membership.claim.remote(self._owner), timeout=limit_s)
        if isinstance(known, str):
            self.successor = known
            return 0
        self.successor = ""
        return known

    def _renew(self, membership: Any) -> None:
        while not self._ended.wait(RENEW_S):
            with contextlib.suppress(Exception):  # the actor starts anew; `upkeep` tells of it
                membership.claim.remote(self._owner)
