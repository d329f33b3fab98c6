"""The memory that a worker process and its owner share for a shard: items in, outcomes out.

A segment lies in a slot of a ring that owner and worker keep mapped, or, where it is too large for
one or its items run side by side, in an anonymous file (memfd) of its own. The worker writes each
outcome into it the moment it has it, without a system call; whatever kills the worker, what it had
finished is there to be read. One writer (the worker) but for `stop`, which the owner sets.

    header | states | started_ns | elapsed_us | rewards | components | payload
    fixed    n x u8   n x u64      n x u64      n x f64   n x K x f64   bytes

An item's values are written before its state, and read after it. For cheap items the worker writes
no state until their group is over: `cursor` says which item executes, and all from `base` up to it
have ended. Extras (messages of errors, explanations, step rewards, answers) are appended to a file
as `[index, …]` in JSON: what a worker says is parsed, never unpickled, and what makes no sense is
passed over.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import math
import mmap
import os
import struct
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

from rewardplane.rewards.types import Score, ScoreError

PENDING: Final = 0
RUNNING: Final = 1
SCORED: Final = 2
FAILED: Final = 3

WORDS: Final = 1
DETAILS: Final = 2

SLOTS: Final = 2
SLOT_BYTES: Final = 4 * 2**20
"""A slot holds a shard of its target size and the columns of 4,096 items with some components."""

_HEADER = struct.Struct("<QQQQ")  # n, K, payload offset, payload length
_STOP_AT = _HEADER.size
_STEPPING_AT = _STOP_AT + 8
_BASE_AT = _STOP_AT + 16
_CURSOR_AT = _STOP_AT + 24
_EXTRAS_END_AT = _STOP_AT + 32
_COLUMNS_AT = 80
_MAX_EXPLANATION_BYTES = 64 * 2**20
_MAX_EXTRAS_BYTES = 128 * 2**20
"""The messages of errors have room of their own: a shard of 4,096 has 48 MiB of them at most."""
_KEPT_EXTRAS_BYTES = 2**20

_FIGURES = -1
_FIGURES_LINE = b"[-1,"

_STATES = bytes(state if state <= FAILED else RUNNING for state in range(256))
ENDED = bytes([SCORED, *range(1, 256)])
"""Translates the states of a group that ran to its end: what has none yet is SCORED."""

Write = Callable[[memoryview], None]
"""Writes a payload into the memory that it is given."""


def fault_of(error: ScoreError) -> list[Any]:
    """An error as an extra: its reason's number, its message, and the usage where there is any."""
    spent = error.usage
    if spent is None:
        return [error.reason.value, error.message]
    tokens = [spent.prompt_tokens, spent.completion_tokens, spent.cached_tokens, spent.calls]
    return [error.reason.value, error.message, tokens]


def words_of(score: Score, wanted: int) -> list[Any]:
    """What a score says beside its numbers as an extra; empty: nothing that is wanted.

    Explanation, step rewards, answer, details.
    """
    details = score.details_json if wanted & DETAILS else ""
    if not wanted & WORDS:
        return ["", [], "", details] if details else []
    if not (details or score.explanation or score.step_rewards or score.answer):
        return []
    return [score.explanation, list(score.step_rewards), score.answer, details]


class Segment:
    """A shard's items and outcomes in shared memory. `n` items, `k` components each."""

    __slots__ = (
        "_extras_at",
        "_extras_end",
        "_extras_fd",
        "_known",
        "_known_end",
        "_view",
        "base",
        "components",
        "cursor",
        "elapsed_us",
        "fd",
        "isolation",
        "k",
        "n",
        "payload_at",
        "payload_bytes",
        "rewards",
        "slot",
        "spent",
        "started_ns",
        "states",
        "stepping",
        "stop",
        "words",
    )

    def __init__(self, view: memoryview, extras_fd: int, *, fd: int = -1, slot: int = -1) -> None:
        self.fd = fd
        """Of a segment of its own; -1 in a slot."""
        self.slot = slot
        """The slot of its ring; -1: it has memory of its own."""
        n, k, payload_at, size = self.n, self.k, self.payload_at, self.payload_bytes = (
            _HEADER.unpack_from(view)
        )
        self._view = view
        self._extras_fd = extras_fd
        self._known: dict[int, list[Any]] = {}
        self._known_end = 0
        self._extras_at = payload_at + size if fd >= 0 else 0
        self.stop = view[_STOP_AT : _STOP_AT + 1]
        """1: the owner wants no further item started."""
        self.spent = view[_STOP_AT + 1 : _STOP_AT + 2]
        """1: the worker is out of memory, or holds a call that never ends; it is to be replaced."""
        self.isolation = view[_STOP_AT + 2 : _STOP_AT + 3]
        """The level of isolation that untrusted code ran under: `Reward.isolation_held`."""
        self.words = view[_STOP_AT + 3 : _STOP_AT + 4]
        """What somebody wants of what scores say beside their numbers: `WORDS`, `DETAILS`, both."""
        cells = view[_STEPPING_AT:_COLUMNS_AT].cast("Q")
        self.stepping = cells[0:1]
        """Whose code has the event loop of an async reward's worker: an item's index + 1, or 0."""
        self.base = cells[1:2]
        self.cursor = cells[2:3]
        """Of a group whose states are not written yet: its first item, and, + 1, the item that
        executes. A cursor of 0: all states are written."""
        self._extras_end = cells[3:4]
        self.states = view[_COLUMNS_AT : _COLUMNS_AT + n]
        at = _COLUMNS_AT + -(-n // 8) * 8
        self.started_ns = view[at : at + 8 * n].cast("Q")
        self.elapsed_us = view[at + 8 * n : at + 16 * n].cast("Q")
        self.rewards = view[at + 16 * n : at + 24 * n].cast("d")
        self.components = view[at + 24 * n : at + (24 + 8 * k) * n].cast("d")

    @classmethod
    def create(cls, n: int, k: int, payload: bytes) -> Segment:
        """A segment of its own for `n` items with `k` components each, all PENDING."""

        def write(memory: memoryview) -> None:
            memory[:] = payload

        return cls.with_payload(n, k, len(payload), write)

    @classmethod
    def with_payload(cls, n: int, k: int, size: int, write: Write) -> Segment:
        """As `create`; `write` fills the `size` bytes of the payload."""
        payload_at = _payload_at(n, k)
        fd = os.memfd_create("rewardplane-shard", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(fd, payload_at + size)
            # A worker that cut the file short would end its owner with SIGBUS.
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
            view = memoryview(mmap.mmap(fd, payload_at + size))
            _HEADER.pack_into(view, 0, n, k, payload_at, size)
            write(view[payload_at : payload_at + size])
            return cls(view, fd, fd=fd)
        except BaseException:
            os.close(fd)
            raise

    @classmethod
    def attach(cls, fd: int) -> Segment:
        """The segment in a file that its owner made."""
        head = os.pread(fd, _HEADER.size, 0)
        _n, _k, payload_at, size = _HEADER.unpack(head)
        return cls(memoryview(mmap.mmap(fd, payload_at + size)), fd, fd=fd)

    def payload(self) -> memoryview:
        """What the owner put in; not a copy."""
        return self._view[self.payload_at : self.payload_at + self.payload_bytes]

    def read_states(self) -> bytes:
        """A copy of the states; a value that is none counts as RUNNING."""
        cursor, base = self.cursor[0], self.base[0]
        states = self.states.tobytes().translate(_STATES)
        if not 0 < cursor <= self.n:
            return states
        base, current = min(base, cursor - 1), states[cursor - 1] or RUNNING
        ended = states[base : cursor - 1].translate(ENDED)
        return b"".join((states[:base], ended, bytes((current,)), states[cursor:]))

    def append_error(self, index: int, reason: int, message: str, *usage: list[int]) -> None:
        """Writes why an item failed, its `fault_of`.

        Before its state, so that the reader of the state finds it.
        """
        self._append([index, reason, message, *usage], _MAX_EXTRAS_BYTES)

    def append_words(
        self, index: int, explanation: str, step_rewards: list[float], answer: str, details: str
    ) -> None:
        """Writes what a score says beside its numbers, its `words_of`.

        Left out where there is no room.
        """
        record = [index, explanation, step_rewards, answer, details]
        self._append(record, _MAX_EXPLANATION_BYTES)

    def append_figures(self, figures: Mapping[str, float]) -> None:
        """Writes what the reward counted while it ran this."""
        self._append([_FIGURES, dict(figures)], _MAX_EXTRAS_BYTES)

    def figures(self) -> dict[str, float]:
        """What the reward counted."""
        counted: dict[str, Any] = {}
        for line in self._extras_from(0).split(b"\n")[:-1]:
            if line.startswith(_FIGURES_LINE):
                with contextlib.suppress(ValueError, RecursionError):
                    _, said = json.loads(line)
                    counted |= said if isinstance(said, dict) else {}
        return {
            name: float(value)
            for name, value in counted.items()
            if isinstance(value, int | float) and 0 <= value < math.inf
        }

    @property
    def has_extras(self) -> bool:
        """Whether the worker wrote any."""
        return bool(self._extras_end[0])

    def _append(self, record: list[Any], limit: int) -> None:
        line = json.dumps(record, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
        end = self._extras_end[0]
        if end + len(line) <= limit:
            self._extras_end[0] = end + os.pwrite(self._extras_fd, line, self._extras_at + end)

    def extras(self) -> dict[int, list[Any]]:
        """The extras so far by item; a torn last line, of a worker killed as it wrote, is left out.

        `fault_of` a failed item, `words_of` a scored one.
        """
        # Asked again and again while the worker writes: what was read is not read once more.
        data = self._extras_from(self._known_end)
        end = data.rfind(b"\n") + 1
        self._known_end += end
        self._known.update(filter(None, map(self._extra, data[:end].split(b"\n")[:-1])))
        return self._known

    def _extras_from(self, begin: int) -> bytes:
        size = min(self._extras_end[0], _MAX_EXTRAS_BYTES) - begin
        return os.pread(self._extras_fd, size, self._extras_at + begin) if size > 0 else b""

    def _extra(self, line: bytes) -> tuple[int, list[Any]] | None:
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            return None
        match record:
            case [int(index), int(), str()] | [int(index), str(), list(), str(), str()] if (
                0 <= index < self.n
            ):
                return index, cast("list[Any]", record[1:])
            case [int(index), int(), str(), [int(), int(), int(), int()] as spent] if (
                0 <= index < self.n and min(spent) >= 0 and max(spent) < 2**31
            ):
                return index, cast("list[Any]", record[1:])
            case _:
                return None

    def close(self) -> None:
        """Gives the descriptor of a segment of its own back; the mapping goes with its views."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


class Ring:
    """Memory for `SLOTS` segments, mapped by a worker and its owner for the worker's life.

    `fds` are the descriptors of the slots' memory and of each slot's extras: what the owner hands
    to the worker, once.
    """

    def __init__(self, fds: tuple[int, ...]) -> None:
        self.fds = fds
        memory, *self._extras = fds
        self._view = memoryview(mmap.mmap(memory, SLOTS * SLOT_BYTES))

    @classmethod
    def create(cls) -> Ring:
        """A new ring, as its owner makes it."""
        fds: list[int] = []
        try:
            for _ in range(1 + SLOTS):
                flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
                fds.append(os.memfd_create("rewardplane-ring", flags))
            os.ftruncate(fds[0], SLOTS * SLOT_BYTES)
            fcntl.fcntl(fds[0], fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
            return cls(tuple(fds))
        except BaseException:
            for fd in fds:
                os.close(fd)
            raise

    @staticmethod
    def fits(n: int, k: int, size: int) -> bool:
        """Whether a slot has room for a segment."""
        return _payload_at(n, k) + size <= SLOT_BYTES

    def segment(self, slot: int, n: int, k: int, size: int, write: Write) -> Segment:
        """A segment in a slot that is free; as `Segment.with_payload`."""
        view = self._view[slot * SLOT_BYTES : (slot + 1) * SLOT_BYTES]
        payload_at = _payload_at(n, k)
        _HEADER.pack_into(view, 0, n, k, payload_at, size)
        # All but the rewards and components, which nobody reads before the state is written.
        zeroed = -(-n // 8) * 8 + 16 * n
        view[_STOP_AT : _COLUMNS_AT + zeroed] = bytes(_COLUMNS_AT - _STOP_AT + zeroed)
        write(view[payload_at : payload_at + size])
        return Segment(view, self._extras[slot], slot=slot)

    def attach(self, slot: int) -> Segment:
        """The segment in a slot, for the worker."""
        view = self._view[slot * SLOT_BYTES : (slot + 1) * SLOT_BYTES]
        return Segment(view, self._extras[slot], slot=slot)

    def free(self, segment: Segment) -> None:
        """The owner has read a segment: what large extras took is given back."""
        fd = self._extras[segment.slot]
        if segment.has_extras and os.fstat(fd).st_size > _KEPT_EXTRAS_BYTES:
            os.ftruncate(fd, 0)

    def close(self) -> None:
        """Gives the descriptors back."""
        for fd in self.fds:
            os.close(fd)
        self.fds = ()


def _payload_at(n: int, k: int) -> int:
    return _COLUMNS_AT + -(-n // 8) * 8 + (24 + 8 * k) * n
