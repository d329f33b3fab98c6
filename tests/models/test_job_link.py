"""Jobs by a socket on the node: outcomes, ends, and where they go when there is none."""

from __future__ import annotations

import asyncio
import os
import signal
import struct
import sys
import textwrap
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing
from pathlib import Path
from typing import Any

import pytest
from rewardplane.config.load import RewardConfig
from rewardplane.gateway.lane import Answers, Send
from rewardplane.gateway.local_models import LocalModels
from rewardplane.models.host import definition_of
from rewardplane.replica.job_link import JobHost, JobLink, LinkLost
from rewardplane.rewards.types import Score

from ..support.functions.stub_model import number_of
from ..support.rig import flat, reasons, request_of
from .hosting import RM, STUB, Hosts
from .test_host import asked, engine


class Linked(Hosts):
    """Hosts that a gateway reaches by sockets; `elsewhere` counts what comes by handle."""

    def __init__(self, folder: Path, model: dict[str, Any], count: int = 1) -> None:
        self.folder = folder
        self.elsewhere = 0
        self.count = count
        self.local = LocalModels(folder, "abc")
        super().__init__({"models": {"m": model}, "rewards": {"it": RM}})
        host = self.hosts["m"]
        self.links = JobHost(host.run, lambda: host.facts)

    async def __aenter__(self) -> Any:
        rig = await super().__aenter__()
        await self.links.start(self.folder, "abc")
        return rig

    async def __aexit__(self, *error: object) -> None:
        await self.links.drain(5)
        await super().__aexit__(*error)
        await self.local.close()

    def connect(self, config: RewardConfig) -> Send:
        by_handle = super().connect(config)

        async def elsewhere(messages: Any, backlog: tuple[int, float]) -> Answers:
            self.elsewhere += 1
            async with aclosing(by_handle(messages, backlog)) as answers:
                async for answer in answers:
                    yield answer

        def note(facts: Any) -> None:
            self.rig.rewards.find(config.name, "").note_model(facts)

        return self.local.sender(definition_of(config), elsewhere, lambda: self.count, note)


async def test_items_come_by_the_socket_and_say_which_model(tmp_path: Path) -> None:
    words = [f"answer {i}" for i in range(300)] + ["nan"]
    linked = Linked(tmp_path, dict(engine(latency_s=0.01)))
    async with linked as rig:
        answer = await rig.answer(asked(request_of("it", words)))
        again = await rig.answer(asked(request_of("it", ["x"])))
    outcomes = flat(answer)
    assert reasons(outcomes) == Counter(SCORED=300, INVALID_RESULT=1)
    assert [o.reward for o in outcomes if isinstance(o, Score)] == list(map(number_of, words[:-1]))
    for told in (answer, again):
        (model,) = told.models
        assert (model.name, model.engine, model.weights_digest) == ("m", "stub", "one")
    assert linked.elsewhere == 0


async def test_a_cancelled_call_ends_at_the_replica(tmp_path: Path) -> None:
    linked = Linked(tmp_path, dict(engine()) | {"in_flight": 1})
    async with linked as rig:
        call = rig.answer(asked(request_of("it", ["hang", "hang 2"])))
        await asyncio.sleep(0.3)
        call.cancel()
        outcomes = flat(await rig.answer(asked(request_of("it", ["a"])), 20))
        assert reasons(outcomes) == Counter(SCORED=1)
        async with asyncio.timeout(5):
            while any(end.tasks for end in linked.links.ends):
                await asyncio.sleep(0.05)


async def test_what_a_link_loses_is_sent_again(tmp_path: Path) -> None:
    linked = Linked(tmp_path, dict(engine(latency_s=0.3)))
    async with linked as rig:
        call = rig.answer(asked(request_of("it", ["a", "b"])))
        await asyncio.sleep(0.1)
        for end in list(linked.links.ends):
            end.hang_up()
        outcomes = flat(await call)
        assert reasons(outcomes) == Counter(SCORED=2)
        assert rig.metrics.rewards["it"].retries == 1


async def test_a_replica_that_stops_ends_what_it_has_and_gets_no_more(tmp_path: Path) -> None:
    linked = Linked(tmp_path, dict(engine(latency_s=0.4)))
    async with linked as rig:
        call = asyncio.ensure_future(rig.answer(asked(request_of("it", ["a", "b"]))))
        await asyncio.sleep(0.15)
        stop = asyncio.create_task(linked.links.drain(10))
        await asyncio.sleep(0.05)
        late = flat(await rig.answer(asked(request_of("it", ["c"]))))
        assert reasons(late) == Counter(SCORED=1)
        assert linked.elsewhere == 1
        assert reasons(flat(await call)) == Counter(SCORED=2)
        await stop
        assert rig.metrics.rewards["it"].retries == 0
        assert not names(tmp_path)


async def test_jobs_are_shared_with_replicas_elsewhere(tmp_path: Path) -> None:
    linked = Linked(tmp_path, dict(engine(latency_s=0.2)), count=2)
    async with linked as rig:
        calls: list[Any] = []
        for number in range(8):  # one after the other, or they travel as one job
            calls.append(rig.answer(asked(request_of("it", [f"a {number}", f"b {number}"]))))
            await asyncio.sleep(0.02)
        for call in calls:
            assert reasons(flat(await call)) == Counter(SCORED=2)
    assert 2 <= linked.elsewhere <= 6


async def test_a_socket_of_a_replica_that_was_killed_is_cleared_away(tmp_path: Path) -> None:
    linked = Linked(tmp_path, dict(STUB))
    async with linked as rig:
        path = only(tmp_path)
        dead = tmp_path / "abc.1"
        listener = await asyncio.start_unix_server(_nothing, str(dead))
        listener.close()
        await listener.wait_closed()
        assert reasons(flat(await rig.answer(asked(request_of("it", ["a"]))))) == {"SCORED": 1}
        assert names(tmp_path) == [path.name]
        assert linked.elsewhere == 0


def names(folder: Path) -> list[str]:
    """What lies in a folder."""
    return [path.name for path in folder.iterdir()]


def only(folder: Path) -> Path:
    """The one file in it."""
    (path,) = folder.iterdir()
    return path


def _nothing(*_: object) -> None:
    pass


async def _answers(*_: Any) -> AsyncGenerator[Any, None]:
    for number in range(3):
        yield [], True, {"n": float(number)}
    raise ValueError("broken")


async def _link(folder: Path, stack: AsyncExitStack) -> JobLink:
    host = JobHost(_answers, lambda: "facts")
    await host.start(folder, "x")
    stack.push_async_callback(host.drain, 1)
    path = only(folder)
    return await JobLink.connect(path, os.getpid(), lambda: None)


async def test_a_fault_of_the_replica_is_told(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        link = await _link(tmp_path, stack)
        got: list[float] = []

        async def run() -> None:
            async for _parts, _room, figures in link.run(None, [], (0, 0.0)):
                got.append(figures["n"])

        with pytest.raises(LinkLost, match="ValueError: broken"):
            await run()
        assert got == [0, 1, 2]
        assert (link.facts, link.items) == ("facts", 0)


async def test_another_process_behind_the_name_is_refused(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        await _link(tmp_path, stack)
        path = only(tmp_path)
        with pytest.raises(OSError, match="is not the socket of process 1"):
            await JobLink.connect(path, 1, lambda: None)
        await asyncio.sleep(0.05)  # in which the replica lets it in, and loses it


async def test_large_messages_come_whole(tmp_path: Path) -> None:
    got: list[int] = []

    async def size(_reward: Any, messages: Any, _backlog: Any) -> AsyncIterator[Any]:
        got.append(sum(len(piece) for data, *_ in messages for piece in data))
        yield [], True, {"size": float(got[-1])}

    host: Any = JobHost(size, lambda: None)  # type: ignore[arg-type]
    await host.start(tmp_path, "x")
    path = only(tmp_path)
    link = await JobLink.connect(path, os.getpid(), lambda: None)
    message: Any = ([b"x" * 3_000_000, b"y" * 5], 1, [], 0.0, 0.0, 0.0, "", 0)
    told = await asyncio.gather(*(_all(link, [message]) for _ in range(5)))
    assert told == [[3_000_005.0]] * 5
    await host.drain(1)


async def _all(link: JobLink, messages: Any) -> list[float]:
    return [figures["size"] async for _p, _r, figures in link.run(None, messages, (0, 0.0))]


@pytest.mark.parametrize("stray", [b"x", b"\xff\xff\xff\xff", b"\x04\0\0\0abcd", b"\x09\0\0\0abc"])
async def test_strays_disturb_nobody_else(tmp_path: Path, stray: bytes) -> None:
    linked = Linked(tmp_path, dict(engine(latency_s=0.1)))
    async with linked as rig:
        call = rig.answer(asked(request_of("it", ["a", "b"])))
        await asyncio.sleep(0.05)
        reader, writer = await asyncio.open_unix_connection(str(only(tmp_path)))
        writer.write(stray)
        await asyncio.sleep(0.05)
        assert reasons(flat(await call)) == Counter(SCORED=2)
        assert rig.metrics.rewards["it"].retries == 0
        async with asyncio.timeout(5):
            await linked.links.drain(1)
            assert not await _read(reader), "it is hung up"
        writer.close()


async def _read(reader: asyncio.StreamReader) -> bytes:
    """What was said but that the replica stops."""
    try:
        said = await reader.read()
    except ConnectionResetError:
        return b""
    return b"" if len(said) < 32 else said


async def test_a_replica_that_says_nonsense_is_lost_at_once(tmp_path: Path) -> None:
    async def mad(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        (size,) = struct.unpack("<I", await reader.readexactly(4))
        await reader.readexactly(size)
        writer.write(b"\xff\xff\xff\xffno length")
        await reader.read()
        writer.close()

    server = await asyncio.start_unix_server(mad, str(tmp_path / "x.1"))
    lost = asyncio.Event()
    link = await JobLink.connect(tmp_path / "x.1", os.getpid(), lost.set)
    async with asyncio.timeout(5):
        with pytest.raises(LinkLost, match="hung up"):
            await _all(link, [])
        await lost.wait()
        with pytest.raises(LinkLost, match="hung up"):
            await _all(link, [])
    assert (link.items, link.is_lost) == (0, True)
    server.close()


async def test_what_cannot_be_sent_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        link = await _link(tmp_path, stack)
        with pytest.raises(TypeError, match="pickle"):
            await _all(link, [(None, 7, (_ for _ in ()))])
        assert link.items == 0
        assert not link._answers
        link.hang_up()
        await asyncio.sleep(0.05)


async def test_jobs_that_come_while_it_stops_end_too(tmp_path: Path) -> None:
    async def slow(*_: Any) -> AsyncGenerator[Any, None]:
        await asyncio.sleep(0.3)
        yield [], True, {"size": 1.0}

    host = JobHost(slow, lambda: None)
    await host.start(tmp_path, "x")
    path = only(tmp_path)
    link = await JobLink.connect(path, os.getpid(), lambda: None)
    first = asyncio.create_task(_all(link, []))
    await asyncio.sleep(0.15)
    stop = asyncio.create_task(host.drain(10))
    late = asyncio.create_task(_all(link, []))  # it has not read yet that this one stops
    assert await first == [1.0]
    assert await late == [1.0]
    await stop
    await asyncio.sleep(0.05)
    await host.start(tmp_path, "x")
    assert not names(tmp_path), "a probe that is late lets nobody in again"


async def test_a_replica_that_is_killed_loses_its_jobs_at_once(tmp_path: Path) -> None:
    code = """
        import asyncio, pathlib, sys
        from rewardplane.replica.job_link import JobHost

        async def run(*_):
            yield [], True, {"size": 1.0}
            await asyncio.sleep(600)

        async def main():
            await JobHost(run, lambda: "facts").start(pathlib.Path(sys.argv[1]), "x")
            print("up", flush=True)
            await asyncio.sleep(600)

        asyncio.run(main())
    """
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", textwrap.dedent(code), str(tmp_path)),
        stdout=asyncio.subprocess.PIPE,
    )
    assert child.stdout is not None
    assert await child.stdout.readline() == b"up\n"
    path = only(tmp_path)
    links = [await JobLink.connect(path, child.pid, lambda: None) for _gateway in range(2)]
    runs = [asyncio.create_task(_all(link, [])) for link in links for _ in range(20)]
    await asyncio.sleep(0.3)
    child.send_signal(signal.SIGKILL)
    async with asyncio.timeout(10):
        ended = await asyncio.gather(*runs, return_exceptions=True)
        await child.wait()
    assert [str(one) for one in ended] == ["the replica hung up"] * 40


async def test_both_ways_to_a_replica_have_the_same_outcomes(tmp_path: Path) -> None:
    words = [f"a {n}" for n in range(40)] + ["nan", "hang", "nan b", "a 1"]
    found: list[list[tuple[Any, ...]]] = []
    for folder in (None, tmp_path):
        linked = Linked(tmp_path, dict(engine(latency_s=0.01)))
        linked.local._links._folder = folder
        async with linked as rig:
            request = asked(request_of("it", words[:20], words[20:]))
            request.options.item_timeout.FromMilliseconds(700)
            outcomes = flat(await rig.answer(request, 20))
            assert bool(linked.elsewhere) == (folder is None)
        found.append(
            [
                (one.reward, one.components)
                if isinstance(one, Score)
                else (one.reason, one.message)
                for one in outcomes
            ]
        )
    assert found[0] == found[1]
    assert len(found[0]) == len(words)
