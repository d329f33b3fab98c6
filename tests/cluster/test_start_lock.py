"""Engines of one node start one after the other; without Ray."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from itertools import pairwise
from pathlib import Path

import pytest
from rewardplane.cluster import models as module
from rewardplane.config.load import parse
from rewardplane.config.models import ModelConfig

from ..models.hosting import RM, STUB
from ..support.rig import FOLDER


@pytest.fixture
def card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelConfig:
    """A model that wants a card; the temporary folder is one of its own."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(module, "ALONE_POLL_S", 0.02)
    return model(gpus=1)


def model(**settings: float) -> ModelConfig:
    given = {"models": {"m": {**STUB, **settings}}, "rewards": {"it": RM}}
    return parse(given, FOLDER).models["m"]


async def starts(model: ModelConfig, begun: list[float], takes_s: float) -> None:
    async with module._alone_on_card(model):
        begun.append(time.monotonic())
        await asyncio.sleep(takes_s)


def lock_of() -> int:
    """The lock that this process has open."""
    for path in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            if path.readlink().name == "start.lock":
                return int(path.name)
    raise AssertionError("no lock")


async def test_one_after_the_other_and_a_fork_holds_nothing_up(card: ModelConfig) -> None:
    begun: list[float] = []
    async with asyncio.timeout(20):
        async with module._alone_on_card(card):
            # As an engine's process that is forked has it.
            child = await asyncio.create_subprocess_exec("sleep", "60", pass_fds=[lock_of()])
        try:
            await asyncio.gather(*(starts(card, begun, 0.3) for _ in range(3)))
        finally:
            child.kill()
            await child.wait()
    assert min(later - first for first, later in pairwise(begun)) >= 0.25


async def test_one_that_hangs_holds_the_others_up_for_a_time(
    card: ModelConfig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "ALONE_S", 0.2)
    begun: list[float] = []
    hangs = asyncio.create_task(starts(card, begun, 600))
    await asyncio.sleep(0.1)
    async with asyncio.timeout(20):
        await starts(card, begun, 0.0)
    assert len(begun) == 2
    assert "starts beside it" in caplog.text
    hangs.cancel()
    await asyncio.gather(hangs, return_exceptions=True)


@pytest.mark.parametrize("trap", ["link", "pipe", "folder of others"])
async def test_what_others_lay_there_is_not_followed(
    card: ModelConfig, tmp_path: Path, trap: str
) -> None:
    folder, victim = tmp_path / f"rewardplane-{os.geteuid()}", tmp_path / "victim"
    victim.write_text("whole")
    folder.mkdir(mode=0o777 if trap == "folder of others" else 0o700)
    if trap == "folder of others":
        folder.chmod(0o777)
    elif trap == "link":
        (folder / "start.lock").symlink_to(victim)
    else:
        os.mkfifo(folder / "start.lock")
    begun: list[float] = []
    async with asyncio.timeout(20):
        await starts(card, begun, 0.0)
    assert begun
    assert victim.read_text() == "whole"


async def test_without_a_card_nothing_is_waited_for(card: ModelConfig) -> None:
    async with asyncio.timeout(20), module._alone_on_card(card), module._alone_on_card(model()):
        pass
