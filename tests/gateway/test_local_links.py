"""One link to each replica of the node, whatever happens while it is made."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

import pytest
from rewardplane.gateway.local_links import LocalLinks
from rewardplane.replica.job_link import JobHost, JobLink
from rewardplane.replica.linked_workers import LinkedWorkers

from ..support.rig import Linked, configured, poison


class Slow:
    """A replica's link that takes until `opens` to be made."""

    def __init__(self, lost: Callable[[], None]) -> None:
        self.lost = lost
        self.is_open = True

    def hang_up(self) -> None:
        self.is_open = False


class Rig:
    def __init__(self, folder: Path) -> None:
        self.opens = asyncio.Event()
        self.made: list[Slow] = []
        self.fails: list[OSError] = []
        self.links = LocalLinks(folder, "x", self._connect)
        self.path = folder / f"x.{os.getpid()}"
        self.path.touch()

    async def _connect(self, _path: Path, _pid: int, lost: Callable[[], None]) -> Slow:
        await self.opens.wait()
        if self.fails:
            raise self.fails.pop()
        self.made.append(Slow(lost))
        return self.made[-1]

    @property
    def open(self) -> list[Slow]:
        return [link for link in self.made if link.is_open]


async def test_of_two_looks_one_link_is_left(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    looks = [asyncio.create_task(rig.links.scan()) for _ in range(3)]
    await asyncio.sleep(0)
    rig.opens.set()
    await asyncio.gather(*looks)
    assert len(rig.made) == 3
    assert list(rig.links.all) == rig.open == rig.made[:1]
    rig.made[1].lost()
    assert list(rig.links.all) == rig.made[:1], "another link to it was lost, not this one"
    rig.made[0].lost()
    assert not len(rig.links)
    await rig.links.scan()
    assert list(rig.links.all) == [rig.made[3]]


async def test_one_that_is_lost_while_it_is_made_is_not_kept(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.opens.set()

    async def connect(_path: Path, _pid: int, lost: Callable[[], None]) -> Slow:
        lost()
        rig.made.append(Slow(lost))
        return rig.made[0]

    links = LocalLinks(tmp_path, "x", connect)
    await links.scan()
    assert not len(links)
    assert not rig.open


async def test_one_that_is_made_after_the_end_is_not_kept(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    look = asyncio.create_task(rig.links.scan())
    await asyncio.sleep(0)
    assert rig.links.close() == []
    rig.opens.set()
    await look
    await rig.links.scan()
    assert len(rig.made) == 1
    assert not rig.open
    assert not len(rig.links)


@pytest.mark.parametrize("fault", [ConnectionRefusedError(), FileNotFoundError(), TimeoutError()])
async def test_one_that_cannot_be_reached_is_looked_for_again(
    tmp_path: Path, fault: OSError
) -> None:
    rig = Rig(tmp_path)
    rig.opens.set()
    rig.fails = [fault]
    await rig.links.scan()
    assert not len(rig.links)
    assert rig.path.exists() != isinstance(fault, ConnectionRefusedError), "nobody is behind it"
    rig.path.touch()
    await rig.links.scan()
    assert len(rig.links) == 1


async def _answers(*_: Any) -> AsyncGenerator[Any, None]:
    yield [], True, {}


@pytest.mark.parametrize("kind", [JobLink, LinkedWorkers])
async def test_real_links_that_race(tmp_path: Path, kind: Any) -> None:
    if kind is JobLink:
        host: Any = JobHost(_answers, lambda: None)
        await host.start(tmp_path, "x")
        stop, name, ends = host.drain(1), "x", host.ends
    else:
        linked = Linked(configured(poison()), tmp_path)
        stop, name, ends = linked.stop(), linked.replica.config.fingerprint, None
    links = LocalLinks(tmp_path, name, kind.connect)
    await asyncio.gather(*(links.scan() for _ in range(3)))
    await asyncio.sleep(0.05)
    assert len(links) == 1
    assert ends is None or len(ends) == 1
    for link in links.close():
        link.hang_up()
    await stop
    await asyncio.sleep(0.05)
