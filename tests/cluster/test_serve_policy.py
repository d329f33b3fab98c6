"""Serve's custom policy and the actor that it asks, without a cluster."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest
from ray.serve.config import AutoscalingConfig
from rewardplane.cluster import serve_policy
from rewardplane.cluster.membership import STALE_S, Membership
from rewardplane.cluster.names import NAMESPACE
from rewardplane.cluster.serve_policy import BacklogPolicy, sizing
from rewardplane.config.replicas import ReplicaRange
from rewardplane.gateway.load import JobLoad, Load

LOAD = Load(80.0, 80.0, 0.2, 400.0, ((300.0, 80.0),), {"job": JobLoad(80.0, 80.0, 400.0)})


class Actor:
    """The membership actor as a handle to it, which answers when it is told to."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int, int]] = []
        self.answers: list[Future[Load | None]] = []
        self.load = SimpleNamespace(remote=self._load)

    def _load(self, part: str, up: int, target: int) -> Any:
        self.asked.append((part, up, target))
        self.answers.append(Future())
        return SimpleNamespace(future=lambda answer=self.answers[-1]: answer)


def found(actor: Actor) -> Callable[..., Actor]:
    """What finds the actor under any name."""

    def find(_name: str, namespace: str) -> Actor:
        assert namespace == NAMESPACE
        return actor

    return find


@pytest.fixture
def actor(monkeypatch: pytest.MonkeyPatch) -> Actor:
    """Found under the name of the actor."""
    made = Actor()
    monkeypatch.setattr(serve_policy.ray, "get_actor", found(made))
    return made


def context(up: int, target: int) -> Any:
    """What Serve tells of a deployment."""
    return SimpleNamespace(current_num_replicas=up, target_num_replicas=target)


def policy() -> BacklogPolicy:
    """Of a reward with one to eight replicas."""
    return BacklogPolicy("part", 1, 8, 60.0, 3.0)


def test_nothing_changes_until_there_is_news(actor: Actor) -> None:
    asks = policy()
    assert asks(context(2, 3))[0] == 3
    assert asks(context(2, 3))[0] == 3
    assert actor.asked == [("part", 2, 3)], "it asks again when it has been answered"
    actor.answers[0].set_result(None)  # no gateway has told of this reward
    assert asks(context(2, 3))[0] == 3
    actor.answers[1].set_result(LOAD)
    assert asks(context(2, 3))[0] == 8


def test_a_question_that_was_given_up_is_asked_again(actor: Actor) -> None:
    asks = policy()
    asks(context(1, 1))
    actor.answers[0].cancel()
    asks(context(1, 1))
    actor.answers[1].set_exception(RuntimeError("lost"))
    asks(context(1, 1))
    actor.answers[2].set_result(LOAD)
    assert asks(context(1, 1))[0] == 8


def test_old_news_is_none(actor: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    asks = policy()
    asks(context(1, 1))
    actor.answers[0].set_result(LOAD)
    assert asks(context(1, 1))[0] == 8
    now_s = serve_policy.time.monotonic() + STALE_S + 1
    monkeypatch.setattr(serve_policy.time, "monotonic", lambda: now_s)
    assert asks(context(4, 5))[0] == 5, "neither up nor down in the dark"


def test_an_actor_that_was_lost_is_looked_for_again(
    actor: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    asks = policy()
    asks(context(1, 1))
    actor.answers[0].set_exception(RuntimeError("it is gone"))

    def nobody(_name: str, namespace: str) -> None:
        raise ValueError(f"no actor in {namespace}")

    monkeypatch.setattr(serve_policy.ray, "get_actor", nobody)
    assert asks(context(1, 2))[0] == 2
    other = Actor()
    monkeypatch.setattr(serve_policy.ray, "get_actor", found(other))
    assert asks(context(1, 2))[0] == 2
    other.answers[0].set_result(LOAD)
    assert asks(context(1, 2))[0] == 8


async def test_the_work_of_all_gateways_is_one() -> None:
    membership = Membership()
    assert await membership.load("part", 1, 1) is None
    assert await membership.report("one", {"part": LOAD, "other": Load()}) == {"part": (1, 1)}
    await membership.report("two", {"part": LOAD})
    load = await membership.load("part", 2, 5)
    assert load is not None
    assert (load.work_s, load.at_once) == (160.0, 800.0)
    assert await membership.report("two", {"part": Load()}) == {"part": (2, 5)}
    await membership.leave("one")
    assert await membership.load("part", 2, 5) == Load()
    await membership.leave("two")
    assert await membership.load("part", 2, 5) is None


def test_a_range_becomes_serves_autoscaling() -> None:
    assert sizing("part", 3, 9, 5.0) == {"num_replicas": 3}
    config = sizing("part", ReplicaRange(min=0, max=4), 0, 5.0)["autoscaling_config"]
    assert isinstance(config, AutoscalingConfig)
    assert (config.min_replicas, config.initial_replicas, config.max_replicas) == (0, 1, 4)
    delays_s = config.upscale_delay_s, config.downscale_delay_s, config.downscale_to_zero_delay_s
    assert delays_s == (0, 0, 0), "the policy has all of them itself"
    policy: Any = config.policy
    made = policy.get_policy()
    assert made.__name__ == "BacklogPolicy"
    assert made(**policy.policy_kwargs)
    grown = sizing("part", ReplicaRange(min=0, max=4), 9, 5.0)["autoscaling_config"]
    assert grown.initial_replicas == 4
