"""Bad days of hosts, for `tests.load.faults`: a lost node, a full disk, a clock that jumps.

Each has a service of its own:

- `Nodes`: a Ray cluster whose second node, with one of the two replicas, has raylets of its own
  process and, where this user may make time namespaces, a monotonic clock ten days ahead;
- `Cramped`: its temporary folder and /dev/shm are small file systems of its own, which are filled;
- `Jumping`: the wall clock of its Python processes is off by hours, this way and that.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from rewardplane.cluster.names import GATEWAY_LABEL, NO_GATEWAY

from .peer import Service
from .servers import Tree

AHEAD_S = 10 * 86_400
JUMPS_S = (3600, -7200, 86_400, -86_400, 0)
_IN_SMALL = (
    'mkdir -p "$0" && mount -t tmpfs -o size=32m tmpfs "$0" && '
    'mount -t tmpfs -o size=24m tmpfs /dev/shm && exec "$@"'
)


def allowed(*flags: str) -> bool:
    """Whether this user may make such namespaces."""
    with suppress(OSError):
        return subprocess.run(["unshare", *flags, "true"], capture_output=True).returncode == 0
    return False


@dataclass
class Nodes(Service):
    """A service on a Ray cluster of two nodes; `lose` kills the second one's raylet."""

    cluster: Any = None
    node: Tree | None = None
    joining: asyncio.Task[None] | None = None

    def command(self) -> Sequence[str]:
        """Joins the cluster, which it starts."""
        from ray.cluster_utils import Cluster

        head = {"num_cpus": 1, "object_store_memory": 80 * 2**20, "include_dashboard": False}
        self.cluster = Cluster(initialize_head=True, head_node_args=head)
        self.begin_node()
        return [*super().command(), "--address", self.cluster.address]

    @property
    def clocks_differ(self) -> bool:
        """Whether the second node has a monotonic clock of its own."""
        return allowed("--time", "--monotonic", "1")

    def begin_node(self) -> None:
        """Starts the second node."""
        assert self.cluster is not None
        apart = ["unshare", "--time", "--monotonic", str(AHEAD_S), "--fork", "--kill-child"]
        command = [
            *(apart if self.clocks_differ else ()),
            *(str(Path(sys.executable).with_name("ray")), "start", "--block"),
            *("--address", self.cluster.address, "--num-cpus", "1", "--disable-usage-stats"),
            *("--object-store-memory", str(80 * 2**20)),
            *("--labels", f"{GATEWAY_LABEL}={NO_GATEWAY}"),
        ]
        folder = self.home / "node"
        folder.mkdir(exist_ok=True)
        # Its replica is reached by Serve's handle, as one of another host.
        env = {"TMPDIR": str(folder), "PYTHONUNBUFFERED": "1"}  # its last words are to be read
        self.node = Tree(command, env, self.home / "node.log")

    async def lose(self) -> float:
        """SIGKILL to the second node's raylet, once a replica runs there; when that was.

        A new node takes its place.
        """
        if self.joining is not None:
            await self.joining
        assert self.node is not None
        node = self.node
        for _ in range(600):
            processes = await asyncio.to_thread(node.processes)
            raylets: list[psutil.Process] = []
            has_replica = False
            for process in processes:
                with suppress(psutil.Error):
                    raylets += [process] * (process.name() == "raylet")
                    has_replica |= "ServeReplica:rewardplane-one" in " ".join(process.cmdline())
            if raylets and has_replica:
                break
            if not node.alive():
                raise RuntimeError(f"the second node ended: {node.end}, {self.last_words()}")
            await asyncio.sleep(0.1)
        else:
            raise RuntimeError(f"no replica runs on the second node: {node.log_tail}")
        await asyncio.sleep(3)  # it has had its share of the work
        for raylet in raylets:
            raylet.send_signal(signal.SIGKILL)
        self.joining = asyncio.create_task(self._another(node))
        return time.monotonic()

    def last_words(self) -> str:
        """What the second node and its raylet wrote last."""
        assert self.node is not None
        logs = sorted(self.home.glob("node/ray/session_2*/logs/raylet.*"))
        tails = [f"{log}: {log.read_text(errors='replace')[-1500:]}" for log in logs]
        return "\n".join([self.node.log_tail, *tails])

    async def _another(self, node: Tree) -> None:
        await asyncio.to_thread(node.stop, 10.0)
        self.begin_node()

    def stop(self) -> None:
        """Ends service, node and cluster."""
        super().stop()
        if self.node is not None:
            self.node.stop()
            self.node = None
        if self.cluster is not None:
            self.cluster.shutdown()
            self.cluster = None


@dataclass
class Cramped(Service):
    """A service whose temporary folder and /dev/shm are small; `fill` fills both for a while."""

    def command(self) -> Sequence[str]:
        """In a mount namespace of its own."""
        in_small = ["unshare", "--mount", "sh", "-c", _IN_SMALL, str(self.home / "tmp")]
        return [*in_small, *super().command()]

    def environment(self) -> Mapping[str, str]:
        """Ray's own files lie elsewhere."""
        (self.home / "ray").mkdir(exist_ok=True)
        return {"TMPDIR": str(self.home / "tmp"), "RAY_TMPDIR": str(self.home / "ray")}

    async def fill(self) -> None:
        """No byte is left for two seconds."""
        inside = Path(f"/proc/{self.running.processes()[0].pid}/root")
        files = [inside / str(self.home / "tmp")[1:] / "full", inside / "dev/shm/full"]
        for path in files:
            with path.open("wb", buffering=0) as file, suppress(OSError):
                while True:
                    file.write(bytes(1 << 16))
        for path in files:
            if shutil.disk_usage(path.parent).free:
                raise RuntimeError(f"{path.parent} is not full")
        await asyncio.sleep(2)
        for path in files:
            path.unlink()


@dataclass
class Jumping(Service):
    """A service whose wall clock `jump` puts off."""

    jumps: int = 0

    def environment(self) -> Mapping[str, str]:
        """The clock is preloaded.

        Raises:
            RuntimeError: it cannot be compiled here.
        """
        made, source = self.home / "jump.so", Path(__file__).with_name("jump.c")
        told = subprocess.run(
            ["cc", "-O1", "-shared", "-fPIC", "-o", str(made), str(source), "-ldl"],
            capture_output=True,
            text=True,
        )
        if told.returncode:
            raise RuntimeError(f"the clock cannot be compiled: {told.stderr}")
        self._write(0)
        self.env = {"LD_PRELOAD": str(made), "CLOCK_JUMP_FILE": str(self.home / "offset")}
        self.check()
        return self.env

    def _write(self, offset_s: int) -> None:
        with (self.home / "offset").open("r+b" if self.jumps else "wb") as file:
            file.write(struct.pack("=q", offset_s))
        self.jumps += 1

    def check(self) -> None:
        """That the clock of a Python does jump."""
        self._write(1000)
        code = "import time; print(time.time())"
        env = {**os.environ, **self.env}
        told = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
        self._write(0)
        if abs(float(told.stdout) - 1000 - time.time()) > 60:
            raise RuntimeError("the clock does not jump")

    async def jump(self) -> None:
        """Another offset from here on."""
        self._write(JUMPS_S[self.jumps % len(JUMPS_S)])
