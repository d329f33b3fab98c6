"""Sockets of other processes, to break them where they stand."""

from __future__ import annotations

import ctypes
import os
import socket
from pathlib import Path

_PIDFD_GETFD = 438  # the same number on every architecture


def listens(pid: int, port: int) -> bool:
    """Whether a process has the socket by which somebody listens on a port."""
    found = f"socket:[{_inode(port)}]"
    return found in {str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()}


def listener(pid: int, port: int) -> socket.socket:
    """The very socket (IPv4) by which a process listens on a port; the caller closes it."""
    inode = _inode(port)
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            if str(link.readlink()) == f"socket:[{inode}]":
                return socket.socket(fileno=_taken(pid, int(link.name)))
        except FileNotFoundError:
            continue
    raise AssertionError(f"pid {pid} does not listen on port {port}")


def _inode(port: int) -> str:
    """Of the listening socket: state 0A in the kernel's table."""
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
            return fields[9]
    raise AssertionError(f"nobody listens on port {port}")


def _taken(pid: int, number: int) -> int:
    """A descriptor of our own for one of another process."""
    process = os.pidfd_open(pid)
    try:
        found = ctypes.CDLL(None, use_errno=True).syscall(_PIDFD_GETFD, process, number, 0)
    finally:
        os.close(process)
    if found < 0:
        raise OSError(ctypes.get_errno(), f"pidfd_getfd of pid {pid}")
    return found
