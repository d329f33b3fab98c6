"""What a pool and a zygote say to each other: one SOCK_SEQPACKET message each, of fixed length.

A request never passes here: it lies in a file that only the child reads.
"""

from __future__ import annotations

import enum
import struct
from typing import NamedTuple

CONFINED = b"\x01"
"""The first byte of every answer, written when the child is confined and before anything that is
not trusted runs. Where it is missing, the sandbox failed, and not the code."""
EXECUTABLE = 5
"""The descriptor of the program that a child may become; closed as it does."""
GIVEN_PROGRAM, FIRST_TOOL = 1, 2
"""`Order.program`: the file that comes with the order; the first of the profile's tools."""
OBJECT, PROGRAM = "object", "program"
"""The files of a compilation, in the folder where its steps have one."""
MEMORY_EXIT = 86
"""The exit code of a guest that ran out of memory."""
FRAME = struct.Struct("<I")
"""The length of a message of a session, before it."""


class Op(enum.IntEnum):
    """What a zygote is told."""

    RUN = 1
    """Start a child. Descriptors: request, answer, stdout, stderr; stdin where it has one; behind
    that the program that it may become."""
    SESSION = 2
    """The same, with a scratch of its own; the answer is a socket."""
    LOOK = 3
    """Send a pidfd of the child."""
    KILL = 4
    CLEAR = 5
    """Empty the scratch."""


class Order(NamedTuple):
    """A message to a zygote. What `op` does not need is 0."""

    op: int
    number: int
    """Of the child, given by the pool."""
    entry: int = 0
    """The index of its guest in the seed's list."""
    cpu_s: int = 0
    """The kernel's own limit, above the pool's; 0: none."""
    memory_bytes: int = 0
    file_bytes: int = 0
    open_files: int = 0
    threads: int = 0
    program: int = 0
    """What a run may become (see `GIVEN_PROGRAM`); 0: it stays what it is."""
    keeps: bool = False
    """The scratch stays as the run leaves it, until CLEAR or the end of the next run."""


ORDER = struct.Struct("<BQHIQQIIB?")


class Told(enum.IntEnum):
    """What a zygote tells."""

    READY = 1
    """Ready, or not able to be. JSON follows: its controls, and whether runs have a scratch.
    Descriptor: a pidfd of its own."""
    ENDED = 2
    """`value` is the wait status."""
    PIDFD = 3
    """As was asked by LOOK."""
    REFUSED = 4
    """There is no room for a child: `value` is the errno."""


class Message(NamedTuple):
    """A message of a zygote."""

    told: int
    number: int
    value: int = 0
    cpu_us: int = 0


MESSAGE = struct.Struct("<BQiQ")
MAX_READY_BYTES = 16_384
SEED_READY = b"ready"
"""What the seed says when all is imported; anything else is why it is not."""
