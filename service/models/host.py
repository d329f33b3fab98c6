"""A replica of a model: the model, and the rewards that ask it, side by side.

Knows no gRPC and no Ray. Rewards come with the jobs: a reward that changes restarts no engine.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
from array import array
from collections import Counter, OrderedDict
from collections.abc import (
    AsyncGenerator,
    Awaitable,
    Callable,
    Coroutine,
    Mapping,
    Sequence,
)
from contextlib import aclosing, suppress
from dataclasses import replace
from typing import Any

from rewardplane.config.load import RewardConfig
from rewardplane.config.models import ModelConfig
from rewardplane.replica.answers import OF_JOB, Answer, Message, answers
from rewardplane.replica.async_runner import AsyncRunner
from rewardplane.replica.job import Job, ranges_in
from rewardplane.replica.places import Places
from rewardplane.replica.segment import PENDING, SCORED, Segment
from rewardplane.rewards.models.model_facts import ModelFacts
from rewardplane.rewards.run import Clip
from rewardplane.rewards.types import Reason, ScoreError
from rewardplane.wire.item_errors import NEVER_STARTED

from .engine import EngineFailed
from .loading import Loaded, load_model
from .self_test import self_test
from .shadow import Definition, Recent, Scored, shadow
from .shared import TALLY

_log = logging.getLogger(__name__)

TELL_EVERY_S = 0.05
"""How long what has an outcome waits for others of its job to be told with."""
LOOK_EVERY_S = 1.0
"""How often is looked whether the engine lives, while nothing of a job ends."""
MAX_REWARDS = 1_024
"""Rewards that are kept ready, those used last."""
AHEAD = 1.5
"""Items that may be here, in places of the engine: those beyond 1 wait in front of it."""


class EngineGone(Exception):
    """The engine is no more: what was in it is to be run again elsewhere."""


class _Ready:
    """A reward that has its model."""

    def __init__(self, definition: Definition, loaded: Loaded, places: Places) -> None:
        self.definition = definition
        config = RewardConfig.from_dict(json.loads(definition[1]))
        reward = config.build()
        reward.bind(loaded.model)
        reward.setup()
        self.component_count = len(config.facts.component_names)
        self.reward = reward
        self.loaded = loaded
        self.tally: Counter[str] = Counter()
        concurrency = config.model.settings.places if config.model is not None else 1
        self.runner = AsyncRunner(reward, Clip(*config.clip), concurrency, places)

    def take_figures(self) -> dict[str, float]:
        """What was counted since the last call."""
        figures: dict[str, float] = dict(self.tally)
        self.tally.clear()
        _add(figures, self.reward.take_figures())
        take = getattr(self.loaded.inner, "take_figures", None)
        if take is not None:
            # Of an endpoint: told with whichever reward answers next.
            _add(figures, take())
        return figures


class ModelHost:
    """Serves one model to any number of rewards, on one event loop."""

    def __init__(
        self, config: ModelConfig, load: Callable[[ModelConfig], Awaitable[Loaded]] = load_model
    ) -> None:
        self.config = config
        self._load = load
        self._loaded: Loaded | None = None
        self._places = Places(config.settings.places)
        self._rewards: OrderedDict[str, _Ready] = OrderedDict()
        self._items = 0
        self._noise: float | None = None
        self._recent = Recent()
        self.changed = ""
        """Why its numbers are another model's than those before: no item gets one."""

    async def start(self) -> None:
        """Loads the model and tests it.

        Raises:
            EngineFailed: it cannot be served.
        """
        loaded = await self._load(self.config)
        checks = await self_test(self.config, loaded.inner)
        faults = [f"{check.name}: {check.found}" for check in checks if check.fault]
        if faults:
            await loaded.close()
            raise EngineFailed(f"model {self.config.name!r} failed its test: {'; '.join(faults)}")
        seen = [check.noise for check in checks if check.noise is not None]
        self._noise = max(seen, default=None)
        self._loaded = loaded

    async def stop(self) -> None:
        """Frees the model."""
        if self._loaded is not None:
            await self._loaded.close()
            self._loaded = None

    @property
    def facts(self) -> ModelFacts:
        """What the model is."""
        return replace(self._ready_model().model.facts, noise=self._noise)

    @property
    def identity(self) -> str:
        """The digest of the weights, or what an endpoint calls itself; empty: it is not known."""
        model = self._ready_model()
        return model.model.facts.weights_digest or getattr(model.inner, "identity", "")

    def check_health(self) -> None:
        """Looks at flags alone: an engine at work has no time for more.

        Raises:
            EngineGone: it is to be replaced.
        """
        if self._ready_model().broken:
            raise EngineGone(self._ready_model().broken)

    def recent(self) -> list[Scored]:
        """What was scored last; nothing of an endpoint, which takes money for each answer."""
        return self._recent.jobs()

    async def shadow(self, jobs: Sequence[Scored]) -> list[str]:
        """What this model makes of the last jobs of another one, in words: a line a reward."""
        return await shadow(self.run, jobs)

    def prepare(self, definition: Definition) -> None:
        """Makes a reward ready.

        Raises:
            ValueError: the model cannot answer what it asks.
        """
        self._reward(definition)

    async def run(
        self, definition: Definition, messages: Sequence[Message], backlog: tuple[int, float]
    ) -> AsyncGenerator[Answer, None]:
        """Runs jobs of one reward; as `replica.Pool.run`.

        Raises:
            EngineGone: the engine died with some of their items.
        """
        del backlog
        ready = self._reward(definition)
        items = sum(message[1] for message in messages)
        self._items += items
        tallies: list[Counter[str]] = []

        def run(job: Job) -> Coroutine[Any, Any, None]:
            tallies.append(Counter())
            return self._run(ready, job, tallies[-1])

        def take_figures() -> dict[str, float]:
            figures = ready.take_figures()
            for index, tally in enumerate(tallies):
                figures.update((f"{name}{OF_JOB}{index}", n) for name, n in tally.items())
                tally.clear()
            return figures

        told = answers(
            messages,
            run,
            lambda: self._items < AHEAD * self.config.settings.places,
            take_figures,
            opens_early=True,
        )
        try:
            async with aclosing(told):
                async for answer in told:
                    yield answer
        finally:
            self._items -= items
            for tally in tallies:  # of a stream that was closed: told with the next one
                ready.tally.update(tally)

    async def _run(self, ready: _Ready, job: Job, tally: Counter[str]) -> None:
        if self.changed:
            job.fail(job.ranges, ScoreError(Reason.MODEL_CHANGED, self.changed))
            return
        work = job.work(job.ranges)
        segment = Segment.with_payload(job.n, ready.component_count, work.size, work.write)
        segment.words[0] = job.words
        TALLY.set(tally)
        if job.n == 1:  # there is nothing to tell before its end
            try:
                await ready.runner.run(segment)
                self._tell(job, segment)
                self._end(ready, job, segment)
            finally:
                segment.close()
            return
        news = asyncio.Event()
        task = asyncio.get_running_loop().create_task(ready.runner.run(segment, news.set))
        task.add_done_callback(lambda _: news.set())
        try:
            ended = False
            while not ended:
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_EVERY_S):
                        await news.wait()
                news.clear()
                done, _ = await asyncio.wait((task,), timeout=TELL_EVERY_S)
                ended = bool(done)
                self._tell(job, segment)
            task.result()
            self._end(ready, job, segment)
        finally:
            segment.stop[0] = 1
            if not task.done():
                task.cancel()
                await asyncio.wait((task,))
            segment.close()

    def _end(self, ready: _Ready, job: Job, segment: Segment) -> None:
        """Tells what is left of a job that has ended, and remembers what it was."""
        states = segment.read_states()
        job.fail(ranges_in(states, PENDING, job.ranges), NEVER_STARTED)
        if SCORED in states and self.config.settings.runs != "endpoint":
            rewards = zip(segment.rewards, states, strict=True)
            told = array("d", (r if state == SCORED else math.nan for r, state in rewards))
            self._recent.add(Scored(ready.definition, b"".join(job.data), told))

    def _tell(self, job: Job, segment: Segment) -> None:
        if self._ready_model().dead:
            # What fails with its engine is not that item's fault, and is not told.
            raise EngineGone(self._ready_model().dead)
        if not job.started_s and any(segment.started_ns):
            job.started_s = min(filter(None, segment.started_ns)) / 1e9
        job.tell(segment)

    def _reward(self, definition: Definition) -> _Ready:
        fingerprint, _data = definition
        ready = self._rewards.get(fingerprint)
        if ready is None:
            ready = _Ready(definition, self._ready_model(), self._places)
            self._rewards[fingerprint] = ready
            while len(self._rewards) > MAX_REWARDS:
                self._rewards.popitem(last=False)
        self._rewards.move_to_end(fingerprint)
        return ready

    def _ready_model(self) -> Loaded:
        if self._loaded is None:
            raise EngineFailed(f"model {self.config.name!r} is not loaded")
        return self._loaded


def definition_of(config: RewardConfig) -> Definition:
    """A reward as it travels to the replicas of its model."""
    return config.fingerprint, json.dumps(config.as_dict(), default=str).encode()


def _add(figures: dict[str, float], more: Mapping[str, float]) -> None:
    for name, value in more.items():
        figures[name] = figures.get(name, 0.0) + value
