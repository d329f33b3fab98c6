"""Hosts on one machine: namespaces of network, processes and files, joined by a bridge.

The process that makes them must itself run in namespaces of network and mounts of its own (see
`alone`); everything ends with it, and nothing is left on the machine. Wants root and `ip`.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import psutil

NETWORK = "10.77"
OUTSIDE = f"{NETWORK}.0.1"
"""The address of the process that makes the hosts."""
ALONE = "REWARDPLANE_ALONE"


def alone(module: str) -> None:
    """Runs this command anew in namespaces of network and mounts of its own, unless it is there."""
    if os.environ.get(ALONE):
        return
    unshare = ["unshare", "--net", "--mount", "--propagation", "private"]
    os.environ[ALONE] = "1"
    os.execvp(unshare[0], [*unshare, sys.executable, "-m", module, *sys.argv[1:]])  # noqa: S606


def ip(line: str) -> None:
    """One command of iproute2."""
    subprocess.run(["ip", *line.split()], check=True)


@dataclass
class Host:
    """One host, with one container in it."""

    name: str
    address: str
    cable: str
    process: subprocess.Popen[bytes]
    env: dict[str, str]
    log: Path
    begun_s: float = field(default_factory=time.monotonic)

    @property
    def first(self) -> int:
        """Its process 1, by its number out here; 0: there is none any more."""
        with contextlib.suppress(psutil.Error):
            for child in psutil.Process(self.process.pid).children():
                return child.pid
        return 0

    def kill(self) -> None:
        """SIGKILL to its process 1: all others end with it."""
        if self.first:
            os.kill(self.first, signal.SIGKILL)
        self.process.wait(timeout=30)

    def unplug(self) -> None:
        """Takes its network away, without a word to anybody."""
        ip(f"link set {self.cable} down")

    def terminate(self, grace_s: float) -> float:
        """SIGTERM, and SIGKILL after the pod's grace; the seconds until it has ended."""
        begin_s = time.monotonic()
        if self.first:
            os.kill(self.first, signal.SIGTERM)
        try:
            self.process.wait(timeout=grace_s)
        except subprocess.TimeoutExpired:
            self.kill()
        return time.monotonic() - begin_s

    def run(self, command: list[str], timeout_s: float = 300) -> subprocess.CompletedProcess[str]:
        """A command in it, as `kubectl exec` runs one."""
        enter = ["nsenter", "-t", str(self.first), "-m", "-p", "-n", "-i", "-u", "--"]
        enter += ["setpriv", "--reuid", "1000", "--regid", "1000", "--clear-groups"]
        return subprocess.run(
            [*enter, *command],
            env=self.env,
            cwd="/",
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )


class Network:
    """The bridge, and the hosts on it. A context manager; at its end all of them are killed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.names = folder / "names"
        """What the name server tells."""
        self.hosts: list[Host] = []
        self._numbers = itertools.count(2)

    def __enter__(self) -> Network:
        ip("link set lo up")
        ip("link add bridge0 type bridge")
        ip(f"address add {OUTSIDE}/16 dev bridge0")
        ip("link set bridge0 up")
        self.names.touch()
        self._start_name_server()
        self.resolver = self.folder / "resolv.conf"
        self.resolver.write_text(f"nameserver {OUTSIDE}\n")
        subprocess.run(["mount", "--bind", self.resolver, "/etc/resolv.conf"], check=True)
        return self

    def _start_name_server(self) -> None:
        """A real one: gRPC's own resolver wants an answer, whatever stands in /etc/hosts."""
        flags = ["--keep-in-foreground", "--no-resolv", "--no-hosts", "--local=/#/", "--pid-file"]
        flags += [
            f"--listen-address={OUTSIDE}",
            "--bind-interfaces",
            "--user=root",
            "--local-ttl=5",
        ]
        with (self.folder / "names.log").open("wb") as log:
            self._server = subprocess.Popen(
                ["dnsmasq", *flags, f"--addn-hosts={self.names}"], stdout=log, stderr=log
            )

    def __exit__(self, *_: object) -> None:
        for host in self.hosts:
            if host.process.poll() is None:
                host.kill()
        self._server.terminate()
        self._server.wait()

    def know(self, names: dict[str, list[str]]) -> None:
        """Has the name server tell these names, each with its addresses, from now on."""
        lines = [f"{host.address} {host.name}" for host in self.hosts]
        lines += [f"{address} {name}" for name, found in names.items() for address in found]
        self.names.write_text("\n".join(lines) + "\n")
        self._server.send_signal(signal.SIGHUP)

    def start(
        self, name: str, command: list[str], env: dict[str, str], volumes: dict[str, Path]
    ) -> Host:
        """A new host that runs a container's command as its process 1, as user 1000."""
        number = next(self._numbers)
        address = f"{NETWORK}.{number // 200 + 1}.{number % 200 + 1}"
        spec: dict[str, Any] = {
            "name": name,
            "address": address,
            "gateway": OUTSIDE,
            "uid": 1000,
            "size": "1g",
            "command": command,
            "env": env,
            "volumes": {
                "/etc/resolv.conf": str(self.resolver),
                **{k: str(v) for k, v in volumes.items()},
            },
        }
        unshare = ["unshare", "--net", "--mount", "--pid", "--ipc", "--uts", "--propagation"]
        unshare += ["private", "--fork", "--kill-child=SIGKILL", "--mount-proc"]
        log = self.folder / f"{name}.log"
        init = str(Path(__file__).with_name("host_init.py"))
        with log.open("wb") as out:
            process = subprocess.Popen(
                [*unshare, sys.executable, init, json.dumps(spec)],
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        cable = f"v{number}"
        host = Host(name, address, cable, process, env, log)
        self.hosts.append(host)
        until_s = time.monotonic() + 30
        while not host.first and time.monotonic() < until_s:
            time.sleep(0.05)
        ip(f"link add {cable} type veth peer name eth0 netns {host.first}")
        ip(f"link set {cable} master bridge0 up")
        stdin: IO[bytes] | None = process.stdin
        assert stdin is not None
        stdin.write(b"\n")
        stdin.close()
        return host
