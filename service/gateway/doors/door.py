"""What every door can do, and the choice of one."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from enum import StrEnum
from importlib import import_module
from typing import ClassVar

import grpc
from rewardplane.access.certificates import Identity
from rewardplane.config.settings import Limits

from .connections import CALL_BYTES
from .rpc import Handle, Rpc


class DoorKind(StrEnum):
    """The doors that there are."""

    NATIVE = "native"
    """HTTP/2 and gRPC in Rust, outside the GIL (pygrpc-native): one insecure port."""
    GRPC = "grpc"
    """`grpc.aio`: every host that grpcio runs on."""


NO_TLS = (
    "the native door has no TLS: choose the other one (`--door grpc`, the default where the access "
    "file has `tls`), or take `tls` out, say `behind_envoy: true`, and put the Envoy of "
    "deploy/envoy in front"
)

Lost = Callable[[str], None]
"""Called once in the event loop when a door has died; the text says how."""


Identities = Callable[[], Identity]
"""The certificate to serve with now; asked from any thread, at each handshake."""


class DoorUnavailable(Exception):
    """The door that was chosen cannot be had on this host; the message says what to do."""


class Door(ABC):
    """One port: `open`, calls come by `handle`, `drain`, `close`.

    `methods` are the full paths that `handle` serves, each with whether it streams its answer. The
    door itself refuses what is unknown (UNIMPLEMENTED), larger than `max_request_bytes`
    (RESOURCE_EXHAUSTED without RetryInfo) or no gRPC, and serves reflection.
    """

    kind: ClassVar[DoorKind]
    has_tls: ClassVar[bool]

    def __init__(
        self,
        methods: Mapping[str, bool],
        handle: Handle,
        limits: Limits,
        on_lost: Lost,
        identities: Identities | None = None,
    ) -> None:
        """`identities`: TLS with these; None: in the clear.

        Raises:
            DoorUnavailable: TLS is asked of a door that has none.
        """
        if identities is not None and not self.has_tls:
            raise DoorUnavailable(NO_TLS)
        self._methods = dict(methods)
        self._handle = handle
        self._limits = limits
        self._on_lost = on_lost
        self._identities = identities
        self.turned_away = 0
        """Calls that were refused here, before the gateway looked at them."""
        self.received: dict[str, int] = {}
        """By peer, the bytes of calls handed on; whoever watches the connections empties it."""

    def _note(self, peer: str, message: bytes) -> None:
        """A message is complete."""
        received = self.received
        received[peer] = received.get(peer, 0) + len(message) + CALL_BYTES

    @abstractmethod
    async def open(self, host: str, port: int, *, share_port: bool = False) -> int:
        """Listens; returns the port (`port` 0: any free one).

        Raises:
            OSError: it cannot listen there; the message names host and port.
        """

    @abstractmethod
    def in_flight(self) -> Collection[Rpc]:
        """The calls that have not ended."""

    async def drain(self, grace_s: float) -> None:
        """Waits for the calls in flight, then ends what is left after `grace_s` (UNAVAILABLE).

        Calls that come meanwhile still reach `handle`, whose part it is to refuse them: so each
        gets a status of ours, and none is lost in a connection that closes.
        """
        until_s = time.monotonic() + grace_s
        # Asked now and then, so that no call pays for an event when it ends.
        while time.monotonic() < until_s and self._busy():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        for rpc in list(self.in_flight()):
            rpc.cancelled()
            rpc.fail(grpc.StatusCode.UNAVAILABLE, "the service stops")

    def _busy(self) -> bool:
        return any(not rpc.lasting for rpc in self.in_flight())

    @abstractmethod
    async def close(self) -> None:
        """Closes the port and all connections; answers given before reach their clients."""


def door_class(kind: DoorKind) -> type[Door]:
    """The class of a door.

    Raises:
        DoorUnavailable: this host does not have what the door needs.
    """
    if kind is DoorKind.GRPC:
        return import_module(".grpc_aio", __package__).GrpcAioDoor
    try:
        import_module("pygrpc_native")
    except ImportError as error:
        raise DoorUnavailable(
            f"the native door cannot be had here ({error}): it needs pygrpc-native, which has "
            "wheels for Linux and macOS on x86_64 and arm64 (`pip install pygrpc-native`); where "
            "there are none, choose the other door: `rewardplane serve --door grpc`"
        ) from None
    return import_module(".native", __package__).NativeDoor


def address_of(host: str, port: int) -> str:
    """`host:port`, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
