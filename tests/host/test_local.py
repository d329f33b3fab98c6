"""A service without Ray: set up, scored with, reloaded, drained, in one process."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from rewardplane.client.sync_client import SyncRewardClient
from rewardplane.config.load import ServiceConfig, parse
from rewardplane.host.local import LocalService
from rewardplane.host.options import Options
from rewardplane.host.progress import DeployFailed, Progress, Stopped
from rewardplane.rewards import Example, Group, Reason, Response, Score, ScoreError

from ..support.rig import FOLDER, poison


def configured(**rewards: dict[str, Any]) -> ServiceConfig:
    return parse({"rewards": rewards}, FOLDER)


@contextmanager
def serving(config: ServiceConfig) -> Iterator[tuple[LocalService, str]]:
    service = LocalService(Options(port=0, metrics_port=0))
    service.start(config, Progress())
    try:
        (address,) = service.addresses()
        yield service, address
    finally:
        service.stop()


def group(*texts: str) -> Group:
    return Group(Example(references={"answer": "1"}), [Response(text) for text in texts])


def workers() -> set[psutil.Process]:
    return {p for p in psutil.Process().children(recursive=True) if "fork_server" in cmd(p)}


def cmd(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def test_it_keeps_the_promises_and_leaves_nothing() -> None:
    """Each item its own outcome: a hang, a crash and a loss of workers are nobody else's."""
    before = workers()
    config = configured(
        one=poison(timeout_s=1, replicas=2),
        exact={"kind": "exact"},
    )
    with serving(config) as (_service, address), SyncRewardClient(address) as client:
        texts = [f"{i}" for i in range(60)]
        texts[7], texts[30] = "hang", "exit 3"
        (outcomes,) = client.score("one", [group(*texts)], timeout_s=60)
        failed = {i: o.reason for i, o in enumerate(outcomes) if isinstance(o, ScoreError)}
        assert failed == {7: Reason.TIMED_OUT, 30: Reason.CRASHED}
        long = "x" * 100_000  # too long for the inline lane
        (outcomes,) = client.score("exact", [group("1", long)], timeout_s=30)
        assert [o.reward for o in outcomes if isinstance(o, Score)] == [1.0, 0.0]
        assert len(workers() - before) >= 3  # two replicas of the one, one of the other
        killed = workers() - before
        for process in killed:
            process.send_signal(signal.SIGKILL)
        psutil.wait_procs(killed, 10)
        (outcomes,) = client.score("one", [group("1", "2")], timeout_s=60)
        assert all(isinstance(o, Score) for o in outcomes)
    until_s = time.monotonic() + 30
    while (left := workers() - before) and time.monotonic() < until_s:
        time.sleep(0.05)
    assert not left


def test_a_reload_fails_no_call_and_the_old_version_goes() -> None:
    def version(name: str, reward: float) -> ServiceConfig:
        pool = {"kind": "exact", "lane": "pool", "version": name, "correct_reward": reward}
        return configured(it=pool)

    stop = threading.Event()
    seen: set[float] = set()
    with serving(version("1", 1.0)) as (service, address), SyncRewardClient(address) as client:

        def load() -> None:
            while not stop.is_set():
                seen.update(client.rewards("it", ["?"] * 4, ["1"] * 4, {"answer": ["1"] * 4}))

        caller = threading.Thread(target=load)
        caller.start()
        try:
            while not seen:
                time.sleep(0.01)
            assert service.reload(version("2", 2.0), Progress()) == ["it"]
            while 2.0 not in seen:
                time.sleep(0.01)
        finally:
            stop.set()
            caller.join()
        assert seen == {1.0, 2.0}
        begin_s = time.monotonic()
        while service._retiring or len(service._replicas) > 1:
            service.upkeep()
            time.sleep(0.05)
        assert time.monotonic() - begin_s < 10  # nothing runs there: nothing is waited for


def test_a_reward_that_cannot_be_set_up_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "no_weights.py").write_text(
        "class scorer:\n"
        "    def setup(self):\n        raise RuntimeError('no weights here')\n"
        "    def score(self, items):\n        return [0.0 for _ in items]\n"
    )
    bad = parse({"rewards": {"bad": {"kind": "python", "function": "no_weights:scorer"}}}, tmp_path)
    with serving(configured(it={"kind": "exact"})) as (service, address):
        with pytest.raises(DeployFailed, match=r"rewards\.bad: .*no weights here \(.*py:3\)"):
            service.reload(bad, Progress())
        with SyncRewardClient(address) as client:
            assert client.rewards("it", ["?"], ["1"], {"answer": ["1"]}) == [1.0]
    with pytest.raises(DeployFailed, match="no weights here"), serving(bad):
        pass


def test_rewards_that_ask_a_model_are_refused() -> None:
    model = {"runs": "endpoint", "base_url": "http://127.0.0.1:9/v1", "name": "m", "head": "chat"}
    judge = {"kind": "judge", "model": "m", "ask": "Is it good?"}
    asking = parse({"models": {"m": model}, "rewards": {"it": judge}}, Path())
    with pytest.raises(DeployFailed, match=r"models\.m: models run on Ray"), serving(asking):
        pass
    unasked = parse({"models": {"m": model}, "rewards": {"it": {"kind": "exact"}}}, Path())
    with (
        serving(unasked) as (service, _address),
        pytest.raises(DeployFailed, match="without --no-ray"),
    ):
        service.reload(asking, Progress())


def test_a_signal_ends_a_start_that_waits(tmp_path: Path) -> None:
    (tmp_path / "slow_setup.py").write_text(
        "import time\n"
        "class scorer:\n"
        "    def setup(self):\n        time.sleep(300)\n"
        "    def score(self, items):\n        return [0.0 for _ in items]\n"
    )
    slow = parse(
        {"rewards": {"slow": {"kind": "python", "function": "slow_setup:scorer"}}}, tmp_path
    )
    service = LocalService(Options(port=0, metrics_port=0))
    begin_s = time.monotonic()
    with pytest.raises(Stopped):
        service.start(slow, Progress(stopped=lambda: time.monotonic() - begin_s > 0.5))
    assert time.monotonic() - begin_s < 60
    assert not os.path.exists(service._folder)  # noqa: PTH110
