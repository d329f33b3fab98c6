"""What a replica of a model tells the membership actor of itself, and what it hears there."""
# pyright: basic

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar

import ray
from ray.exceptions import RayError
from rewardplane.config.models import ModelConfig
from rewardplane.models.host import ModelHost
from rewardplane.rewards.models.endpoint_model import EndpointModel
from rewardplane.rewards.models.model_endpoint import ModelEndpoint

from .doors import STALE_S, DoorLimits
from .membership import NAME as MEMBERSHIP
from .names import NAMESPACE

ASK_S = 1.0
WAIT_S = 0.1
TELL_S = 5.0
PATIENCE_S = 30.0
"""How long one that starts asks an actor that does not answer."""

LEASE_S = 0.8 * STALE_S
"""How long a door may let calls through after it asked for its part: before others can have it."""

_T = TypeVar("_T")

_log = logging.getLogger(__name__)


class Presence:
    """Owned by the replica's event loop: `opened`, the start of the host, `follow`, `leave`.

    The door of an endpoint is kept from `opened` on: a start may take longer than one that says
    nothing is taken to be there.
    """

    def __init__(self, config: ModelConfig) -> None:
        self._config = config
        self._id = ray.get_runtime_context().get_actor_id()
        self._share: DoorLimits | None = None
        self._lease_s = 0.0
        """Until when the part is this replica's; of the event loop's clock."""
        self._model: EndpointModel | None = None
        self._following: list[asyncio.Task[None]] = []
        try:
            self._membership: Any = ray.get_actor(MEMBERSHIP, namespace=NAMESPACE)
        except ValueError:  # nobody else is there to share anything with
            self._membership = None

    async def opened(self) -> None:
        """Waits until all other doors of an endpoint have made room. Of weights: does nothing."""
        if self._config.settings.runs != "endpoint" or self._membership is None:
            return
        while self._share is None:
            if not await self._patiently(self._ask):
                await asyncio.sleep(WAIT_S)
        self._following.append(asyncio.ensure_future(self._keep_door()))

    def attach(self, model: EndpointModel) -> None:
        """Holds an endpoint's model to the part of this door from now on."""
        self._model = model
        self._apply()

    async def follow(self, host: ModelHost) -> None:
        """Compares what the model is with what it was before, and goes on to do so."""
        if self._membership is None:
            return
        await self._patiently(partial(self._compare, host))
        self._following.append(asyncio.ensure_future(self._follow(host)))

    async def leave(self) -> None:
        """The replica stops."""
        for task in self._following:
            task.cancel()
        if self._share is not None:
            with contextlib.suppress(RayError):  # then it is gone when it has not asked for a while
                await self._membership.close_door.remote(self._config.name, self._id)

    async def _keep_door(self) -> None:
        while True:
            await asyncio.sleep(WAIT_S if self._takes_turns else ASK_S)
            await self._told(self._ask)

    async def _follow(self, host: ModelHost) -> None:
        while True:
            await asyncio.sleep(TELL_S)
            await self._told(partial(self._compare, host))

    async def _told(self, ask: Callable[[], Awaitable[Any]]) -> None:
        """Asks, whatever that raises: one that asked no more would not be there to others."""
        try:
            await ask()
        except RayError as error:
            _log.warning("the membership actor does not answer: %s", error)
        except Exception:  # noqa: BLE001 - as above
            _log.exception("what the membership actor said cannot be followed")

    async def _patiently(self, ask: Callable[[], Awaitable[_T]]) -> _T:
        """What `ask` returns: an actor that is being started anew is no reason to load again."""
        until_s = time.monotonic() + PATIENCE_S
        while True:
            try:
                return await ask()
            except RayError as error:
                if time.monotonic() >= until_s:
                    raise
                _log.warning("the membership actor does not answer: %s", error)
                await asyncio.sleep(ASK_S)

    @property
    def _takes_turns(self) -> bool:
        """Whether there are more doors than calls that may be in flight."""
        share, own = self._share, self._limits()
        return share is not None and (not share.concurrency or share.parts > own.concurrency)

    def _limits(self) -> DoorLimits:
        at = ModelEndpoint.model_validate(self._config.settings.endpoint)
        return DoorLimits(at.concurrency, at.requests_per_minute, at.tokens_per_minute)

    async def _ask(self) -> bool:
        """Asks for the part of this door, and keeps to it; whether there was an answer."""
        asked_s = asyncio.get_running_loop().time()
        in_flight = self._model.in_flight if self._model is not None else 0
        share: DoorLimits | None = await self._membership.share.remote(
            self._config.name, self._id, self._limits(), has=self._share, in_flight=in_flight
        )
        self._share = share or self._share
        if self._share is not None:
            self._lease_s = asked_s + LEASE_S
            self._apply()
        return share is not None

    def _apply(self) -> None:
        if self._model is not None and self._share is not None:
            self._model.limit(*self._share)
            self._model.lease(self._lease_s)

    async def _compare(self, host: ModelHost) -> None:
        """Looks whether the model is the one that this version of it began with."""
        model = host.identity
        if not model or host.changed:  # what has changed is not what others are compared with
            return
        first = await self._membership.first_model.remote(self._config.fingerprint, model)
        if first == model:
            return
        name = self._config.name
        if self._config.settings.runs == "endpoint":
            host.changed = (
                f"the endpoint of model {name!r} answers as {model!r}, was {first!r}: its numbers"
                " are another model's; set `reports` to it and reload to accept it"
            )
        else:
            host.changed = (
                f"the weights of model {name!r} were written over: their digest is {model}, was"
                f" {first}; reload the service to serve the new ones"
            )
        _log.error("%s", host.changed)
