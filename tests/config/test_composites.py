"""Rewards made of others in a configuration: order, circles, unknown names, settings, digests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from rewardplane.config.load import ConfigError, ServiceConfig, parse

BASE = {"math": {"kind": "math"}, "format": {"kind": "format"}}


def composite(formula: str, **more: Any) -> dict[str, Any]:
    return {"kind": "composite", "formula": formula, **more}


def load(**rewards: Any) -> ServiceConfig:
    return parse({"rewards": {**BASE, **rewards}}, Path())


def faults(**rewards: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(**rewards)
    return caught.value.faults


def test_members_may_stand_anywhere_in_the_file() -> None:
    config = parse({"rewards": {"b": composite("a"), "a": composite("math"), **BASE}}, Path())
    assert list(config.rewards) == ["b", "a", "math", "format"]
    facts = config.rewards["b"].facts
    assert facts.component_names == ("a", "a.math", "a.math.parsed")
    assert facts.reference_keys == ("answer",)
    assert {reward.lane for reward in config.rewards.values()} == {"composite", "pool", "inline"}


def test_facts_are_those_of_the_members() -> None:
    config = load(
        code={"kind": "code_tests", "isolation": "confined"},
        dup={"kind": "duplicates"},
        sure=composite("math + format"),
        whole=composite("math + dup"),
        unsure=composite("sure + code"),
        best={"kind": "best_of", "reward": "sure"},
    )
    facts = {name: reward.facts for name, reward in config.rewards.items()}
    assert [facts[n].deterministic for n in ("sure", "whole", "unsure")] == [True, True, False]
    assert [facts[n].whole_group for n in ("sure", "whole", "best")] == [False, True, True]
    assert [facts[n].isolation for n in ("sure", "unsure")] == ["", "confined"]


def test_the_digest_covers_members_of_members() -> None:
    def digests(**math: Any) -> tuple[str, str]:
        config = load(math={"kind": "math", **math}, a=composite("math"), b=composite("a"))
        return config.rewards["a"].digest, config.rewards["b"].digest

    assert digests() == digests(replicas=3)
    assert not {*digests()} & {*digests(clip=[0, 1])}
    assert not {*digests()} & {*digests(wrong_reward=-1)}


def test_it_travels_as_plain_data() -> None:
    config = load(a=composite("math", gates=[{"reward": "format"}]), b=composite("a"))
    again = ServiceConfig.from_dict(config.as_dict())
    assert again.rewards["b"].fingerprint == config.rewards["b"].fingerprint
    assert again.rewards["a"].build() == config.rewards["a"].build()


def test_circles_are_told_once_each() -> None:
    told = faults(
        a=composite("b"), b=composite("c"), c=composite("a"), d=composite("d"), e=composite("math")
    )
    assert len(told) == 2
    assert any("made of itself: d of d" in fault for fault in told)
    assert any(fault.count(" of ") == 4 for fault in told)


def test_unknown_names_are_told_with_the_nearest() -> None:
    told = faults(a=composite("maths"), b={"kind": "panel", "members": {"x": {"reward": "fromat"}}})
    assert told == [
        "rewards.a: member 'maths': no reward is named 'maths'; did you mean 'math'?",
        "rewards.b: member 'x': no reward is named 'fromat'; did you mean 'format'?",
    ]


def test_a_member_with_faults_of_its_own_is_told_once() -> None:
    told = faults(bad={"kind": "contains", "no": 1}, a=composite("bad + math"))
    assert len(told) == 1
    assert told[0].startswith("rewards.bad")


@pytest.mark.parametrize("setting", ["replicas", "timeout_s", "lane", "memory_limit_mb"])
def test_settings_of_what_runs_are_the_members(setting: str) -> None:
    value = "pool" if setting == "lane" else 100
    (fault,) = faults(a=composite("math", **{setting: value}))
    assert fault == f"rewards.a: {setting}: has no effect here; set it at the members"


def test_unused_members_are_told() -> None:
    (fault,) = faults(a=composite("math", members={"style": "format"}))
    assert "members: style: in no weight, formula or gate" in fault


def test_names_of_members_of_members_do_not_grow_without_end() -> None:
    def twice(of: str) -> dict[str, Any]:
        return composite("x + y", members={"x": of, "y": of})

    doubling = {f"c{i}": twice(f"c{i - 1}" if i else "math") for i in range(20)}
    told = faults(**doubling)
    assert len(told) == 1
    assert "components, its members' included; at most 1024" in told[0]


def test_members_may_ask_a_model() -> None:
    def loaded(**endpoint: Any) -> ServiceConfig:
        model = {"runs": "endpoint", "base_url": "http://127.0.0.1:9/v1", "name": "m", **endpoint}
        judge = {"kind": "judge", "model": "m", "ask": "Is it good?"}
        given = {**BASE, "good": judge, "both": composite("good + math")}
        return parse({"models": {"m": model}, "rewards": given}, Path())

    config = loaded()
    assert config.rewards["good"].lane == "model"
    assert not config.rewards["good"].has_replicas
    assert config.rewards["both"].lane == "composite"
    assert config.rewards["both"].model is None
    assert [model.name for model in config.asked_models()] == ["m"]
    assert ServiceConfig.from_dict(config.as_dict()).as_dict() == config.as_dict()
    assert loaded(name="other").rewards["both"].digest != config.rewards["both"].digest
