"""One gateway with all that belongs to it: rewards, admission, gRPC, HTTP and metrics ports."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from rewardplane.access.gate import Gate
from rewardplane.config.load import ServiceConfig
from rewardplane.config.settings import Limits
from rewardplane.gateway.admission import Admission
from rewardplane.gateway.doors.door import Lost
from rewardplane.gateway.gauges import gauges
from rewardplane.gateway.metrics import Metrics
from rewardplane.gateway.scorer import Scorer
from rewardplane.gateway.served import Lane, ServedReward, ServedRewards
from rewardplane.gateway.server import Server, Servicer
from rewardplane.gateway.validate import Validator
from rewardplane.http.server import HttpFace

from .options import Options
from .tracing import make_traces


class Front:
    """Serves rewards on the ports of `options`. Owned by the event loop that makes it.

    `lane` makes the queue in front of a reward's replicas; `on_lost` is called when the door has
    died.
    """

    def __init__(
        self,
        options: Options,
        limits: Limits,
        lane: Callable[[ServedReward], Lane],
        on_lost: Lost | None = None,
    ) -> None:
        self._options = options
        self._is_open = False
        self._stop_metrics: Callable[[], None] | None = None
        self._metrics = Metrics()
        self._gate: Gate | None = None
        self._guarding: asyncio.Future[None] | None = None
        if options.access:
            refused = options.strangers_refused
            self._gate = Gate(Path(options.access), strangers_refused=refused)
            self._metrics.gate = self._gate
        self._admission = Admission(limits)
        self.rewards = ServedRewards(self._metrics.figures, lane)
        scorer = Scorer(self.rewards, self._admission, self._metrics)
        scorer.traces = self._traces = make_traces() if options.traces else None
        validator = Validator(scorer, self._metrics, limits)
        servicer = Servicer(scorer, validator, self.rewards, limits, self._metrics)
        gate = self._gate
        self._server = Server(servicer, self._admission, limits, options.door, on_lost, gate)
        self._metrics.ready = lambda: self._server.serving
        http = scorer, validator, self.rewards, self._metrics, limits, gate
        self._http = HttpFace(*http, ui=options.ui)
        self._metrics.gauges |= gauges(self._admission, self._server)
        self._metrics.gauges["rewardplane_config_generation"] = (
            "The configuration in force, counted from 1; reloads raise it.",
            lambda: self.rewards.generation,
        )

    async def start(self, rank: int = 0) -> int:
        """Listens; returns the gRPC port.

        `rank` is that of this gateway on its node, and is added to the other ports.

        Raises:
            OSError: a port is taken.
        """
        options = self._options
        if self._gate is not None:
            await self._gate.start()
            self._guarding = asyncio.ensure_future(self._gate.follow())
        share = options.gateways_per_node > 1
        port = await self._server.start(options.host, options.port, share_port=share)
        self._is_open = True
        self._server.tell_health(self.rewards.names())
        if options.metrics_port:
            self._stop_metrics = self._metrics.serve(options.metrics_port + rank, options.host)
        if options.http_port:
            await self._http.start(options.host, options.http_port + rank)
        return port

    def switch(self, config: ServiceConfig, generation: int) -> None:
        """Serves `config` from now on."""
        self.rewards.switch(config, generation)
        if self._is_open:
            self._server.tell_health(self.rewards.names())

    def check(self) -> None:
        """Raises RuntimeError where changes of the access file are followed no more."""
        if self._guarding is not None and self._guarding.done():
            raise RuntimeError(f"the gateway follows the access file no more: {self._guarding}")

    async def stop(self, grace_s: float) -> None:
        """Stops accepting, lets what was admitted end within `grace_s`, closes."""
        await asyncio.gather(self._server.stop(grace_s), self._http.stop(grace_s))
        if self._guarding is not None:
            self._guarding.cancel()
        if self._traces is not None:
            await asyncio.to_thread(self._traces.close)
        if self._stop_metrics is not None:
            await asyncio.to_thread(self._stop_metrics)
            self._stop_metrics = None
