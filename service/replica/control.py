"""What a replica and the gateways of its node say to each other about the replica's workers.

One SOCK_SEQPACKET connection for each gateway, on a Unix socket in a folder that only the user of
the service can enter. Items and outcomes do not pass here: they lie in the memory that a gateway
shares with the workers themselves.

    gateway → replica
        WANT worker              a worker to send items to, and not that one
        SINGLE number            a worker of its own for suspects; answered by WORKER or FAILED
        RESERVE                  have a worker in reserve; answered by READY
        ASIDE worker             nobody should send items to it any more
        RELEASE worker bad       nothing of this gateway runs on it any more; bad: end it
    replica → gateway
        WORKER worker number pid + descriptors of a link to it and of its process
        FAILED number text       there is none to be had
        READY                    a worker is in reserve
        ASIDE worker             as above: what has not started there is to be taken back
        ENDED worker code peak   the worker ended; code and peak bytes as the fork server knows them
        DRAIN                    the replica stops: send no more
"""

from __future__ import annotations

import os
import socket
import struct
from dataclasses import dataclass, field
from typing import Final

WANT: Final = 1
SINGLE: Final = 2
RESERVE: Final = 3
ASIDE: Final = 4
RELEASE: Final = 5
WORKER: Final = 6
FAILED: Final = 7
READY: Final = 8
ENDED: Final = 9
DRAIN: Final = 10

LOST: Final = 1 << 40
"""In place of an exit code: the worker ended with the process that forked it."""
UNKNOWN_CODE: Final = 1 << 41
"""In place of an exit code: it is not known how the worker ended."""

_HEAD = struct.Struct("<BQqQ")
MAX_BYTES = _HEAD.size + 4096


@dataclass(slots=True)
class Control:
    """One message. `number` is a worker's or a request's, by its kind."""

    kind: int
    number: int = 0
    value: int = 0
    extra: int = 0
    text: str = ""
    descriptors: list[int] = field(default_factory=list[int])

    def send(self, to: socket.socket) -> None:
        """Sends it; the descriptors stay the caller's.

        Raises:
            OSError: the other side is gone, or does not read.
        """
        head = _HEAD.pack(self.kind, self.number, self.value, self.extra)
        data = head + self.text.encode("utf-8", "replace")[: MAX_BYTES - _HEAD.size]
        if self.descriptors:
            socket.send_fds(to, [data], self.descriptors)
        else:
            to.send(data)


def receive(connection: socket.socket) -> Control | None:
    """The next message, whose descriptors are the caller's; None: the other side hung up.

    Raises:
        BlockingIOError: there is none yet.
        ValueError: what came is no message.
    """
    try:
        data, descriptors, _flags, _address = socket.recv_fds(connection, MAX_BYTES, 2)
    except ConnectionResetError:
        return None
    if not data:
        return None
    if len(data) < _HEAD.size:
        raise ValueError(f"a message of {len(data)} bytes")
    kind, number, value, extra = _HEAD.unpack_from(data)
    if len(descriptors) != (2 if kind == WORKER else 0):
        # This process has none left to take them, or somebody sends what nobody asked for.
        for descriptor in descriptors:
            os.close(descriptor)
        raise ValueError(f"message {kind} with {len(descriptors)} descriptors")
    text = data[_HEAD.size :].decode("utf-8", "replace")
    return Control(kind, number, value, extra, text, list(descriptors))
