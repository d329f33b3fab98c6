"""The worker process: runs one reward on the shards that its owners feed it, in its main thread.

Forked by `fork_server_main`. An owner has a link to it, a SOCK_SEQPACKET socket; the first link is
its supervisor's, which brings the others. Each message is an `ORDER`: a shard's number, and where
its segment lies: in a slot of the link's ring, or in a file whose descriptor comes along. The
answer is the number, when the shard is done. The first message is no shard but the specification;
its answer says that the reward is set up. End of file of the supervisor's link ends the process.
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
import select
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
from .memory import keep_freed_memory
from .order import FIRST_SLOT, LINK, MAX_DESCRIPTORS, NUMBER, ORDER, OWN_FILE, RING
from .process_state import ProcessState
from .segment import Ring, Segment
from .sync_runner import Runner

_PR_SET_PDEATHSIG = 1
_HIGH_DESCRIPTOR = 512
"""Ours lie above what a reward may close, or print into, by mistake."""


class Link:
    """One owner's link to this worker."""

    def __init__(self, descriptor: int) -> None:
        self.socket = socket.socket(fileno=_lifted(descriptor))
        self._ring: Ring | None = None
        self.brought: list[Link] = []
        """Links to other owners that came by this one, to be taken up."""

    def receive(self) -> tuple[int, Segment] | None:
        """The next shard; None: the owner hung up, or what came was none.

        Raises:
            EOFError: the owner hung up.
        """
        try:
            data, descriptors, _flags, _address = socket.recv_fds(
                self.socket, ORDER.size, MAX_DESCRIPTORS
            )
        except ConnectionResetError:  # the owner was killed with an answer of ours unread
            raise EOFError from None
        if not data:
            raise EOFError
        number, where = ORDER.unpack(data)
        if where == OWN_FILE:
            return number, Segment.attach(_lifted(descriptors[0]))
        if where == RING:
            self._ring = Ring(tuple(map(_lifted, descriptors)))
            return None
        if where == LINK:
            self.brought.append(Link(descriptors[0]))
            return None
        if self._ring is None:
            raise EOFError
        return number, self._ring.attach(where - FIRST_SLOT)

    def answer(self, number: int) -> None:
        """Says that a shard is done."""
        with contextlib.suppress(BrokenPipeError):  # it hung up: the next read says so
            self.socket.send(NUMBER.pack(number))

    def close(self) -> None:
        """Forgets the owner."""
        self.socket.close()
        if self._ring is not None:
            self._ring.close()


def main(descriptor: int) -> None:
    """Sets the reward up and serves until the supervisor hangs up."""
    supervisor = Link(descriptor)
    die_with_parent()
    os.setsid()  # a group of its own: what the reward starts is ended with it
    keep_freed_memory()
    try:
        message = supervisor.receive()
    except EOFError:
        return
    if message is None:
        return
    number, segment = message
    spec = json.loads(bytes(segment.payload()))
    try:
        reward = build(spec["kind"], spec["params"])
        reward.setup()
        _limit_memory(spec["memory_limit_bytes"], for_good=not reward.isolation)
    except BaseException as error:
        segment.append_error(0, Reason.UNAVAILABLE.value, _shown(error) + _place(error))
        if isinstance(error, Exception):
            os._exit(1)  # its owner tells why; a traceback for each try would hide it
        raise
    gc.collect()
    gc.freeze()
    segment.close()
    supervisor.answer(number)
    clip = Clip(*spec["clip"])
    if reward.is_async:
        asyncio.run(_serve_async(supervisor, reward, clip, spec["concurrency"]))
    else:
        state = ProcessState() if reward.runs_named_code else None
        _serve(supervisor, reward, Runner(reward, clip, state))


def die_with_parent() -> None:
    """A replica that is killed leaves no process behind, however deep its reward function hangs."""
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(0)


def _serve(supervisor: Link, reward: Reward, runner: Runner) -> None:
    """One shard after the other, of each owner in its turn."""
    links = {supervisor.socket.fileno(): supervisor}
    poller = select.poll()
    poller.register(supervisor.socket, select.POLLIN)
    while True:
        for descriptor, _event in poller.poll() if len(links) > 1 else [(next(iter(links)), 0)]:
            link = links[descriptor]
            try:
                message = link.receive()
            except EOFError:
                if link is supervisor:
                    return
                poller.unregister(descriptor)
                links.pop(descriptor).close()
                continue
            while link.brought:
                other = link.brought.pop()
                links[other.socket.fileno()] = other
                poller.register(other.socket, select.POLLIN)
            if message is not None:
                _run(link, reward, runner, *message)


def _run(link: Link, reward: Reward, runner: Runner, number: int, segment: Segment) -> None:
    segment.isolation[0] = reward.isolation_held
    try:
        runner.run(segment)
    except MemoryError:  # outside the reward's own code: what it leaves leaves no room
        os._exit(MEMORY_EXIT)
    _close(segment, reward)
    link.answer(number)


async def _serve_async(supervisor: Link, reward: Reward, clip: Clip, concurrency: int) -> None:
    loop = asyncio.get_running_loop()
    runner = AsyncRunner(reward, clip, concurrency)
    ended = loop.create_future()
    tasks: set[asyncio.Task[None]] = set()

    async def serve_one(link: Link, number: int, segment: Segment) -> None:
        segment.isolation[0] = reward.isolation_held
        await runner.run(segment)
        _close(segment, reward)
        link.answer(number)

    def served(task: asyncio.Task[None]) -> None:
        tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, MemoryError):
            os._exit(MEMORY_EXIT)
        if error is not None or task.cancelled():
            # A shard that is never answered would be waited for to the end.
            traceback.print_exception(error)
            os._exit(1)

    def readable(link: Link) -> None:
        try:
            message = link.receive()
        except EOFError:
            loop.remove_reader(link.socket)
            if link is supervisor:
                ended.set_result(None)
            else:
                link.close()
            return
        while link.brought:
            other = link.brought.pop()
            loop.add_reader(other.socket, readable, other)
        if message is not None:
            task = loop.create_task(serve_one(link, *message))
            tasks.add(task)
            task.add_done_callback(served)

    loop.add_reader(supervisor.socket, readable, supervisor)
    await ended
    os._exit(0)  # what still runs may swallow its cancellation


def _close(segment: Segment, reward: Reward) -> None:
    if figures := reward.take_figures():
        segment.append_figures(figures)
    segment.close()


def _lifted(descriptor: int) -> int:
    """The descriptor under a high number that no child process inherits."""
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    above = _HIGH_DESCRIPTOR if soft == resource.RLIM_INFINITY else min(_HIGH_DESCRIPTOR, soft // 2)
    lifted = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, above)
    os.close(descriptor)
    return lifted


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


def _place(error: BaseException) -> str:
    """Where an exception was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    return f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""


def _shown(error: BaseException) -> str:
    try:
        return f"{type(error).__name__}: {error}"[:2000]
    except BaseException:  # noqa: BLE001 - an exception's own __str__ may raise
        return type(error).__name__
