"""`rewardplane serve`: start → serve until a signal → reload on SIGHUP → stop.

With Ray or without: what is served with is made by the caller.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import psutil
from rewardplane.config.load import ConfigError, ServiceConfig, load
from rewardplane.gateway.doors.door import door_class

from .options import Options
from .progress import DeployFailed, Progress, Stopped
from .signals import Signals
from .state import NotServing, State

_log = logging.getLogger(__name__)

UPKEEP_EVERY_S = 2.0
WATCH_EVERY_S = 0.5
_OPTION = {"gRPC": "port", "metrics": "metrics-port", "HTTP": "http-port"}
_LEFT = "ServeReplica:rewardplane-gateway"
"""In the title of a gateway's process on Ray."""


class PortTaken(Exception):
    """Somebody listens on the port; the message names who."""


class Service(Protocol):
    """What is served with: the cluster's, or the one of this process alone."""

    def start(self, config: ServiceConfig, progress: Progress, /) -> None:
        """Brings it up. Raises DeployFailed, Stopped; nothing is left then."""
        ...

    def reload(self, config: ServiceConfig, progress: Progress, /) -> list[str]:
        """Serves it from now on; the rewards that changed. Raises DeployFailed, Stopped."""
        ...

    def upkeep(self) -> None:
        """What is to be done now and then. Raises Stopped where another process serves now."""
        ...

    def addresses(self) -> list[str]:
        """Where it listens."""
        ...

    def stop(self) -> None:
        """Lets calls in flight end, then ends."""
        ...


def serve(
    path: Path,
    options: Options,
    make: Callable[[Options], Service],
    on_ready: Callable[[Service, ServiceConfig], None],
    tell: Callable[[str], None],
    *,
    watch: bool = False,
) -> None:
    """Serves a configuration file until SIGTERM or SIGINT; SIGHUP reloads it.

    `on_ready` is called once, when a gateway answers; `tell` with what is waited for. `watch`
    reloads when the file, or a Python file beside it, has changed.

    Raises:
        ConfigError: the file cannot be served.
        PortTaken: somebody listens on one of the ports.
        DoorUnavailable: this host does not have what the door needs.
        DeployFailed: the rewards or the gateway did not come up.
    """
    signals = Signals()
    signals.take()
    config = load(path)
    check_ports(options)
    door_class(options.door)
    options = options.with_port()
    state = State(os.getpid(), str(path.resolve()), psutil.Process().create_time())

    def told(text: str) -> None:
        signals.take()
        state.waits_for = text
        state.write(options.port)
        tell(text)

    def stopped() -> bool:
        return signals.stopped

    service = make(options)
    try:
        state.write(options.port)
        service.start(config, Progress(told, stopped))
        try:
            signals.take()
            state.waits_for = ""
            state.write(options.port)
            on_ready(service, config)
            seen = _times_of(path)
            while not signals.stopped:
                asked = signals.asks_for_reload(WATCH_EVERY_S if watch else UPKEEP_EVERY_S)
                now = _times_of(path) if watch else seen
                if asked or now != seen:
                    seen = now
                    progress = Progress(told, stopped, signals.has_reload)
                    _reload(service, path, state, progress)
                    state.write(options.port)
                elif not signals.stopped:
                    _upkeep(service)
                    if state.is_late:
                        state.write(options.port)
        finally:
            service.stop()
    except Stopped:
        _log.warning("stopped by a signal" if signals.stopped else "another process serves now")
    finally:
        State.forget(options.port)


def check_ports(options: Options) -> None:
    """Refuses ports that are taken, before anything is started.

    Raises:
        PortTaken: with the name of the owner, where it can be seen.
    """
    # Gateways that share a port would share it with whoever has it now, without an error.
    wanted: dict[int, str] = {options.port: "gRPC"}
    for what, first in (("metrics", options.metrics_port), ("HTTP", options.http_port)):
        for port in range(first, first + options.gateways_per_node) if first else ():
            if port in wanted:
                raise PortTaken(
                    f"port {port} is to be that of {wanted[port]} and of {what}; each wants its "
                    "own, and with --gateways-per-node the next ones too"
                )
            wanted[port] = what
    for port in wanted:
        if port == 0:
            continue
        with socket.socket(socket.AF_INET6 if ":" in options.host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((options.host, port))
            except OverflowError:
                raise PortTaken(f"port {port} is beyond 65535") from None
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise PortTaken(
                        f"cannot listen on {options.host}, port {port}: {error.strerror}; want an "
                        "address of this machine for --host (0.0.0.0: all)"
                    ) from None
                owner = _owner(port)
                if options.address != "local" and _LEFT in owner:
                    continue  # a gateway that `--keep` left there: it is taken over
                raise PortTaken(
                    f"{options.host}:{port}: {error.strerror}; {owner}; "
                    f"another one: --{_OPTION[wanted[port]]}"
                ) from None


def _reload(service: Service, path: Path, state: State, progress: Progress) -> None:
    state.reloads += 1
    state.is_reloading = True
    state.changed, state.fault, state.notes = (), "", ()
    try:
        state.changed = tuple(service.reload(load(path), progress))
    except (ConfigError, DeployFailed) as error:
        state.fault = str(error)
        _log.error("not reloaded: %s", "; ".join(str(error).splitlines()))
    except Stopped:
        state.fault = "the service was told to stop"
    except Exception as error:  # noqa: BLE001 - what serves goes on, whatever became of the new
        state.fault = f"{type(error).__name__}: {error}"
        _log.exception("not reloaded")
    else:
        state.notes = tuple(progress.notes)
        for note in state.notes:
            _log.info("%s", note)
        _log.info("reloaded: %s", ", ".join(state.changed) or "nothing changed")
    state.is_reloading = False
    state.waits_for = ""


def _upkeep(service: Service) -> None:
    try:
        service.upkeep()
    except Stopped:
        raise
    except Exception:  # noqa: BLE001 - what serves goes on, whatever the control plane answers
        _log.exception("upkeep failed; it is tried again")


def _times_of(path: Path) -> dict[Path, int]:
    """When the configuration and the Python files beside it were written, in nanoseconds."""
    times: dict[Path, int] = {}
    for file in (path, *path.resolve().parent.glob("*.py")):
        with contextlib.suppress(OSError):
            times[file] = file.stat().st_mtime_ns
    return times


def _owner(port: int) -> str:
    with contextlib.suppress(NotServing):
        return f"held by `rewardplane serve`, pid {State.read(port).pid}"
    try:
        for connection in psutil.net_connections(kind="tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr[1:2] == (port,):
                if connection.pid is None:
                    break
                process = psutil.Process(connection.pid)
                return f"held by pid {process.pid}, {' '.join(process.cmdline()).strip()[:200]!r}"
    except psutil.Error:
        pass
    return "held by a process of somebody else"
