"""Whether a service listens at all, found out at once: a client tries for its whole time-out."""

from __future__ import annotations

import contextlib
import socket

from rewardplane.client.target import names

CONNECT_S = 3.0


class NotThere(Exception):
    """Nobody listens where the service should be; the message says what to do."""


def reach(target: str, more: str = "") -> None:
    """Returns when somebody listens at one of the addresses of a target.

    What gRPC alone can resolve is left to it. `more` is what else to do.

    Raises:
        NotThere: nobody does.
        ValueError: the target cannot be read.
    """
    faults: list[str] = []
    for name in names(target):
        address = name.removeprefix("dns:///")
        host, _, port = address.rpartition(":")
        if name == address or "/" in address:
            return
        try:
            with contextlib.closing(
                socket.create_connection((host.strip("[]"), int(port)), CONNECT_S)
            ):
                return
        except OSError as error:
            faults.append(f"{address}: {error.strerror or error}")
    hint = f"; {more}" if more else ""
    raise NotThere("\n".join(faults) + f"\nis `rewardplane serve` running there?{hint}")
