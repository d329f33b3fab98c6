"""Where the gateways learn what to serve: one small actor that outlives any of them.

The driver publishes a configuration under the next generation; each gateway asks for what comes
after the generation that it knows, and says which versions it still uses. A gateway that Serve
restarts asks like any other, so a reload is never missed.
"""
# pyright: basic

from __future__ import annotations

import asyncio
import logging
import time
import warnings
from dataclasses import dataclass, field
from typing import Any

from rewardplane.gateway.load import Load, merged

from .doors import DoorLimits, Doors
from .names import MODEL

_log = logging.getLogger(__name__)

NAME = "rewardplane-membership"
ANSWER_S = 10.0
"""How long the driver waits for this actor, and for Serve's controller."""
POLL_S = 1.0
STALE_S = 10.0
"""A gateway that has not asked for so long is gone."""


@dataclass(slots=True)
class _Gateway:
    generation: int
    in_use: frozenset[str]
    address: str
    front: str
    seen_s: float = field(default_factory=time.monotonic)


class Membership:
    """The configuration in force and what the gateways make of it."""

    def __init__(self) -> None:
        self._generation = 0
        self._config: dict[str, Any] = {}
        self._published = asyncio.Event()
        self._gateways: dict[str, _Gateway] = {}
        self._loads: dict[str, tuple[float, dict[str, Load]]] = {}
        self._counts: dict[str, tuple[int, int]] = {}
        self._owner = ""
        self._owned_s = 0.0
        self._doors = Doors(anew=_is_restarted())

    async def publish(self, config: dict[str, Any], after: int = 0) -> int:
        """Puts a configuration in force; returns its generation, which comes after `after`.

        Where this actor was started anew, who publishes may know of a later one than it does.
        """
        known = max((g.generation for g in self._gateways.values()), default=0)
        self._generation = max(self._generation, known, after) + 1
        self._config = config
        self._counts.clear()  # what is still there tells of itself at once
        self._published.set()
        self._published = asyncio.Event()
        return self._generation

    async def claim(self, owner: str) -> int | str:
        """Notes who serves; returns the generation in force, or the owner that there is.

        Generation 0: none was published, or this actor has lost it. An owner that has not claimed
        for `STALE_S` is gone: another one may take its place, and keeps it.
        """
        now_s = time.monotonic()
        if self._owner not in ("", owner) and now_s - self._owned_s < STALE_S:
            return self._owner
        self._owner, self._owned_s = owner, now_s
        return self._generation

    async def in_force(self) -> dict[str, Any]:
        """The configuration; empty where none was published, or this actor has lost it."""
        return self._config

    async def fronts(self) -> list[str]:
        """What the gateways that are there listen on and were started with."""
        return sorted({g.front for g in self._living() if g.address})

    async def restore(self, generation: int, config: dict[str, Any]) -> None:
        """Puts back what was in force, where this actor was started anew and has lost it."""
        if self._generation < generation:
            self._generation, self._config = generation, config
            self._published.set()
            self._published = asyncio.Event()

    async def ask(
        self, gateway: str, generation: int, in_use: list[str], address: str, front: str
    ) -> tuple[int, dict[str, Any]] | None:
        """What comes after `generation`, as soon as it is there; None after a second without."""
        self._gateways[gateway] = _Gateway(generation, frozenset(in_use), address, front)
        if self._generation <= generation:
            try:
                async with asyncio.timeout(POLL_S):
                    await self._published.wait()
            except TimeoutError:
                return None
        return self._generation, self._config

    async def prepare(self, app: str, definition: Any) -> str:
        """Shows a reward to the application of its model; what the model says against it.

        Here, because Serve's router wants a loop that lives on, which the driver has not.
        """
        from ray.exceptions import RayError
        from ray.serve.exceptions import RayServeException

        try:
            await _handle(app).prepare.remote(definition)
        except (RayError, RayServeException) as error:
            lines = str(getattr(error, "cause", None) or error).strip().splitlines()
            return lines[-1] if lines else repr(error)
        return ""

    async def recent(self, app: str) -> list[Any]:
        """As `ModelHost.recent`, of a replica of an application."""
        return await _handle(app).recent.remote()

    async def shadow(self, app: str, jobs: list[Any]) -> list[str]:
        """As `ModelHost.shadow`, of a replica of an application."""
        return await _handle(app).shadow.remote(jobs)

    async def report(self, gateway: str, loads: dict[str, Load]) -> dict[str, tuple[int, int]]:
        """What a gateway has to do, by the fingerprint of the reward or model.

        Returns how many replicas of these run, and how many should, as far as the controller said.
        """
        self._loads[gateway] = time.monotonic(), loads
        return {part: self._counts[part] for part in loads if part in self._counts}

    async def load(self, part: str, up: int, wanted: int) -> Load | None:
        """What all gateways have to do for a reward or a model; None: none has told of it.

        `up` and `wanted` is what the controller has of its replicas.
        """
        self._counts[part] = up, wanted
        since_s = time.monotonic() - STALE_S
        self._loads = {k: told for k, told in self._loads.items() if told[0] >= since_s}
        found = [loads[part] for _at_s, loads in self._loads.values() if part in loads]
        return merged(found) if found else None

    async def share(
        self,
        model: str,
        replica: str,
        limits: DoorLimits,
        *,
        has: DoorLimits | None = None,
        in_flight: int = 0,
    ) -> DoorLimits | None:
        """As `Doors.share`."""
        return self._doors.share(model, replica, limits, has=has, in_flight=in_flight)

    async def close_door(self, model: str, replica: str) -> None:
        """As `Doors.leave`."""
        self._doors.leave(model, replica)

    async def first_model(self, part: str, model: str) -> str:
        """As `Doors.first_model`."""
        return self._doors.first_model(part, model)

    async def leave(self, gateway: str) -> None:
        """A gateway stops."""
        self._gateways.pop(gateway, None)
        self._loads.pop(gateway, None)

    async def in_use(self, generation: int) -> tuple[bool, list[str], list[str]]:
        """Whether all gateways serve `generation`; the versions in use; the gateways' addresses."""
        gateways = self._living()
        switched = bool(gateways) and all(
            g.generation >= generation and g.address for g in gateways
        )
        used = sorted({f for g in gateways for f in g.in_use})
        return switched, used, sorted(g.address for g in gateways)

    def _living(self) -> list[_Gateway]:
        now_s = time.monotonic()
        self._gateways = {k: g for k, g in self._gateways.items() if now_s - g.seen_s < STALE_S}
        return list(self._gateways.values())


def _is_restarted() -> bool:
    """Whether Ray has started this actor anew."""
    import ray

    if not ray.is_initialized():
        return False
    context = ray.get_runtime_context()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Ray about itself
            return context.get_actor_id() is not None and bool(
                context.was_current_actor_reconstructed
            )
    except Exception:  # noqa: BLE001 - it asks Ray's control service; for certain, all wait a while
        _log.exception("whether this actor was started anew cannot be told")
        return True


def _handle(app: str) -> Any:
    """The replicas of a model's application."""
    from ray.serve.handle import DeploymentHandle

    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    return DeploymentHandle(MODEL, app)
