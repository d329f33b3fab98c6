"""Who could reach the service, and whether that is meant: asked before anything is started."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from rewardplane.access.gate import Gate
from rewardplane.access.settings import is_loopback
from rewardplane.gateway.doors.door import NO_TLS, DoorKind, DoorUnavailable

from .options import Options


class Exposed(Exception):
    """The service would answer strangers, or believe them; the message says what to do."""


def guarded(options: Options, door: DoorKind | None) -> tuple[Options, list[str]]:
    """The options with the door that TLS needs, and what must be said aloud when it serves.

    `door` None: the native one, or `grpc` where the access file has a certificate.

    Raises:
        AccessError: the access file, or one that it names, cannot be used.
        Exposed: strangers may call, and `insecure` does not say so.
        DoorUnavailable: TLS is asked of the native door.
    """
    remarks: list[str] = []
    local = is_loopback(options.host)
    access = Gate(Path(options.access)).access if options.access else None
    if access is not None and access.behind_envoy and not local:
        raise Exposed(
            f"behind_envoy: whoever reaches {options.host} could claim any certificate; listen on "
            "127.0.0.1, where Envoy is"
        )
    if not local and not (access is not None and access.refuses_strangers):
        if not options.insecure:
            raise Exposed(
                f"{options.host} can be reached from other machines, and nothing proves who calls: "
                "give an access file with tokens or mutual TLS (`--access`, docs/security.md), "
                "listen on 127.0.0.1, or say `--insecure`"
            )
        remarks.append(
            f"INSECURE: whoever reaches {options.host} may call; only the network keeps others out"
        )
    elif not local and access is not None and access.tls is None:
        remarks.append(
            "tokens and data come in the clear: give the access file `tls`, or let a mesh encrypt"
        )
    has_tls = access is not None and access.tls is not None
    if has_tls and door is DoorKind.NATIVE:
        raise DoorUnavailable(NO_TLS)
    if has_tls and door is None:
        remarks.append("the door is `grpc`, since the native one has no TLS")
    chosen = door or (DoorKind.GRPC if has_tls else DoorKind.NATIVE)
    return dataclasses.replace(options, door=chosen), remarks
