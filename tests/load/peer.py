"""A server under load: how it is started, when it is ready, how it is stopped."""

from __future__ import annotations

import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from .payload import Shape, build
from .scoring import METHOD
from .servers import Tree

START_TIMEOUT_S = 180.0
SETTLE_S = 0.3
"""After stopped processes go on, until what they had to catch up with is done."""


@dataclass
class Peer:
    """A server of `RewardService/Score` on a free port of the loopback, with scratch of its own."""

    name: str
    replicas: int = 2
    port: int = 0
    tree: Tree | None = None
    home: Path = field(default_factory=Path)

    def command(self) -> Sequence[str]:
        """The command line that serves on `self.port`, with `self.home` as scratch."""
        raise NotImplementedError

    def environment(self) -> Mapping[str, str]:
        """The environment that the peer gets beside the benchmark's own."""
        return {}

    @property
    def settings(self) -> str:
        """What was chosen for this peer, in words."""
        raise NotImplementedError

    @property
    def address(self) -> str:
        """Where it serves."""
        return f"127.0.0.1:{self.port}"

    @property
    def running(self) -> Tree:
        """Its processes, between `start` and `stop`."""
        assert self.tree is not None
        return self.tree

    def ready(self) -> bool:
        """Whether it scores the benchmark's reward.

        Raises:
            RuntimeError: it does, and wrongly.
        """
        probe = build(Shape(2, 1), 8, seed=-99)
        try:
            with grpc.insecure_channel(self.address) as channel:
                send = channel.unary_unary(METHOD)
                answers = [send(raw, timeout=5) for raw in probe.calls]
        except grpc.RpcError:
            return False
        wrong = probe.wrong_answers(answers)
        if wrong:
            raise RuntimeError(f"{self.name} scores {wrong} of the probe's items wrongly")
        return True

    def start(self) -> None:
        """Starts it and returns when it is ready.

        Raises:
            RuntimeError: it ended, or was not ready in `START_TIMEOUT_S`; with its last words.
        """
        self.port = free_port()
        self.home = Path(tempfile.mkdtemp(prefix="rpb-"))
        self.tree = Tree(self.command(), self.environment(), self.home / "log")
        try:
            self._await_ready(self.tree)
        except BaseException:
            self.stop()
            raise

    def _await_ready(self, tree: Tree) -> None:
        end = time.monotonic() + START_TIMEOUT_S
        while not self.ready():
            if time.monotonic() > end or not tree.alive():
                words = tree.log_tail
                raise RuntimeError(f"{self.name} does not serve; its last words:\n{words}")
            time.sleep(0.3)

    def stop(self) -> None:
        """Ends it and all its processes, and removes its scratch."""
        if self.tree is not None:
            self.tree.stop()
            self.tree = None
        shutil.rmtree(self.home, ignore_errors=True)


@dataclass
class Service(Peer):
    """`rewardplane serve` with a configuration of its own; ready when its health says so."""

    config: str = ""
    door: str = "native"
    metrics_port: int = 0

    def command(self) -> Sequence[str]:
        """The command that its users run."""
        self.metrics_port = free_port()
        path = self.home / "rewards.yaml"
        path.write_text(self.config)
        return [
            str(Path(sys.executable).with_name("rewardplane")),
            *("serve", str(path), "--port", str(self.port)),
            *("--metrics-port", str(self.metrics_port), "--door", self.door),
        ]

    @property
    def settings(self) -> str:
        """In words."""
        return f"`rewardplane serve --door {self.door}`, {' '.join(self.config.split())}"

    def ready(self) -> bool:
        """Whether the health service reports the whole as serving."""
        try:
            with grpc.insecure_channel(self.address) as channel:
                check = health_pb2_grpc.HealthStub(channel).Check
                answer = check(health_pb2.HealthCheckRequest(), timeout=5)
        except grpc.RpcError:
            return False
        return answer.status == health_pb2.HealthCheckResponse.SERVING


def free_port() -> int:
    """A TCP port that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def alone(peer: Peer, peers: Iterable[Peer]) -> Iterator[None]:
    """Keeps the other peers that are up from running: Ray's processes are never quite at rest.

    A host that others share changes its speed by half from minute to minute: peers that are all up
    are measured by turns, and a ratio is the median of those of the turns.
    """
    with ExitStack() as stack:
        for other in peers:
            if other is not peer and other.tree is not None:
                stack.enter_context(other.tree.suspended())
        time.sleep(SETTLE_S)
        yield
