"""The promises of the service under poison, over gRPC: six items fail, the others do not notice."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
import pytest_asyncio
from rewardplane.rewards.types import Outcome, Score

from ..support.rig import FOLDER, Rig, executions, flat, poison, reasons, request_of, rewards, rig

pytestmark = pytest.mark.asyncio(loop_scope="module")

POISON = {
    100: ("hang", "TIMED_OUT"),
    250: ("exit 3", "CRASHED"),
    400: ("allocate", "OUT_OF_MEMORY"),
    550: ("systemexit", "RAISED"),
    700: ("string", "INVALID_RESULT"),
    850: ("nan", "INVALID_RESULT"),
}
TIMEOUT_S = 2.0


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def it() -> AsyncIterator[Rig]:
    settings = {"timeout_s": TIMEOUT_S, "memory_limit_mb": 1024}
    served = {"poison": poison(**settings), "group": poison("group", **settings)}
    async with rig(served) as made:
        await asyncio.gather(*(pool.check_health() for pool in made.pools.values()))
        yield made


def batch(first: int) -> list[str]:
    """A thousand numbers that no float prints exactly."""
    return [repr((first + i) / 7) for i in range(1000)]


def poisoned(first: int) -> list[str]:
    return [POISON[i][0] if i in POISON else text for i, text in enumerate(batch(first))]


def groups(texts: list[str]) -> list[list[str]]:
    return [texts[i : i + 10] for i in range(0, len(texts), 10)]


def check(outcomes: list[Outcome], clean: list[Outcome]) -> None:
    for index, (outcome, before) in enumerate(zip(outcomes, clean, strict=True)):
        assert isinstance(before, Score)
        if index in POISON:
            assert rewards([outcome]) == [POISON[index][1]]
        else:
            assert isinstance(outcome, Score)
            assert outcome.reward.hex() == before.reward.hex()


async def test_six_poisonous_items_in_a_thousand(it: Rig, tmp_path: Path) -> None:
    clean = await it.score("poison", *groups(batch(0)))
    begin_s = time.monotonic()
    log = {"log": str(tmp_path / "log")}
    outcomes = await it.score("poison", *groups(poisoned(0)), references=log)
    assert time.monotonic() - begin_s < TIMEOUT_S + 5
    check(outcomes, clean)
    counted = executions(tmp_path / "log")
    assert len(counted) == 1000
    assert {text for text, times in counted.items() if times > 1} == {"allocate"}
    assert counted["allocate"] == 2
    figures = it.metrics.figures("poison")
    assert figures.counted["worker_restarts.timed_out"] >= 1
    assert figures.counted["worker_restarts.crashed"] >= 1
    assert figures.counted["worker_restarts.spent"] >= 1


async def test_the_same_in_four_batches_at_once(it: Rig) -> None:
    clean = [await it.score("poison", *groups(batch(k))) for k in range(4)]
    begin_s = time.monotonic()
    outcomes = await asyncio.gather(*(it.score("poison", *groups(poisoned(k))) for k in range(4)))
    assert time.monotonic() - begin_s < TIMEOUT_S + 5
    for got, before in zip(outcomes, clean, strict=True):
        check(got, before)


async def test_group_calls_with_one_poisonous_item_in_sixteen(it: Rig, tmp_path: Path) -> None:
    texts = [[repr((16 * g + i) / 7) for i in range(16)] for g in range(4)]
    clean = rewards(await it.score("group", *texts))
    texts[0][5], texts[2][0], texts[3][15] = "hang", "exit 3", "nan"
    clean[5], clean[32], clean[63] = "TIMED_OUT", "CRASHED", "INVALID_RESULT"
    log = {"log": str(tmp_path / "log")}
    assert rewards(await it.score("group", *texts, references=log)) == clean
    counted = executions(tmp_path / "log")
    assert max(counted[text] for group in texts for text in group) == 2
    assert all(counted[text] == 1 for text in [*texts[1], *texts[3]])


async def test_workers_that_are_killed_under_load_cost_one_item_each(it: Rig) -> None:
    killed: set[int] = set()

    async def kill_one() -> None:
        (pid,) = rewards(await it.score("poison", ["pid"]))
        os.kill(int(float(pid)), signal.SIGKILL)
        killed.add(int(float(pid)))

    async def load(k: int) -> list[Outcome]:
        return await it.score("poison", *groups([f"sleep 0.002 {k}"] * 200))

    running = [asyncio.create_task(load(k)) for k in range(4)]
    for _ in range(3):
        await asyncio.sleep(0.2)
        await kill_one()
    outcomes = [await task for task in running]
    counted = sum((reasons(o) for o in outcomes), Counter())
    assert counted["SCORED"] + counted["CRASHED"] == 800
    assert counted["CRASHED"] <= len(killed) == 3
    for k, got in enumerate(outcomes):
        assert {o.reward for o in got if isinstance(o, Score)} == {float(k)}


OWNER = """
import asyncio, json, sys
sys.path.insert(0, {tests!r})
from tests.support.rig import poison, pool_of, run, groups_of, rewards

async def main():
    async with pool_of(poison()) as pool:
        (pid,) = rewards(await run(pool, groups_of(["pid"])))
        print(int(pid), flush=True)
        await run(pool, groups_of(["hang"]), timeout_s=600, deadline_s=600)

asyncio.run(main())
"""


async def test_an_owner_that_is_killed_leaves_no_process() -> None:
    root = str(FOLDER.parents[2])
    code = OWNER.format(tests=root)
    owner = subprocess.Popen(  # noqa: ASYNC220 - it is read line by line
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=root
    )
    try:
        assert owner.stdout is not None
        pid = int(await asyncio.to_thread(owner.stdout.readline))
        worker = psutil.Process(pid)
        template = worker.parent()
        assert template is not None
        assert template.pid != owner.pid
        await asyncio.sleep(0.3)
        before_s = sum(worker.cpu_times()[:2])
        await asyncio.sleep(0.7)
        assert sum(worker.cpu_times()[:2]) > before_s  # it hangs in C code
    finally:
        owner.kill()
        owner.communicate()
    _, alive = await asyncio.to_thread(psutil.wait_procs, [worker, template], 5)
    assert not [p for p in alive if p.status() != psutil.STATUS_ZOMBIE]


async def test_no_call_is_left_open_after_all_that(it: Rig) -> None:
    assert rewards(flat(await it.answer(request_of("poison", ["1"])))) == [1.0]
    assert it.admission.items == it.admission.calls == 0
