"""Waits: what they tell, and what ends them."""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Iterator

import pytest
from rewardplane.host.progress import DeployFailed, Progress, Stopped
from rewardplane.host.signals import Signals


@pytest.fixture
def signals() -> Iterator[Signals]:
    """Those of this process; put back afterwards."""
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    made = Signals()
    made.take()
    yield made
    for number, handler in before.items():
        signal.signal(number, handler)


def test_hangups_that_come_together_are_one_reload(signals: Signals) -> None:
    for _ in range(3):
        os.kill(os.getpid(), signal.SIGHUP)
    assert signals.asks_for_reload(1.0)
    assert not signals.asks_for_reload(0.01)
    assert not signals.stopped


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_any_wait(signals: Signals, number: int) -> None:
    told: list[str] = []
    left = itertools.count()

    def lacking() -> str:
        if next(left) == 3:
            os.kill(os.getpid(), number)
        return "one replica"

    with pytest.raises(Stopped):
        Progress(told.append, lambda: signals.stopped).wait(lacking, 60)
    assert not signals.asks_for_reload(60)  # at once, for it is to stop


def test_a_wait_ends_by_its_limit_and_says_what_is_missing() -> None:
    assert Progress().wait(lambda: "one replica", 0.1) == "one replica"
    with pytest.raises(DeployFailed, match=r"after 0\.1 s: one replica"):
        Progress().expect(lambda: "one replica", 0.1)
    Progress().expect(lambda: "", 0.1)


def test_each_text_is_told_once() -> None:
    told: list[str] = []
    progress = Progress(told.append)
    for text in ("a", "a", "b", "b", "a"):
        progress.say(text)
    assert told == ["a", "b", "a"]


def test_a_wait_gives_way_to_the_next_reload(signals: Signals) -> None:
    progress = Progress(superseded=signals.has_reload)
    progress.give_way()
    os.kill(os.getpid(), signal.SIGHUP)
    with pytest.raises(DeployFailed, match="another reload was asked for"):
        progress.give_way()
    assert signals.asks_for_reload(1.0), "it is still to be done"
    progress.give_way()
