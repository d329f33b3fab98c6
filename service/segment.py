"""The memory that a worker process and its owner share for one shard: the items in, the outcomes out.

A segment is an anonymous file (memfd) mapped by both. The worker writes each outcome into it the
moment it has it, without a system call; whatever kills the worker, what it had finished is there to
be read. One writer (the worker) but for `stop`, which the owner sets.

    header | states | started_ns | elapsed_us | rewards | components | payload | extras …
    fixed    n x u8   n x u64      n x u64      n x f64   n x K x f64   bytes     lines of JSON

An item's values are written before its state, and read after it. Extras (messages of errors,
explanations, step rewards) are appended as `[index, …]` in JSON: what a worker says is parsed, never
unpickled.
"""

from __future__ import annotations

import json
import mmap
import os
import struct
from typing import Any, Final

PENDING: Final = 0
RUNNING: Final = 1
SCORED: Final = 2
FAILED: Final = 3

NUMBER = struct.Struct("<Q")
"""A shard's number as it travels between a worker and its owner, with the segment's descriptor."""

_HEADER = struct.Struct("<QQQQ")  # n, K, payload offset, payload length
_STOP_AT = _HEADER.size
_COLUMNS_AT = 64
MAX_EXTRAS_BYTES = 64 * 1024 * 1024


class Segment:
    """A shard's items and outcomes in shared memory. `n` items, `k` components each."""

    __slots__ = (
        "_map",
        "components",
        "elapsed_us",
        "fd",
        "k",
        "n",
        "payload_at",
        "payload_bytes",
        "rewards",
        "started_ns",
        "states",
        "stop",
    )

    def __init__(self, fd: int) -> None:
        self.fd = fd
        head = os.pread(fd, _HEADER.size, 0)
        self.n, self.k, self.payload_at, self.payload_bytes = _HEADER.unpack(head)
        self._map = mmap.mmap(fd, self.payload_at + self.payload_bytes)
        view = memoryview(self._map)
        n = self.n
        self.stop = view[_STOP_AT : _STOP_AT + 1]
        self.states = view[_COLUMNS_AT : _COLUMNS_AT + n]
        at = _COLUMNS_AT + -(-n // 8) * 8
        self.started_ns = view[at : at + 8 * n].cast("Q")
        self.elapsed_us = view[at + 8 * n : at + 16 * n].cast("Q")
        self.rewards = view[at + 16 * n : at + 24 * n].cast("d")
        self.components = view[at + 24 * n : at + (24 + 8 * self.k) * n].cast("d")

    @classmethod
    def create(cls, n: int, k: int, payload: bytes) -> Segment:
        """A new segment for `n` items with `k` components each, all PENDING."""
        payload_at = _COLUMNS_AT + -(-n // 8) * 8 + (24 + 8 * k) * n
        fd = os.memfd_create("rewardplane-shard", os.MFD_CLOEXEC)
        try:
            os.pwrite(fd, _HEADER.pack(n, k, payload_at, len(payload)), 0)
            os.ftruncate(fd, payload_at + len(payload))
            written = 0
            while written < len(payload):
                written += os.pwrite(fd, memoryview(payload)[written:], payload_at + written)
            return cls(fd)
        except BaseException:
            os.close(fd)
            raise

    def payload(self) -> memoryview:
        """What the owner put in; not a copy."""
        return memoryview(self._map)[self.payload_at : self.payload_at + self.payload_bytes]

    def append_extra(self, index: int, *values: Any) -> None:
        """Writes an item's extra; before its state, so that the reader of the state finds it."""
        line = json.dumps([index, *values]).encode() + b"\n"
        end = os.fstat(self.fd).st_size
        if end - self.payload_at - self.payload_bytes + len(line) <= MAX_EXTRAS_BYTES:
            os.pwrite(self.fd, line, end)

    def extras(self) -> dict[int, list[Any]]:
        """The extras so far by item; a torn last line, of a worker killed as it wrote, is left out."""
        start = self.payload_at + self.payload_bytes
        size = os.fstat(self.fd).st_size - start
        if size <= 0:
            return {}
        *lines, _torn = os.pread(self.fd, size, start).split(b"\n")
        return {int((record := json.loads(line))[0]): record[1:] for line in lines}

    def close(self) -> None:
        """Gives the descriptor back. The mapping goes with the last view of it."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
