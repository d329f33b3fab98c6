"""Who decides on the number of replicas: nobody, Serve's default policy, ours."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, cast

import ray.serve.autoscaling_policy as serve_policy
from ray.serve.config import AutoscalingConfig, AutoscalingContext
from rewardplane.cluster.scaling import Bounds, History, decide
from rewardplane.gateway.load import Load
from rewardplane.gateway.shard import Shard

from .world import World

_SERVE: Any = serve_policy


class Static:
    """Always so many."""

    looks = False

    def __init__(self, count: int) -> None:
        self._count = count

    def wanted(self, world: World, load: Load, up: int) -> int:
        """The same as ever."""
        del world, load, up
        return self._count


class Backlog:
    """Ours, as `cluster.serve_policy` calls it."""

    looks = True

    def __init__(self, bounds: Bounds, start_s: float) -> None:
        self._bounds = bounds
        self._history = History(start_s)

    def wanted(self, world: World, load: Load, up: int) -> int:
        """By load and history."""
        self._history.note_load(load, world.now_s)
        decision = decide(load, self._history, self._bounds, up, world.now_s)
        self._history.note_wanted(decision, up, world.now_s)
        return decision.replicas


class ServeDefault:
    """Serve's own function in Serve's own wrapper, with one request for each item.

    Serve measures ongoing requests as a mean over `look_back_period_s`. Its wrapper asks for the
    time of day: it gets ours.
    """

    looks = False

    def __init__(self, **config: Any) -> None:
        self._config = AutoscalingConfig(**config)
        wrap = _SERVE._apply_autoscaling_config
        self._policy: Callable[[Any], tuple[int, dict[str, Any]]] = wrap(
            _SERVE.replica_queue_length_autoscaling_policy
        )
        self._state: dict[str, Any] = {}
        self._seen: deque[tuple[float, float]] = deque()
        self._target = int(self._config.min_replicas or 0)

    def wanted(self, world: World, load: Load, up: int) -> int:
        """As Serve's controller decides."""
        del load
        now_s = world.now_s
        self._seen.append((now_s, world.items))
        while self._seen[0][0] < now_s - self._config.look_back_period_s:
            self._seen.popleft()
        total = sum(count for _at_s, count in self._seen) / len(self._seen)
        least, most = int(self._config.min_replicas or 0), self._config.max_replicas
        ctx = AutoscalingContext(
            deployment_id=cast("Any", None),
            deployment_name="it",
            app_name="it",
            current_num_replicas=up,
            target_num_replicas=self._target,
            running_replicas=[],
            total_num_requests=total,
            total_queued_requests=None,
            aggregated_metrics=None,
            raw_metrics=None,
            capacity_adjusted_min_replicas=least,
            capacity_adjusted_max_replicas=most,
            policy_state=self._state,
            last_scale_up_time=None,
            last_scale_down_time=None,
            current_time=now_s,
            config=self._config,
        )
        clock, _SERVE.time = _SERVE.time, SimpleNamespace(time=lambda: now_s)
        try:
            count, self._state = self._policy(ctx)
        finally:
            _SERVE.time = clock
        self._target = max(least, min(most, count))
        return self._target


class Fifo:
    """A queue in the order of arrival, to compare with."""

    def __init__(self, _clock: Callable[[], float]) -> None:
        self._shards: deque[Shard] = deque()

    def __bool__(self) -> bool:
        """Whether anything waits."""
        return bool(self._shards)

    def __iter__(self) -> Iterator[Shard]:
        """All that wait."""
        return iter(self._shards)

    def add(self, shard: Shard) -> None:
        """Takes a shard."""
        self._shards.append(shard)

    def pop(self) -> Shard:
        """The oldest."""
        return self._shards.popleft()
