"""Where a service is and how to speak to it: configuration only, so that clients can be pickled."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

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


_TOKEN_READ_EVERY_S = 1.0


@dataclass(slots=True, frozen=True)
class Credentials:
    """TLS, and a token that goes with each call as `authorization: Bearer`.

    `token_file` is read again when it changes, as tokens of Kubernetes do; it goes before
    `bearer_token`. Without `root_certificates` (PEM) those of the system serve; `private_key` and
    `certificate_chain` (PEM) are for services that ask the client for its certificate. `tls=False`
    sends the token in the clear: for loopback and for meshes that encrypt themselves.

    Raises:
        ValueError: a private key without its certificate, or the other way round, or either of
            them, or authorities, without TLS.
    """

    bearer_token: str = field(default="", repr=False)
    tls: bool = True
    root_certificates: bytes | None = None
    private_key: bytes | None = field(default=None, repr=False)
    certificate_chain: bytes | None = None
    token_file: str = ""

    def __post_init__(self) -> None:
        if (self.private_key is None) != (self.certificate_chain is None):
            raise ValueError("private_key and certificate_chain go together")
        if not self.tls and (self.private_key or self.root_certificates):
            raise ValueError("certificates need tls=True")

    @classmethod
    def from_files(
        cls,
        *,
        token_file: str | None = None,
        ca_file: str | None = None,
        certificate_file: str | None = None,
        key_file: str | None = None,
        tls: bool | None = None,
    ) -> Credentials | None:
        """Credentials of files, each with its environment variable where it is None.

        The variables are REWARDPLANE_TOKEN_FILE (or REWARDPLANE_TOKEN, the token itself),
        REWARDPLANE_CA_FILE, REWARDPLANE_CERTIFICATE_FILE, REWARDPLANE_KEY_FILE, and
        REWARDPLANE_TLS: 1 or 0; 1 where any of the others is set. None: none is given or set.

        Raises:
            ValueError: REWARDPLANE_TLS is neither, or they do not go together.
            OSError: a file cannot be read.
        """
        found = {
            key: value if value is not None else os.environ.get(f"REWARDPLANE_{key}", "")
            for key, value in (
                ("TOKEN_FILE", token_file),
                ("CA_FILE", ca_file),
                ("CERTIFICATE_FILE", certificate_file),
                ("KEY_FILE", key_file),
            )
        }
        token = "" if found["TOKEN_FILE"] else os.environ.get("REWARDPLANE_TOKEN", "")
        switch = os.environ.get("REWARDPLANE_TLS", "") if tls is None else str(int(tls))
        if switch not in ("", "0", "1"):
            raise ValueError(f"REWARDPLANE_TLS is {switch!r}, want 1 or 0")
        if not switch and not token and not any(found.values()):
            return None

        def read(key: str) -> bytes | None:
            return Path(found[key]).read_bytes() if found[key] else None

        credentials = cls(
            token,
            switch != "0",
            read("CA_FILE"),
            read("KEY_FILE"),
            read("CERTIFICATE_FILE"),
            found["TOKEN_FILE"],
        )
        if token or found["TOKEN_FILE"]:
            _token(credentials)
        return None if credentials == cls(tls=False) else credentials


class _Tokens:
    """Tokens as they were last read, by file: when, and what."""

    read: ClassVar[dict[str, tuple[float, str]]] = {}


def _token(how: Credentials) -> str:
    """The token to send now. Raises OSError where its file was never read, and cannot be."""
    if not how.token_file:
        return how.bearer_token.strip()
    now_s = time.monotonic()
    at_s, token = _Tokens.read.get(how.token_file, (float("-inf"), ""))
    if now_s - at_s >= _TOKEN_READ_EVERY_S:
        try:
            token = Path(how.token_file).read_text(encoding="utf-8").strip()
        except OSError:
            if not token:
                raise
        _Tokens.read[how.token_file] = now_s, token
    return token


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
        """What goes with each call. Raises OSError: the token's file cannot be read."""
        token = _token(self.credentials) if self.credentials else ""
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
