"""What connections hold of messages that are not complete; those that hold too much are shut.

A door collects a message before it hands the call on, so that admission knows nothing of it until
then. The kernel counts what each connection has received (TCP_INFO), and the door what it has
handed on; the difference is held. Where all together hold more than they may, the connections that
hold most are shut; so is one whose message has not come to its end in time. Their clients see
UNAVAILABLE and may call again. Linux only; elsewhere nothing is watched.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import stat
import time
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import unquote

_log = logging.getLogger(__name__)

EVERY_S = 0.25
EVERY_WHEN_FULL_S = 0.05
CALL_BYTES = 1024
"""What a call may have on the wire beside its message without being taken for unfinished."""
SMALL_BYTES = 2**20
"""What a connection may hold as long as it likes: settings, pings, calls that were taken back."""
_TCP_INFO = getattr(socket, "TCP_INFO", 11)
_BYTES_RECEIVED = slice(128, 136)  # tcpi_bytes_received of struct tcp_info, linux/tcp.h

Address = tuple[str, int]


class Receiving(Protocol):
    """A door, as far as it is watched."""

    received: dict[str, int]
    """By peer, the bytes handed on since the last look, `CALL_BYTES` a call included."""


@dataclass(slots=True)
class _Connection:
    received: int
    since_s: float
    held: int = 0


@dataclass(slots=True)
class Connections:
    """The connections to one port of this process. Owned by an event loop; see `watch`."""

    port: int
    max_bytes: int
    """What all together may hold of messages that are not complete."""
    patience_s: float
    """How long one may hold a message that does not come to its end."""
    count: int = 0
    bytes: int = 0
    """What all of them hold now."""
    cut: Counter[str] = field(default_factory=Counter[str])
    """How many were shut, by reason."""
    _known: dict[Address, _Connection] = field(default_factory=dict[Address, _Connection])
    _others: dict[int, int] = field(default_factory=dict[int, int])
    """The inodes of sockets that are not of this port, by their descriptors."""

    async def watch(self, door: Receiving) -> None:
        """Looks again and again, until it is cancelled."""
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1, "connections") as thread:
            while True:
                full = self.bytes > self.max_bytes // 4
                await asyncio.sleep(EVERY_WHEN_FULL_S if full else EVERY_S)
                received, door.received = door.received, {}
                try:
                    await loop.run_in_executor(thread, self.look, received)
                except Exception:  # noqa: BLE001 - our fault: the next look may go well
                    _log.exception("the connections cannot be looked at")

    def look(self, received: Mapping[str, int]) -> None:
        """Counts, and shuts what holds too much. `received`: as of a door."""
        handed_on = {_address_of(peer): size for peer, size in received.items()}
        now_s = time.monotonic()
        try:
            ends = self._ends()
        except OSError as error:  # descriptors are used up, or there is no /proc
            _log.warning("the connections cannot be looked at: %s", error)
            return
        try:
            known = {
                address: self._updated(address, size, handed_on.get(address, 0), now_s)
                for address, (_end, size) in ends.items()
            }
            self.bytes = sum(connection.held for connection in known.values())
            for address in sorted(known, key=lambda a: known[a].held, reverse=True):
                connection = known[address]
                if self.bytes > self.max_bytes:
                    self._shut(ends[address][0], address, connection, "memory")
                elif connection.held <= SMALL_BYTES:
                    break
                elif now_s - connection.since_s > self.patience_s:
                    self._shut(ends[address][0], address, connection, "unfinished")
        finally:
            for end, _size in ends.values():
                end.close()
        self._known = known
        self.count = len(known)

    def _ends(self) -> dict[Address, tuple[socket.socket, int]]:
        """Each connection to the port: who is there, a descriptor of ours for it, bytes received.

        The descriptors are copies: by the time they are used, another thread may have closed its
        own and have been given the number for something else. The process may have thousands of
        other sockets, of its HTTP port and to replicas: those are looked at once.

        Raises:
            OSError: descriptors are used up, or there is no /proc.
        """
        ends: dict[Address, tuple[socket.socket, int]] = {}
        known, self._others = self._others, {}
        for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - in a thousandth of the time
            try:
                number = int(name)
                about = os.fstat(number)
                if not stat.S_ISSOCK(about.st_mode):
                    continue
                if known.get(number) == about.st_ino:
                    self._others[number] = about.st_ino
                    continue
                end = socket.socket(fileno=os.dup(number))
            except OSError:
                continue
            try:
                if end.family in (socket.AF_INET, socket.AF_INET6) and (
                    end.getsockname()[1] == self.port
                ):
                    host, peer_port = end.getpeername()[:2]
                    address = _plain(host), peer_port
                    info = end.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, 256)
                    if address not in ends:  # else it is one of our own copies
                        ends[address] = end, int.from_bytes(info[_BYTES_RECEIVED], "little")
                        continue
                else:
                    self._others[number] = about.st_ino
            except OSError:  # it listens, or is gone
                pass
            end.close()
        return ends

    def _updated(self, address: Address, size: int, handed_on: int, now_s: float) -> _Connection:
        known = self._known.get(address)
        if known is None or size < known.received:
            known = _Connection(0, now_s)
        # Never below nothing: what was handed on gives no credit for what is to come.
        known.held = max(0, known.held + size - known.received - handed_on)
        if handed_on or known.held <= SMALL_BYTES:
            known.since_s = now_s
        known.received = size
        return known

    def _shut(self, end: socket.socket, address: Address, what: _Connection, why: str) -> None:
        _log.warning(
            "the connection of %s:%d is shut (%s): it holds %d bytes of unfinished messages",
            *address,
            why,
            what.held,
        )
        self.cut[why] += 1
        self.bytes -= what.held
        what.held = 0
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:  # its client was faster
            return


def _address_of(peer: str) -> Address:
    """What gRPC calls "ipv4:127.0.0.1:80" or "ipv6:%5B::1%5D:80"."""
    host, _, port = unquote(peer).rpartition(":")
    return _plain(host.partition(":")[2].strip("[]")), int(port) if port.isdecimal() else 0


def _plain(host: str) -> str:
    return host.removeprefix("::ffff:")
