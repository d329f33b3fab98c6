"""The memory that a worker process and its owner share for a shard: items in, outcomes out.

A segment is an anonymous file (memfd) mapped by both. The worker writes each outcome into it the
moment it has it, without a system call; whatever kills the worker, what it had finished is there to
be read. One writer (the worker) but for `stop`, which the owner sets.

    header | states | started_ns | elapsed_us | rewards | components | payload | extras …
    fixed    n x u8   n x u64      n x u64      n x f64   n x K x f64   bytes     lines of JSON

An item's values are written before its state, and read after it. Extras (messages of errors,
explanations, step rewards) are appended as `[index, …]` in JSON: what a worker says is parsed,
never unpickled, and what makes no sense is passed over.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import math
import mmap
import os
import struct
from collections.abc import Mapping
from typing import Any, Final, cast

PENDING: Final = 0
RUNNING: Final = 1
SCORED: Final = 2
FAILED: Final = 3

NUMBER = struct.Struct("<Q")
"""A shard's number as it travels between a worker and its owner, with the segment's descriptor."""

_HEADER = struct.Struct("<QQQQ")  # n, K, payload offset, payload length
_STOP_AT = _HEADER.size
_STEPPING_AT = _STOP_AT + 8
_COLUMNS_AT = 64
_MAX_EXPLANATION_BYTES = 64 * 2**20
_MAX_EXTRAS_BYTES = 128 * 2**20
"""The messages of errors have room of their own: a shard of 4,096 has 48 MiB of them at most."""

_FIGURES = -1
_FIGURES_LINE = b"[-1,"

_STATES = bytes(state if state <= FAILED else RUNNING for state in range(256))


class Segment:
    """A shard's items and outcomes in shared memory. `n` items, `k` components each."""

    __slots__ = (
        "_end",
        "_map",
        "components",
        "elapsed_us",
        "fd",
        "isolation",
        "k",
        "n",
        "payload_at",
        "payload_bytes",
        "rewards",
        "spent",
        "started_ns",
        "states",
        "stepping",
        "stop",
    )

    def __init__(self, fd: int) -> None:
        self.fd = fd
        head = os.pread(fd, _HEADER.size, 0)
        self.n, self.k, self.payload_at, self.payload_bytes = _HEADER.unpack(head)
        self._end = self.payload_at + self.payload_bytes
        self._map = mmap.mmap(fd, self._end)
        view = memoryview(self._map)
        n = self.n
        self.stop = view[_STOP_AT : _STOP_AT + 1]
        """1: the owner wants no further item started."""
        self.spent = view[_STOP_AT + 1 : _STOP_AT + 2]
        """1: the worker is out of memory, or holds a call that never ends; it is to be replaced."""
        self.isolation = view[_STOP_AT + 2 : _STOP_AT + 3]
        """The level of isolation that untrusted code ran under: `Reward.isolation_held`."""
        self.stepping = view[_STEPPING_AT : _STEPPING_AT + 8].cast("Q")
        """Whose code has the event loop of an async reward's worker: an item's index + 1, or 0."""
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
        fd = os.memfd_create("rewardplane-shard", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.pwrite(fd, _HEADER.pack(n, k, payload_at, len(payload)), 0)
            os.ftruncate(fd, payload_at + len(payload))
            written = 0
            while written < len(payload):
                written += os.pwrite(fd, memoryview(payload)[written:], payload_at + written)
            # A worker that cut the file short would end its owner with SIGBUS.
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
            return cls(fd)
        except BaseException:
            os.close(fd)
            raise

    def payload(self) -> memoryview:
        """What the owner put in; not a copy."""
        return memoryview(self._map)[self.payload_at : self.payload_at + self.payload_bytes]

    def read_states(self) -> bytes:
        """A copy of the states; a value that is none counts as RUNNING."""
        return self.states.tobytes().translate(_STATES)

    def append_error(self, index: int, reason: int, message: str) -> None:
        """Writes why an item failed; before its state, so that the reader of the state finds it."""
        self._append([index, reason, message], _MAX_EXTRAS_BYTES)

    def append_words(self, index: int, explanation: str, step_rewards: list[float]) -> None:
        """Writes what a score says beside its numbers; left out where there is no room."""
        self._append([index, explanation, step_rewards], _MAX_EXPLANATION_BYTES)

    def append_figures(self, figures: Mapping[str, float]) -> None:
        """Writes what the reward counted while it ran this."""
        self._append([_FIGURES, dict(figures)], _MAX_EXTRAS_BYTES)

    def figures(self) -> dict[str, float]:
        """What the reward counted."""
        counted: dict[str, Any] = {}
        for line in self._lines():
            if line.startswith(_FIGURES_LINE):
                with contextlib.suppress(ValueError, RecursionError):
                    _, said = json.loads(line)
                    counted |= said if isinstance(said, dict) else {}
        return {
            name: float(value)
            for name, value in counted.items()
            if isinstance(value, int | float) and 0 <= value < math.inf
        }

    def _append(self, record: list[Any], limit: int) -> None:
        line = json.dumps(record, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
        if self._end - self.payload_at - self.payload_bytes + len(line) <= limit:
            self._end += os.pwrite(self.fd, line, self._end)

    def extras(self) -> dict[int, list[Any]]:
        """The extras so far by item; a torn last line, of a worker killed as it wrote, is left out.

        [reason, message] of a failed item, [explanation, step rewards] of a scored one.
        """
        return dict(filter(None, map(self._extra, self._lines())))

    def _lines(self) -> list[bytes]:
        start = self.payload_at + self.payload_bytes
        size = min(os.fstat(self.fd).st_size - start, _MAX_EXTRAS_BYTES)
        return os.pread(self.fd, size, start).split(b"\n")[:-1] if size > 0 else []

    def _extra(self, line: bytes) -> tuple[int, list[Any]] | None:
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            return None
        match record:
            case [int(index), int() | str(), str() | list()] if 0 <= index < self.n:
                return index, cast("list[Any]", record[1:])
            case _:
                return None

    def close(self) -> None:
        """Gives the descriptor back. The mapping goes with the last view of it."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
