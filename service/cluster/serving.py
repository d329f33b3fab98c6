"""`rewardplane serve`: start → serve until a signal → reload on SIGHUP → stop.

The process writes what it is and how its last reload went to a small file, by which `rewardplane
reload` finds it: the signal only triggers, the file tells.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil
from rewardplane.config.load import ConfigError, ServiceConfig, load
from rewardplane.gateway.doors.door import door_class
from rewardplane.replica.own_folder import own_folder, read_own, write_own

from .cluster import Cluster, DeployFailed
from .options import Options

_log = logging.getLogger(__name__)

UPKEEP_EVERY_S = 2.0
RELOAD_S = 400.0


class PortTaken(Exception):
    """Somebody listens on the port; the message names who."""


class NotServing(Exception):
    """No `rewardplane serve` is known for the port."""


@dataclass(slots=True)
class State:
    """What a serving process tells: its pid, its file, and its last reload."""

    pid: int
    config: str
    started: float = 0.0
    """When the process was created: another one may have its number by now."""
    reloads: int = 0
    changed: tuple[str, ...] = ()
    fault: str = ""

    @staticmethod
    def path(port: int) -> Path | None:
        """Where the process that serves on `port` tells it; None: there is no place of our own."""
        folder = own_folder()
        return folder / f"{port}.json" if folder is not None else None

    def write(self, port: int) -> None:
        """Tells it, all at once."""
        if (path := self.path(port)) is not None:
            write_own(path, json.dumps(asdict(self)))

    @classmethod
    def read(cls, port: int) -> State:
        """What the process on `port` tells.

        Raises:
            NotServing: there is none, or it is gone.
        """
        try:
            path = cls.path(port)
            state = cls(**json.loads(read_own(path) if path is not None else ""))
        except (OSError, ValueError, TypeError):
            raise NotServing(f"no `rewardplane serve` is known for port {port}") from None
        if not state.is_alive():
            raise NotServing(f"`rewardplane serve` for port {port} (pid {state.pid}) is gone")
        return state

    def is_alive(self) -> bool:
        """Whether the process that told it runs, and not another one of its number."""
        try:
            return psutil.Process(self.pid).create_time() == self.started
        except (psutil.Error, TypeError, ValueError):
            return False


def serve(path: Path, options: Options, on_ready: Callable[[Cluster, ServiceConfig], None]) -> None:
    """Serves a configuration file until SIGTERM or SIGINT; SIGHUP reloads it.

    `on_ready` is called once, when the gateway answers.

    Raises:
        ConfigError: the file cannot be served.
        PortTaken: somebody listens on one of the ports.
        DoorUnavailable: this host does not have what the door needs.
        DeployFailed: the rewards or the gateway did not come up.
    """
    config = load(path)
    check_ports(options)
    door_class(options.door)
    signals: queue.SimpleQueue[int] = queue.SimpleQueue()
    cluster = Cluster(options)
    cluster.start(config)
    # Only now: Ray puts handlers of its own in their place when it starts.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda received, _frame: signals.put(received))
    state = State(os.getpid(), str(path.resolve()), psutil.Process().create_time())
    try:
        state.write(cluster.port)
        on_ready(cluster, config)
        while True:
            try:
                received = signals.get(timeout=UPKEEP_EVERY_S)
            except queue.Empty:
                cluster.upkeep()
                continue
            if received != signal.SIGHUP:
                return
            _reload(cluster, path, state)
            state.write(cluster.port)
    finally:
        if (told := State.path(cluster.port)) is not None:
            told.unlink(missing_ok=True)
        cluster.stop()


def reload(port: int) -> State:
    """Asks the process on `port` to reload its file; returns what it tells of it.

    Raises:
        NotServing: there is no such process, or it did not answer.
    """
    before = State.read(port)
    os.kill(before.pid, signal.SIGHUP)
    deadline_s = time.monotonic() + RELOAD_S
    while time.monotonic() < deadline_s:
        after = State.read(port)
        if after.reloads > before.reloads:
            return after
        time.sleep(0.1)
    raise NotServing(f"pid {before.pid} did not reload within {RELOAD_S:g} s; see its log")


def check_ports(options: Options) -> None:
    """Refuses ports that are taken, before anything is started.

    Raises:
        PortTaken: with the name of the owner, where it can be seen.
    """
    # Gateways that share a port would share it with whoever has it now, without an error.
    wanted = [options.port]
    for first in filter(None, (options.metrics_port, options.http_port)):
        wanted += [first + rank for rank in range(options.gateways_per_node)]
    for port in wanted:
        if port == 0:
            continue
        with socket.socket(socket.AF_INET6 if ":" in options.host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((options.host, port))
            except OSError as error:
                raise PortTaken(
                    f"{options.host}:{port}: {error.strerror}; {_owner(port)}"
                ) from None


def _reload(cluster: Cluster, path: Path, state: State) -> None:
    state.reloads += 1
    state.changed, state.fault = (), ""
    try:
        state.changed = tuple(cluster.reload(load(path)))
    except (ConfigError, DeployFailed) as error:
        state.fault = str(error)
        _log.error("not reloaded: %s", error)
    else:
        _log.warning("reloaded: %s", ", ".join(state.changed) or "nothing changed")


def _owner(port: int) -> str:
    try:
        for connection in psutil.net_connections(kind="tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr[1:2] == (port,):
                if connection.pid is None:
                    break
                process = psutil.Process(connection.pid)
                return f"held by pid {process.pid}, {' '.join(process.cmdline())[:200]!r}"
    except psutil.Error:
        pass
    return "held by a process of somebody else"
