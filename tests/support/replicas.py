"""Stands for the replicas behind a lane: answers, loses and holds calls as a test says."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from rewardplane.gateway.lane import ReplicaLost
from rewardplane.replica.job import Part
from rewardplane.v1 import reward_service_pb2 as pb

Answer = tuple[list[tuple[int, Part, int]], bool, dict[str, int]]


@dataclass
class Handled:
    """One call: for each job the texts that it is to score, by their place in the job."""

    jobs: list[dict[int, str]]
    sizes: list[int]
    timeouts_s: list[float]
    deadlines_s: list[float]
    backlog: tuple[int, float]
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the call is over, however it ended."""

    @property
    def texts(self) -> list[str]:
        """What is to score, all jobs together."""
        return [text for job in self.jobs for text in job.values()]

    def part(self, job: int, told: Sequence[int]) -> tuple[int, Part, int]:
        """The outcomes of some items: the reward is the number in the text, at 1 ms each."""
        n = self.sizes[job]
        states, rewards, elapsed_us = (
            bytearray(n),
            array("d", bytes(8 * n)),
            array("Q", bytes(8 * n)),
        )
        for index in told:
            states[index], rewards[index], elapsed_us[index] = 2, float(self.jobs[job][index]), 1000
        return job, Part(bytes(states), rewards.tobytes(), b"", elapsed_us.tobytes()), 5

    def all_parts(self) -> list[tuple[int, Part, int]]:
        """All outcomes of the call."""
        return [self.part(job, list(texts)) for job, texts in enumerate(self.jobs)]


Behaviour = Callable[[Handled], AsyncIterator[Answer]]


class Replicas:
    """Takes calls and behaves as told; `handled` are the calls so far."""

    def __init__(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour
        self.handled: list[Handled] = []
        self.at_once = 0
        self.most_at_once = 0

    def connect(self, _config: Any) -> Any:
        """As a table wants it."""
        return self.send

    async def send(
        self, messages: Sequence[Any], backlog: tuple[int, float]
    ) -> AsyncIterator[Answer]:
        call = Handled([], [], [], [], backlog)
        for data, n, ranges, timeout_s, deadline_s, _start_s, _label in messages:
            parsed = pb.ScoreRequest.FromString(b"".join(data)).groups
            assert sum(len(group.responses) for group in parsed) == n
            texts = [response.text for group in parsed for response in group.responses]
            call.jobs.append({i: texts[i] for first, end in ranges for i in range(first, end)})
            call.sizes.append(n)
            call.timeouts_s.append(timeout_s)
            call.deadlines_s.append(deadline_s)
        self.handled.append(call)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            async for answer in self._behaviour(call):
                yield answer
        finally:
            self.at_once -= 1
            call.ended.set()


async def answers(call: Handled) -> AsyncIterator[Answer]:
    """All at once."""
    yield call.all_parts(), True, {}


def loses(times: int) -> Behaviour:
    """The first calls lose their replica before anything is told."""
    left = times

    async def behave(call: Handled) -> AsyncIterator[Answer]:
        nonlocal left
        if left:
            left -= 1
            raise ReplicaLost("it is gone")
        yield call.all_parts(), True, {}

    return behave


def loses_with(*poison: str) -> Behaviour:
    """A call that holds one of these texts loses its replica."""

    async def behave(call: Handled) -> AsyncIterator[Answer]:
        await asyncio.sleep(0)
        if set(poison) & set(call.texts):
            raise ReplicaLost("it is gone")
        yield call.all_parts(), True, {}

    return behave


def waits_for(gate: Callable[[], Awaitable[Any]]) -> Behaviour:
    """Each call waits before it answers."""

    async def behave(call: Handled) -> AsyncIterator[Answer]:
        await gate()
        yield call.all_parts(), True, {}

    return behave
