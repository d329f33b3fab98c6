"""A server under test as a tree of processes: start, CPU time, memory, stop."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

REPO = Path(__file__).resolve().parents[2]
_START = """\
import ctypes, os, signal, sys
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
prctl = ctypes.CDLL(None).prctl
prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
os.execvp(sys.argv[1], sys.argv[1:])
"""
"""In a program of its own: between fork and exec, gRPC's handlers crash one child in a dozen while
this process makes calls."""


class Tree:
    """A process with all its descendants, also those whose parent has ended (Linux).

    The root is made a child subreaper: orphans become its children, so that none is lost to the
    count. When this process is killed, the root gets SIGTERM. See prctl(2).
    """

    def __init__(self, argv: Sequence[str], env: Mapping[str, str], log: Path):
        self._log = log
        with log.open("wb") as out:
            self._root = subprocess.Popen(
                [sys.executable, "-S", "-E", "-c", _START, *argv],
                cwd=REPO,
                env={**os.environ, "PYTHONPATH": str(REPO), **env},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def log_tail(self) -> str:
        """The last lines that the root wrote."""
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-15:])

    def alive(self) -> bool:
        """Whether the root still runs."""
        return self._root.poll() is None

    @property
    def end(self) -> int | None:
        """What the root ended with; None: it runs."""
        return self._root.poll()

    def processes(self) -> list[psutil.Process]:
        """The root and all its descendants."""
        try:
            root = psutil.Process(self._root.pid)
            return [root, *root.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def cpu_s(self) -> float:
        """User and system time of all processes so far, ended children included, in seconds."""
        total = 0.0
        for process in self.processes():
            try:
                t = process.cpu_times()
            except psutil.NoSuchProcess:
                continue
            total += t.user + t.system + t.children_user + t.children_system
        return total

    def rss_bytes(self) -> dict[str, int]:
        """Resident memory by command line, of processes of the same one the largest."""
        sizes: dict[str, int] = {}
        for process in self.processes():
            try:
                name, rss = " ".join(process.cmdline()), process.memory_info().rss
            except psutil.Error:
                continue
            sizes[name] = max(rss, sizes.get(name, 0))
        return sizes

    @contextmanager
    def suspended(self) -> Iterator[None]:
        """Keeps all of them from running (SIGSTOP): Ray's processes are never quite at rest."""
        stopped = self.processes()
        for process in stopped:
            with suppress(psutil.NoSuchProcess):
                process.suspend()
        try:
            yield
        finally:
            for process in stopped:
                with suppress(psutil.NoSuchProcess):
                    process.resume()

    def stop(self, grace_s: float = 30.0) -> None:
        """SIGTERM to the root; after the grace, SIGKILL to whatever is left of the tree."""
        family = self.processes()
        if self.alive():
            self._root.send_signal(signal.SIGTERM)
            try:
                self._root.wait(grace_s)
            except subprocess.TimeoutExpired:
                self._root.kill()
                self._root.wait()
        for process in psutil.wait_procs(family, timeout=2)[1]:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue


def python(module: str, *args: str) -> list[str]:
    """The command that runs a module of this package."""
    return [sys.executable, "-m", f"{__package__}.{module}", *args]


def machine_busy_s() -> float:
    """CPU time that the whole machine has spent busy, in seconds."""
    t = psutil.cpu_times()
    return t.user + t.nice + t.system + t.irq + t.softirq


def connected(port: int) -> socket.socket:
    """A connection to a port of the loopback. Raises OSError."""
    return socket.create_connection(("127.0.0.1", port), timeout=5)
