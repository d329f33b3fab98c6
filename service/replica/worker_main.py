"""The worker process: runs one reward on the shards that its owner feeds it, in its main thread.

Forked by `template_main`. Each message on its socket is a shard's number (u64) with the descriptor
of its segment; the answer is the number, when the shard is done. The first one is no shard but the
specification; its answer says that the reward is set up. End of file ends the process.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import fcntl
import gc
import json
import os
import resource
import signal
import socket
import sys
import traceback
from pathlib import Path

from rewardplane.rewards.registry import build
from rewardplane.rewards.reward import Reward
from rewardplane.rewards.run import Clip
from rewardplane.rewards.types import Reason
from rewardplane.wire.item_errors import MEMORY_EXIT

from .async_runner import AsyncRunner
from .segment import NUMBER, Segment
from .sync_runner import Runner

_PR_SET_PDEATHSIG = 1
_HIGH_DESCRIPTOR = 512
"""Ours lie above what a reward may close, or print into, by mistake."""


def main(descriptor: int) -> None:
    """Sets the reward up and serves until the owner hangs up."""
    owner = socket.socket(fileno=_lifted(descriptor))
    die_with_parent()
    os.setsid()  # a group of its own: what the reward starts is ended with it
    message = _receive(owner)
    if message is None:
        return
    number, segment = message
    spec = json.loads(bytes(segment.payload()))
    try:
        reward = build(spec["kind"], spec["params"])
        reward.setup()
        _limit_memory(spec["memory_limit_bytes"], for_good=not reward.isolation)
    except BaseException as error:
        segment.append_error(0, Reason.UNAVAILABLE.value, _shown(error))
        raise
    gc.collect()
    gc.freeze()
    segment.close()
    _answer(owner, number)
    clip = Clip(*spec["clip"])
    if reward.is_async:
        asyncio.run(_serve_async(owner, reward, clip, spec["concurrency"]))
    else:
        _serve(owner, reward, Runner(reward, clip))


def die_with_parent() -> None:
    """A replica that is killed leaves no process behind, however deep its reward function hangs."""
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(0)


def _serve(owner: socket.socket, reward: Reward, runner: Runner) -> None:
    while (message := _receive(owner)) is not None:
        number, segment = message
        segment.isolation[0] = reward.isolation_held
        try:
            runner.run(segment)
        except MemoryError:  # outside the reward's own code: what it leaves leaves no room
            os._exit(MEMORY_EXIT)
        _close(segment, reward)
        _answer(owner, number)


async def _serve_async(owner: socket.socket, reward: Reward, clip: Clip, concurrency: int) -> None:
    loop = asyncio.get_running_loop()
    runner = AsyncRunner(reward, clip, concurrency)
    ended = loop.create_future()
    tasks: set[asyncio.Task[None]] = set()

    async def serve_one(number: int, segment: Segment) -> None:
        segment.isolation[0] = reward.isolation_held
        await runner.run(segment)
        _close(segment, reward)
        _answer(owner, number)

    def served(task: asyncio.Task[None]) -> None:
        tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, MemoryError):
            os._exit(MEMORY_EXIT)
        if error is not None or task.cancelled():
            # A shard that is never answered would be waited for to the end.
            traceback.print_exception(error)
            os._exit(1)

    def readable() -> None:
        message = _receive(owner)
        if message is None:
            loop.remove_reader(owner)
            ended.set_result(None)
            return
        task = loop.create_task(serve_one(*message))
        tasks.add(task)
        task.add_done_callback(served)

    loop.add_reader(owner, readable)
    await ended
    os._exit(0)  # what still runs may swallow its cancellation


def _close(segment: Segment, reward: Reward) -> None:
    if figures := reward.take_figures():
        segment.append_figures(figures)
    segment.close()


def _receive(owner: socket.socket) -> tuple[int, Segment] | None:
    try:
        data, descriptors, _flags, _address = socket.recv_fds(owner, NUMBER.size, 1)
    except ConnectionResetError:  # the owner was killed with an answer of ours unread
        return None
    if not data:
        return None
    return NUMBER.unpack(data)[0], Segment(_lifted(descriptors[0]))


def _lifted(descriptor: int) -> int:
    """The descriptor under a high number that no child process inherits."""
    lifted = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _HIGH_DESCRIPTOR)
    os.close(descriptor)
    return lifted


def _answer(owner: socket.socket, number: int) -> None:
    with contextlib.suppress(BrokenPipeError):  # it hung up: the next read says so
        owner.send(NUMBER.pack(number))


def _limit_memory(limit_bytes: int, *, for_good: bool) -> None:
    """Bounds heap and private maps. RLIMIT_DATA, not AS: libraries reserve address space unused.

    Not `for_good`: what this process starts may have more. The code of a sandboxed reward runs in
    processes with limits of their own, and a sandbox started anew must be able to give them.

    Raises:
        MemoryError: the reward holds more than that already.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if limit_bytes <= 0:
        return
    status = Path("/proc/self/status").read_text()
    held_bytes = 1024 * int(status.partition("VmData:")[2].split()[0])
    if held_bytes > limit_bytes:
        raise MemoryError(
            f"it holds {held_bytes >> 20} MiB when it is set up, and memory_limit_mb is "
            f"{limit_bytes >> 20}"
        )
    _soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if hard != resource.RLIM_INFINITY:
        limit_bytes = min(limit_bytes, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (limit_bytes, limit_bytes if for_good else hard))


def _shown(error: BaseException) -> str:
    try:
        return f"{type(error).__name__}: {error}"[:2000]
    except BaseException:  # noqa: BLE001 - an exception's own __str__ may raise
        return type(error).__name__
