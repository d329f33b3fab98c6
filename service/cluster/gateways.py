"""The gateways of a cluster: as many as there are nodes for them."""
# pyright: basic

from __future__ import annotations

import logging
import time

from rewardplane.config.settings import Limits
from rewardplane.host.options import Options
from rewardplane.host.progress import Progress

from . import placement
from .applications import READY_S
from .membership import ANSWER_S
from .names import GATEWAY_APP
from .status import gateways_up

GATHER_S = 30.0
"""How long a start waits for the gateways of all nodes; it goes on with those that are there."""

_log = logging.getLogger(__name__)


class Gateways:
    """One application; its size follows the nodes."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._count = 0
        """How many there should be; -1: those that a process before this one has left."""

    def take_over(self) -> None:
        """Goes on with those that are there."""
        self._count = -1

    def run(self, limits: Limits, progress: Progress) -> None:
        """Has gateways come up on the nodes that are there; returns when one of them runs.

        Raises:
            DeployFailed: none does.
            Stopped: a signal asked to end.
        """
        if self._count:
            self.follow_nodes()
            return
        from ray import serve
        from ray.serve import RunTarget

        from .deployments import gateway_application

        nodes = placement.gateway_nodes(self._options.gateways)
        target = RunTarget(
            gateway_application(self._options, limits, nodes),
            name=GATEWAY_APP,
            route_prefix=None,
            external_scaler_enabled=True,
        )
        serve.run_many([target], wait_for_applications_running=False)
        self._count = nodes * self._options.gateways_per_node
        begin_s = time.monotonic()

        def lacking() -> str:
            up = gateways_up()
            late = up and time.monotonic() - begin_s > GATHER_S
            return "" if late or up >= self._count else f"{up} of {self._count} gateways run"

        progress.expect(lacking, READY_S)
        if (up := gateways_up()) < self._count:
            _log.warning("%d of %d gateways run; it serves with these", up, self._count)

    def follow_nodes(self) -> None:
        """Has as many gateways as there are nodes for them.

        Raises:
            RayError: the control plane does not answer.
        """
        if not self._count:
            return
        nodes = placement.gateway_nodes(self._options.gateways)
        wanted = nodes * self._options.gateways_per_node
        if nodes and wanted != self._count:
            placement.scale_gateways(wanted, ANSWER_S)
            if self._count > 0:
                _log.warning("gateways: %d, as there are nodes; %d before", wanted, self._count)
            self._count = wanted
