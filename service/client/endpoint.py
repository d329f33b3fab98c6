"""Where a service is and how to speak to it: configuration only, so that clients can be pickled."""

from __future__ import annotations

from dataclasses import dataclass, field

import grpc
import grpc.aio

_OPTIONS: tuple[tuple[str, int | str], ...] = (
    ("grpc.max_send_message_length", 64 * 2**20),
    # Step rewards and components of 65,536 items are more than 64 MiB.
    ("grpc.max_receive_message_length", 512 * 2**20),
    # The service permits a ping each 10 s, calls or none.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    # A gateway that restarts is back within seconds; gRPC would wait up to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.lb_policy_name", "round_robin"),
    # Clusters set http_proxy for the world outside; the service stands inside.
    ("grpc.enable_http_proxy", 0),
    # Channels with equal arguments would share one connection, and so one gateway of those that
    # share a port.
    ("grpc.use_local_subchannel_pool", 1),
)


@dataclass(slots=True, frozen=True)
class Credentials:
    """TLS, and a token that goes with each call as `authorization: Bearer`.

    Without `root_certificates` (PEM) those of the system serve; `private_key` and
    `certificate_chain` (PEM) are for services that ask the client for its certificate. `tls=False`
    sends the token in the clear: for loopback and for meshes that encrypt themselves.
    """

    bearer_token: str = field(default="", repr=False)
    tls: bool = True
    root_certificates: bytes | None = None
    private_key: bytes | None = field(default=None, repr=False)
    certificate_chain: bytes | None = None


@dataclass(slots=True, frozen=True)
class Endpoint:
    """A service, by the names of one or several gateways as gRPC wants them.

    `channels` connections are opened to each name: more than one for gateways that share a port.
    `options` go to gRPC as they are, before the defaults.

    Raises:
        ValueError: there are no channels to open.
    """

    names: tuple[str, ...]
    credentials: Credentials | None = None
    channels: int = 1
    options: tuple[tuple[str, int | str], ...] = ()

    def __post_init__(self) -> None:
        if self.channels < 1:
            raise ValueError(f"channels is {self.channels}, want at least 1")

    def __str__(self) -> str:
        return ",".join(name.removeprefix("dns:///") for name in self.names)

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What goes with each call."""
        token = self.credentials.bearer_token if self.credentials else ""
        return (("authorization", f"Bearer {token}"),) if token else ()

    def open(self) -> list[grpc.aio.Channel]:
        """New channels for the running event loop, each to be closed by the caller."""
        given = {key for key, _ in self.options}
        options = [*self.options, *(o for o in _OPTIONS if o[0] not in given)]
        how = self.credentials
        secure = None
        if how is not None and how.tls:
            secure = grpc.ssl_channel_credentials(
                how.root_certificates, how.private_key, how.certificate_chain
            )
        return [
            grpc.aio.insecure_channel(name, options)
            if secure is None
            else grpc.aio.secure_channel(name, secure, options)
            for _ in range(self.channels)
            for name in self.names
        ]
