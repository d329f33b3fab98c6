"""One reward, configured or given inline, tried on one response."""

from __future__ import annotations

import asyncio
import dataclasses
import math
import time
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

from rewardplane.access.caller import Caller
from rewardplane.config.document import BadDocument, read
from rewardplane.config.load import (
    ConfigError,
    NamedCode,
    RewardConfig,
    ServiceConfig,
    parse_reward,
)
from rewardplane.config.settings import Limits
from rewardplane.replica.replica import Pool
from rewardplane.replica.worker import WorkerFailed
from rewardplane.v1 import reward_service_pb2 as pb
from rewardplane.wire.errors import (
    CallError,
    DeadlineExceeded,
    InlineCode,
    InsufficientIsolation,
    InvalidRequest,
    Overloaded,
)

from .call import Call
from .lane import PoolLane
from .metrics import Metrics
from .scorer import Scorer
from .served import ServedRewards

_T = TypeVar("_T")

INLINE_NAME = "inline"
MAX_CONFIG_CHARS = 256 * 1024
MAX_AT_ONCE = 2
"""Inline configurations run in worker processes of the gateway's node, so few at once."""
MAX_WAITING = 16
"""Those that run included: each holds its request in memory."""


class Validator:
    """Runs `ValidateReward`: the way of a call of one item, with all that a score can hold."""

    def __init__(self, scorer: Scorer, metrics: Metrics, limits: Limits) -> None:
        self._scorer = scorer
        self._metrics = metrics
        self._limits = limits
        self._places = asyncio.Semaphore(MAX_AT_ONCE)
        self._waiting = 0
        self._reader = ThreadPoolExecutor(1, "configurations")

    async def validate(
        self,
        request: pb.ValidateRewardRequest,
        remaining_s: float | None,
        traceparent: str,
        caller: Caller | None = None,
    ) -> tuple[Call, list[str]]:
        """The call of one item, and remarks for the reward's author.

        Raises:
            PermissionDenied: `caller` may not name the reward, or bring a configuration.
            InvalidRequest: no reward is named, or the inline configuration cannot be served.
            InlineCode: the inline configuration names code to import.
            InsufficientIsolation: its untrusted code cannot be isolated here as it demands.
            UnknownReward: no reward of that name is configured.
            Overloaded: too many wait for their trial.
        """
        source = request.WhichOneof("source")
        if source is None:
            fault = "want `reward` or `inline_config`"
            raise InvalidRequest(f"source: {fault}", violations=[("source", fault)])
        if source == "reward":
            score = one_item(request.example, request.response, request.reward)
            call = await self._scorer.score(score, remaining_s, traceparent, caller)
        else:
            if caller is not None:
                caller.check_inline()
            begin_s = time.monotonic()
            # What the caller may not name is not there for it, and no hint names it.
            beside = {
                name: reward
                for name, reward in self._scorer.rewards.configs().items()
                if caller is None or caller.may_name(name)
            }
            config = await self.reading(_inline, request.inline_config, beside)
            if remaining_s is not None:
                remaining_s -= time.monotonic() - begin_s
            call = await self.score_apart(
                config, request.example, request.response, remaining_s, traceparent, caller
            )
        return call, _remarks(call, request)

    async def reading(self, read: Callable[..., _T], *args: Any) -> _T:
        """What `read` makes of what a request brought: in a thread, one request after another.

        A long text takes a second, in which others want the loop.

        Raises:
            Overloaded: too many wait.
        """
        with self._waits():
            return await asyncio.get_running_loop().run_in_executor(self._reader, read, *args)

    @contextmanager
    def _waits(self) -> Generator[None]:
        if self._waiting >= MAX_WAITING:
            raise Overloaded(f"{self._waiting} rewards wait for their trial", retry_after_s=5.0)
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1

    async def score_apart(
        self,
        config: RewardConfig,
        example: pb.Example,
        response: pb.Response,
        remaining_s: float | None,
        traceparent: str,
        caller: Caller | None = None,
    ) -> Call:
        """Scores one item with a reward that no table knows, in a worker process made for it.

        One that is made of rewards that are served runs in their lanes.

        Raises:
            PermissionDenied: `caller` may not bring a configuration.
            InvalidRequest: the reward cannot be set up.
            InsufficientIsolation: its untrusted code cannot be isolated here as it demands.
            DeadlineExceeded: there was no place for it in time.
            Overloaded: too many wait for one.
        """
        if caller is not None:
            caller.check_inline()
        if remaining_s is None:
            remaining_s = self._limits.default_deadline_s
        with self._waits():
            request = one_item(example, response, INLINE_NAME)
            return await self._score_apart(config, request, remaining_s, traceparent, caller)

    async def _score_apart(
        self,
        config: RewardConfig,
        request: bytes,
        remaining_s: float,
        traceparent: str,
        caller: Caller | None,
    ) -> Call:
        begin_s = time.monotonic()
        if config.lane == "composite":
            scorer = self._scorer.with_rewards(self._scorer.rewards.aside(config))
            return await scorer.score(request, remaining_s, traceparent, caller)
        try:
            async with asyncio.timeout(remaining_s):
                async with self._places:
                    remaining_s -= time.monotonic() - begin_s
                    return await self._run_apart(config, request, remaining_s, traceparent, caller)
        except TimeoutError:
            raise DeadlineExceeded("the reward was not tried within the call's time") from None

    async def _run_apart(
        self,
        config: RewardConfig,
        request: bytes,
        remaining_s: float,
        traceparent: str,
        caller: Caller | None,
    ) -> Call:
        apart = Pool(config)
        rewards = ServedRewards(self._metrics.figures, lambda served: PoolLane(served, apart.run))
        rewards.switch(ServiceConfig(self._limits, {INLINE_NAME: config}), 0)
        try:
            await apart.start()
            scorer = self._scorer.with_rewards(rewards)
            return await scorer.score(request, remaining_s, traceparent, caller)
        except WorkerFailed as error:
            raise _not_set_up(config, str(error)) from None
        finally:
            await apart.stop()


def one_item(example: pb.Example, response: pb.Response, reward: str) -> bytes:
    """A serialized `ScoreRequest` of one item that asks for all that a score can hold."""
    group = pb.Group(example=example, responses=[response], expected_size=1)
    score = pb.ScoreRequest(groups=[group], reward=reward)
    options = score.options
    options.include_components = True
    options.include_explanations = True
    options.include_step_rewards = True
    options.include_judgements = True
    return score.SerializeToString()


def _not_set_up(config: RewardConfig, why: str) -> CallError:
    if config.facts.isolation:
        return InsufficientIsolation(why, {"demanded": config.facts.isolation})
    return InvalidRequest(f"inline_config: {why}", violations=[("inline_config", why)])


def _inline(text: str, beside: Mapping[str, RewardConfig]) -> RewardConfig:
    field = "inline_config"
    if len(text) > MAX_CONFIG_CHARS:
        fault = f"{len(text)} characters; at most {MAX_CONFIG_CHARS}"
        raise InvalidRequest(f"{field}: {fault}", violations=[(field, fault)])
    try:
        entry = read(text, aliases=False)
        config = parse_reward(INLINE_NAME, entry, None, named_code=False, beside=beside)
    except BadDocument as error:
        fault = f"cannot be read: {error}"
        raise InvalidRequest(f"{field}: {fault}", violations=[(field, fault)]) from None
    except NamedCode as error:
        raise InlineCode(
            f"{error}; inline configurations use built-in kinds only: configure the reward in the "
            "service's file and name it",
            {"field": field},
        ) from None
    except ConfigError as error:
        violations = [(field, fault) for fault in error.faults]
        raise InvalidRequest(f"{field}: {error.faults[0]}", violations=violations) from None
    # Whoever sends it gets a process of the pool's kind: the gateway's own loop is not for trials.
    return dataclasses.replace(config, lane="pool") if config.lane == "inline" else config


def _remarks(call: Call, request: pb.ValidateRewardRequest) -> list[str]:
    served = call.served[0]
    known = {*request.example.references, *request.example.json_references}
    known |= {*request.response.references, *request.response.json_references}
    remarks = [
        f"the reward reads reference {key!r}, which is missing"
        for key in served.config.facts.reference_keys
        if key not in known
    ]
    low, high = served.config.clip
    if not call.extras and math.isfinite(low + high) and call.rewards[0] in (low, high):
        remarks.append(f"the reward is at an end of its clip range [{low:g}, {high:g}]")
    if not request.response.text and not request.response.turns:
        remarks.append("the response is empty")
    return remarks
