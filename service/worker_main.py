"""The worker process: runs one reward on the shards that its owner feeds it, in its main thread.

Started by `worker.Worker` as `python -m rewardplane.service.worker_main FD`, where FD is a
SOCK_SEQPACKET socket. Each message from the owner is a shard's number (u64) with the descriptor of its
segment; the answer is the number, when the shard is done. Number 0 is the specification; the answer 0
says that the reward is set up. End of file ends the process.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import json
import marshal
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Iterator, Sequence

from ..rewards.base import Item, Reward, Unit
from ..rewards.registry import build
from ..rewards.run import Clip, run_item, run_items, run_items_async
from ..rewards.types import Outcome, Reason, ScoreError
from rewardplane.v1 import reward_service_pb2 as pb
from .segment import FAILED, NUMBER, RUNNING, SCORED, Segment
from .verdicts import DEADLINE_EXECUTING
from .wire import example_from, response_from

_PR_SET_PDEATHSIG = 1
_Ranges = Sequence[tuple[int, int]]


def main() -> None:
    """Sets the reward up and serves until the owner hangs up."""
    owner = socket.socket(fileno=int(sys.argv[1]))
    _die_with_parent()
    number, segment = _receive(owner) or sys.exit(0)
    spec = json.loads(bytes(segment.payload()))
    try:
        reward = build(spec["kind"], spec["params"])
        reward.setup()
        _limit_memory(spec["memory_limit_bytes"])
    except BaseException as error:
        segment.append_extra(0, f"{type(error).__name__}: {error}")
        raise
    gc.collect()
    gc.freeze()
    segment.close()
    runner = _Runner(reward, Clip(*spec["clip"]))
    owner.send(NUMBER.pack(number))
    if reward.is_async:
        asyncio.run(_serve_async(owner, runner, spec["concurrency"]))
    else:
        _serve(owner, runner)


def _serve(owner: socket.socket, runner: _Runner) -> None:
    while (message := _receive(owner)) is not None:
        number, segment = message
        runner.run(segment)
        segment.close()
        owner.send(NUMBER.pack(number))


async def _serve_async(owner: socket.socket, runner: _Runner, concurrency: int) -> None:
    loop = asyncio.get_running_loop()
    ended = loop.create_future()
    places = asyncio.Semaphore(concurrency)
    tasks: set[asyncio.Task[None]] = set()

    async def serve_one(number: int, segment: Segment) -> None:
        await runner.run_async(segment, places)
        segment.close()
        owner.send(NUMBER.pack(number))

    def readable() -> None:
        message = _receive(owner)
        if message is None:
            loop.remove_reader(owner)
            ended.set_result(None)
            return
        task = loop.create_task(serve_one(*message))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    loop.add_reader(owner, readable)
    await ended


def _receive(owner: socket.socket) -> tuple[int, Segment] | None:
    data, descriptors, _flags, _address = socket.recv_fds(owner, NUMBER.size, 1)
    if not data:
        return None
    return NUMBER.unpack(data)[0], Segment(descriptors[0])


def _die_with_parent() -> None:
    """A replica that is killed leaves no worker behind, however deep its reward function hangs."""
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(0)


def _limit_memory(limit_bytes: int) -> None:
    """Bounds heap and private maps. RLIMIT_DATA, not AS: libraries reserve address space unused."""
    if limit_bytes > 0:
        resource.setrlimit(resource.RLIMIT_DATA, (limit_bytes, limit_bytes))


def _parse(segment: Segment) -> tuple[list[Item], _Ranges, float, float]:
    """All items of a segment in order, those to run as ranges, the time-out, the time left."""
    groups, ranges, timeout_s, left_s = marshal.loads(segment.payload())
    items: list[Item] = []
    for data in groups:
        group = pb.Group.FromString(data)
        example = example_from(group.example)
        items += [(example, response_from(response)) for response in group.responses]
    return items, ranges, timeout_s, left_s


class _Runner:
    """Runs a reward on the items of a segment and writes what comes of them."""

    def __init__(self, reward: Reward, clip: Clip) -> None:
        self._reward = reward
        self._clip = clip
        self._names = reward.component_names

    def run(self, segment: Segment) -> None:
        """Runs the units of a segment one after the other, until it is told to stop."""
        items, ranges, _timeout_s, _left_s = _parse(segment)
        if self._reward.unit is Unit.ITEM:
            self._run_each(segment, items, ranges)
            return
        for first, end in self._units(items, ranges):
            if segment.stop[0]:
                return
            begin_ns = _start(segment, first, end)
            outcomes = run_items(self._reward, items[first:end], self._clip)
            self._record_all(segment, first, outcomes, begin_ns)

    def _run_each(self, segment: Segment, items: Sequence[Item], ranges: _Ranges) -> None:
        reward, clip, record = self._reward, self._clip, self._record
        states, started_ns, elapsed_us = segment.states, segment.started_ns, segment.elapsed_us
        stop, clock = segment.stop, time.monotonic_ns
        for first, end in ranges:
            for index in range(first, end):
                if stop[0]:
                    return
                begin_ns = clock()
                started_ns[index] = begin_ns
                states[index] = RUNNING
                outcome = run_item(reward, items[index], clip)
                elapsed_us[index] = (clock() - begin_ns) // 1000
                record(segment, index, outcome)

    async def run_async(self, segment: Segment, places: asyncio.Semaphore) -> None:
        """Runs the units of a segment side by side, as many as there are places."""
        items, ranges, timeout_s, left_s = _parse(segment)
        deadline_s = time.monotonic() + left_s

        async def run_unit(first: int, end: int) -> None:
            async with places:
                left_s = deadline_s - time.monotonic()
                if segment.stop[0] or left_s <= 0:
                    return
                begin_ns = _start(segment, first, end)
                outcomes = await run_items_async(
                    self._reward, items[first:end], self._clip, min(timeout_s, left_s)
                )
                if left_s < timeout_s and any(_is_timed_out(o) for o in outcomes):
                    outcomes = [DEADLINE_EXECUTING] * len(outcomes)
                self._record_all(segment, first, outcomes, begin_ns)

        async with asyncio.TaskGroup() as group:
            for first, end in self._units(items, ranges):
                group.create_task(run_unit(first, end))

    def _units(self, items: Sequence[Item], ranges: _Ranges) -> Iterator[tuple[int, int]]:
        """Splits ranges into what one call of the reward gets."""
        unit = self._reward.unit
        for first, end in ranges:
            if unit is Unit.ITEM:
                yield from ((index, index + 1) for index in range(first, end))
                continue
            begin = first
            for index in range(first + 1, end):
                if unit is Unit.GROUP and items[index][0] is not items[begin][0]:
                    yield begin, index
                    begin = index
            yield begin, end

    def _record_all(
        self, segment: Segment, first: int, outcomes: Sequence[Outcome], begin_ns: int
    ) -> None:
        share_us = (time.monotonic_ns() - begin_ns) // 1000 // len(outcomes)
        for index, outcome in enumerate(outcomes, first):
            segment.elapsed_us[index] = share_us
            self._record(segment, index, outcome)

    def _record(self, segment: Segment, index: int, outcome: Outcome) -> None:
        if isinstance(outcome, ScoreError):
            segment.append_extra(index, outcome.reason.value, outcome.message)
            segment.states[index] = FAILED
            return
        segment.rewards[index] = outcome.reward
        if self._names:
            at = index * segment.k
            for offset, name in enumerate(self._names):
                segment.components[at + offset] = outcome.components[name]
        if outcome.explanation or outcome.step_rewards:
            segment.append_extra(index, outcome.explanation, list(outcome.step_rewards))
        segment.states[index] = SCORED


def _is_timed_out(outcome: Outcome) -> bool:
    return isinstance(outcome, ScoreError) and outcome.reason is Reason.TIMED_OUT


def _start(segment: Segment, first: int, end: int) -> int:
    begin_ns = time.monotonic_ns()
    for index in range(first, end):
        segment.started_ns[index] = begin_ns
        segment.states[index] = RUNNING
    return begin_ns


if __name__ == "__main__":
    main()
