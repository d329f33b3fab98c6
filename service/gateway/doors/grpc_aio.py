"""The door on `grpc.aio`: grpcio's own server, on every host that grpcio runs on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Any, cast

import grpc
from rewardplane.access.certificates import Identity, name_in

from .door import Door, DoorKind, Identities, address_of
from .reflection import reflection_handlers
from .rpc import Metadata, Rpc

Context = grpc.aio.ServicerContext[bytes, bytes]
_Failure = tuple[grpc.StatusCode, str, Metadata]

CLOSE_S = 2.0


class _AioRpc(Rpc):
    """A call whose coroutine waits for `ended`: the answer, None after a stream, or a failure."""

    __slots__ = ("context", "ended")

    def __init__(self, method: str, message: bytes, context: Context) -> None:
        remaining_s = cast("float | None", context.time_remaining())
        metadata = cast("Metadata", context.invocation_metadata() or ())
        deadline_s = None if remaining_s is None else time.monotonic() + remaining_s
        super().__init__(method, message, metadata, deadline_s, context.peer())
        self.context = context
        self.ended: asyncio.Future[bytes | _Failure | None] = (
            asyncio.get_running_loop().create_future()
        )

    def certificate(self) -> str:
        found = self.context.auth_context().get("x509_pem_cert") or ()
        return next((_name_in(certificate) for certificate in found), "")

    def _end(self, how: bytes | _Failure | None, trailers: Metadata) -> None:
        if self.ended.done():
            return
        self.on_cancel = None
        if trailers:
            self.context.set_trailing_metadata(cast("Any", tuple(trailers)))
        self.ended.set_result(how)

    def answer(self, message: bytes, trailers: Metadata = ()) -> None:
        self._end(message, trailers)

    def fail(self, code: grpc.StatusCode, text: str, trailers: Metadata = ()) -> None:
        self._end((code, text, trailers), ())

    def finish(self, trailers: Metadata = ()) -> None:
        self._end(None, trailers)

    async def send(self, message: bytes, by_s: float | None = None) -> bool:
        if self.ended.done():
            return False
        write = asyncio.ensure_future(self.context.write(message))
        write.add_done_callback(_seen)
        left_s = None if by_s is None else max(0.0, by_s - time.monotonic())
        # The call may end while its reader has no room: nobody would wake this writer then.
        done, _ = await asyncio.wait(
            (write, self.ended), timeout=left_s, return_when=asyncio.FIRST_COMPLETED
        )
        if not done:
            raise TimeoutError("the reader of the stream has no room")
        return write.done() and not write.cancelled() and write.exception() is None


def _seen(write: asyncio.Future[None]) -> None:
    """A write that fails after nobody waits for it is no news."""
    if not write.cancelled():
        write.exception()


class GrpcAioDoor(Door):
    """One task per call, on the loop of whoever opens it."""

    kind = DoorKind.GRPC
    has_tls = True

    _server: grpc.aio.Server

    async def open(self, host: str, port: int, *, share_port: bool = False) -> int:
        """See `Door`."""
        most = self._limits.max_in_flight_items
        server = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", self._limits.max_request_bytes),
                ("grpc.max_send_message_length", -1),
                # gRPC core cancels bursts on its own below these; refusing is ours alone.
                ("grpc.server.max_pending_requests", 2 * most + 10_000),
                ("grpc.server.max_pending_requests_hard_limit", 4 * most + 20_000),
                ("grpc.so_reuseport", int(share_port)),
                ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
                ("grpc.keepalive_permit_without_calls", 1),
            ]
        )
        self._calls: set[Rpc] = set()
        server.add_generic_rpc_handlers(
            (_Handlers(self, self._methods), *reflection_handlers(self._methods))
        )
        address = address_of(host, port)
        try:
            if self._identities is None:
                taken = server.add_insecure_port(address)
            else:
                taken = server.add_secure_port(address, _credentials(self._identities))
        except RuntimeError as error:
            raise OSError(f"cannot listen on {address}: {error}") from None
        await server.start()
        self._server = server
        return taken

    def in_flight(self) -> Collection[Rpc]:
        """See `Door`."""
        return self._calls

    async def close(self) -> None:
        """See `Door`."""
        await self._server.stop(CLOSE_S)

    async def run(self, rpc: _AioRpc) -> bytes | None:
        """Hands a call on and waits until it has ended."""
        self._calls.add(rpc)
        self._note(rpc.peer, rpc.message)
        try:
            self._handle((rpc,))
            how = await rpc.ended
        except asyncio.CancelledError:
            rpc.ended.cancel()
            rpc.cancelled()
            raise
        finally:
            self._calls.discard(rpc)
        if isinstance(how, tuple):
            code, text, trailers = how
            await rpc.context.abort(code, text, cast("Any", tuple(trailers)))
        return how


@lru_cache(maxsize=1024)
def _name_in(certificate: bytes) -> str:
    return name_in(certificate)


def _credentials(identities: Identities) -> grpc.ServerCredentials:
    """Credentials that each handshake asks anew; so a renewed certificate needs no restart."""
    served = identities()

    def renewed() -> grpc.ServerCertificateConfiguration | None:
        nonlocal served
        now = identities()
        if now is served:
            return None
        served = now
        return _configuration(now)

    return grpc.dynamic_ssl_server_credentials(
        _configuration(served), cast("Any", renewed), served.authorities is not None
    )


def _configuration(identity: Identity) -> grpc.ServerCertificateConfiguration:
    pair = (identity.key, identity.chain)
    return grpc.ssl_server_certificate_configuration([pair], identity.authorities)


class _Handlers(grpc.GenericRpcHandler):
    """The methods of a door, over raw bytes."""

    def __init__(self, door: GrpcAioDoor, methods: Mapping[str, bool]) -> None:
        self._handlers: dict[str, Any] = {
            method: _streaming(door, method) if streams else _unary(door, method)
            for method, streams in methods.items()
        }

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """The handler of a method; None: there is none here."""
        return self._handlers.get(handler_call_details.method)


def _unary(door: GrpcAioDoor, method: str) -> Any:
    async def run(message: bytes, context: Context) -> bytes | None:
        return await door.run(_AioRpc(method, message, context))

    return cast("Any", grpc.unary_unary_rpc_method_handler(cast("Any", run)))


def _streaming(door: GrpcAioDoor, method: str) -> Any:
    async def run(message: bytes, context: Context) -> None:
        await door.run(_AioRpc(method, message, context))

    return cast("Any", grpc.unary_stream_rpc_method_handler(cast("Any", run)))
