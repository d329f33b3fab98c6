"""Where a service is: addresses, checked when they are given.

    target ─┬─ "host:port"                 a DNS name or an IP address; all its addresses are used
            ├─ "a:50051, b:50051"          several, by comma
            ├─ ["a:50051", "b:50051"]      the same as a list
            └─ "dns:///…", "unix:…", …     a name of gRPC's own

gRPC's names: https://github.com/grpc/grpc/blob/master/doc/naming.md.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

VARIABLE = "REWARDPLANE_TARGET"
"""The environment variable that names the target where the caller names none."""

Target = str | Sequence[str]

_SCHEMES = frozenset({"dns", "unix", "unix-abstract", "ipv4", "ipv6", "vsock", "xds", "google-c2p"})
# These list addresses of their own, by comma.
_LISTS = ("ipv4:", "ipv6:")
_MAX_PORT = 65_535
_HOST = re.compile(r"\[[0-9A-Fa-f:.%a-z]+\]|[^\s:/\[\]@?#]+")


def names(target: Target | None) -> tuple[str, ...]:
    """The names, as gRPC wants them, of a target or, without one, of the environment's.

    Raises:
        ValueError: there is none, or one that no service can be reached by.
    """
    if target is None or not target:
        target = os.environ.get(VARIABLE, "")
    found = tuple(_name(address) for address in addresses(target))
    if not found:
        raise ValueError(f"no target: give one (host:port) or set {VARIABLE}")
    return found


def addresses(target: Target) -> tuple[str, ...]:
    """The addresses that a target lists, as they were written."""
    listed = [target] if isinstance(target, str) else list(target)
    found: list[str] = []
    for one in listed:
        one = one.strip()
        found += [one] if one.startswith(_LISTS) else [a.strip() for a in one.split(",")]
    return tuple(address for address in found if address)


def check(target: Target | None) -> None:
    """Refuses a target that is given and malformed; none may still come from the environment.

    Raises:
        ValueError: no service can be reached by it.
    """
    if target is not None and target:
        names(target)


def _name(address: str) -> str:
    scheme, colon, rest = address.partition(":")
    if colon and scheme in _SCHEMES and not rest.isdecimal():
        if scheme == "dns":
            _check(rest.rpartition("/")[2], address)
        elif not rest.strip("/"):
            raise ValueError(f"target {address!r} names nothing; want host:port")
        return address
    if "://" in address:
        known = address.partition("://")[2].rstrip("/")
        raise ValueError(
            f"target {address!r} is a URL; the client speaks gRPC to host:port, such as {known!r}"
        )
    _check(address, address)
    return f"dns:///{address}"


def _check(address: str, target: str) -> None:
    host, colon, port = address.rpartition(":")
    # A bare IPv6 address ends with what looks like a port.
    if not colon or (":" in host and not host.startswith("[")):
        raise ValueError(f"target {target!r} has no port; want host:port")
    if not _HOST.fullmatch(host):
        raise ValueError(f"target {target!r} has no host that can be read; want host:port")
    if not port.isascii() or not port.isdecimal() or not 1 <= int(port) <= _MAX_PORT:
        raise ValueError(f"target {target!r}: port {port!r} is no number from 1 to {_MAX_PORT}")
