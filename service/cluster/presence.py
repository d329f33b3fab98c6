"""What a replica of a model tells the membership actor of itself, and what it hears there."""
# pyright: basic

from __future__ import annotations

import asyncio
import logging
from typing import Any

import ray
from ray.exceptions import RayError
from rewardplane.config.models import ModelConfig
from rewardplane.models.host import ModelHost
from rewardplane.rewards.models.model_endpoint import ModelEndpoint

from .doors import DoorLimits
from .membership import NAME as MEMBERSHIP
from .names import NAMESPACE

ASK_S = 1.0
WAIT_S = 0.1
TELL_S = 5.0

_log = logging.getLogger(__name__)


class Presence:
    """Owned by the replica's event loop: `opened`, the start of the host, `follow`, `leave`."""

    def __init__(self, config: ModelConfig) -> None:
        self._config = config
        self._id = ray.get_runtime_context().get_actor_id()
        self._share: DoorLimits | None = None
        self._following: asyncio.Task[None] | None = None
        try:
            self._membership: Any = ray.get_actor(MEMBERSHIP, namespace=NAMESPACE)
        except ValueError:  # nobody else is there to share anything with
            self._membership = None

    async def opened(self) -> DoorLimits | tuple[()]:
        """The limits of an endpoint's door, as soon as all others have made room for it.

        Of weights: none, at once.
        """
        if self._config.settings.runs != "endpoint" or self._membership is None:
            return ()
        while True:
            self._share = await self._ask()
            if self._share is not None:
                return self._share
            await asyncio.sleep(WAIT_S)

    async def follow(self, host: ModelHost) -> None:
        """Compares what was loaded with what was before, and goes on to tell of this replica."""
        if self._membership is None:
            return
        if self._config.settings.runs != "endpoint":
            await self._compare(host)
        self._following = asyncio.ensure_future(self._follow(host))

    async def leave(self) -> None:
        """The replica stops."""
        if self._following is not None:
            self._following.cancel()
        if self._share is not None:
            await self._membership.close_door.remote(self._config.name, self._id)

    async def _follow(self, host: ModelHost) -> None:
        is_door = self._share is not None
        while True:
            await asyncio.sleep(ASK_S if is_door else TELL_S)
            try:
                if not is_door:
                    await self._compare(host)
                elif (share := await self._ask()) not in (None, self._share):
                    self._share = share
                    host.limit(*share)
            except RayError as error:
                _log.warning("the membership actor does not answer: %s", error)

    async def _ask(self) -> DoorLimits | None:
        at = ModelEndpoint.model_validate(self._config.settings.endpoint)
        own = DoorLimits(at.concurrency, at.requests_per_minute, at.tokens_per_minute)
        return await self._membership.share.remote(self._config.name, self._id, own)

    async def _compare(self, host: ModelHost) -> None:
        """Looks whether the weights are those that this version of the model began with."""
        digest = host.facts.weights_digest
        if not digest:
            return
        asked = self._membership.first_weights.remote(self._config.fingerprint, digest)
        first = await asked
        if first == digest or host.changed:
            return
        host.changed = (
            f"the weights of model {self._config.name!r} were written over: their digest is"
            f" {digest}, was {first}; reload the service to serve the new ones"
        )
        _log.error("%s", host.changed)
