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
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil
from rewardplane.config.load import ConfigError, ServiceConfig, load
from rewardplane.gateway.doors.door import door_class

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
    reloads: int = 0
    changed: tuple[str, ...] = ()
    fault: str = ""

    @staticmethod
    def path(port: int) -> Path:
        """Where the process that serves on `port` tells it."""
        return Path(tempfile.gettempdir()) / f"rewardplane-{os.getuid()}" / f"{port}.json"

    def write(self, port: int) -> None:
        """Tells it, all at once."""
        path = self.path(port)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        draft = path.with_suffix(f".{os.getpid()}")
        draft.write_text(json.dumps(asdict(self)))
        draft.replace(path)

    @classmethod
    def read(cls, port: int) -> State:
        """What the process on `port` tells.

        Raises:
            NotServing: there is none, or it is gone.
        """
        try:
            state = cls(**json.loads(cls.path(port).read_text()))
        except (OSError, ValueError, TypeError):
            raise NotServing(f"no `rewardplane serve` is known for port {port}") from None
        if not psutil.pid_exists(state.pid):
            raise NotServing(f"`rewardplane serve` for port {port} (pid {state.pid}) is gone")
        return state


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
    state = State(os.getpid(), str(path.resolve()))
    try:
        state.write(options.port)
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
            state.write(options.port)
    finally:
        State.path(options.port).unlink(missing_ok=True)
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
    wanted = [options.port] if options.gateways_per_node == 1 else []
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
