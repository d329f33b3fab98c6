"""Kind `gemini` among others: where its configuration stands, what it says of itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from rewardplane.config.load import ConfigError, parse_reward
from rewardplane.rewards.kinds.gemini import Gemini
from rewardplane.rewards.registry import build
from rewardplane.rewards.sandbox.level import IsolationUnavailable
from rewardplane.rewards.types import Example, Reason, Response, Score, ScoreError, Usage

from ....support.judge_server import says
from .configs import ANSWER, cloud_run, code, composite, match, rater
from .world import outcome_of, world

JUDGE = {"base_url": "http://127.0.0.1:9/v1"}


def digest_of(file: Path) -> str:
    return parse_reward("r", {"kind": "gemini", "config_file": file.name}, file.parent).digest


def test_a_file_decides_the_digest_by_what_it_holds(tmp_path: Path) -> None:
    file = tmp_path / "reward.json"
    file.write_text(json.dumps(match()))
    first = digest_of(file)
    assert digest_of(file) == first
    file.write_text(json.dumps(match(right=0.5)))
    assert digest_of(file) != first


def test_a_file_is_brought_along_as_its_content(tmp_path: Path) -> None:
    (tmp_path / "reward.json").write_text(json.dumps(match()))
    given = {"config_file": "reward.json", "undocumented": {"strip": True}}
    params = Gemini.at_home(given, str(tmp_path))
    assert params == {"config": match(), "undocumented": {"strip": True}}
    assert Gemini.at_home(params, "/nonexistent") == params


@pytest.mark.parametrize(
    ("text", "told"),
    [("{", "no JSON"), ('{"a": 1, "a": 2}', "twice"), (None, "No such")],
)
def test_a_file_that_cannot_be_read_is_told(tmp_path: Path, text: str | None, told: str) -> None:
    file = tmp_path / "reward.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(ConfigError, match=told):
        digest_of(file)


def test_building_opens_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "never-ends")
    with pytest.raises(ValidationError, match="config_file"):
        build("gemini", {"config_file": str(tmp_path / "never-ends")})


def test_unknown_fields_are_told_apart_from_other_warnings() -> None:
    reward: Any = build("gemini", {"config": {**match(right=2.0), "rewardNam": "x"}})
    (unknown,) = reward.unknown_fields
    assert "rewardNam" in unknown
    assert len(reward.warnings) == 2


def test_there_is_one_configuration(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="want `config`"):
        build("gemini", {})
    for params in ({"config": match(), "config_file": "x"}, {"config_file": 3}):
        with pytest.raises(ValueError, match="either `config` or `config_file`"):
            Gemini.at_home(params, str(tmp_path))


@pytest.mark.parametrize(
    ("config", "is_async"),
    [
        (match(), False),
        (composite((match(name="a"), 1), (match(name="b"), 1)), False),
        (composite((match(name="a"), 1), (code("return 1"), 1)), True),
        (rater(), True),
        (cloud_run("https://x.run.app"), True),
    ],
)
def test_what_waits_for_nothing_is_not_async_and_deterministic(
    config: dict[str, Any], is_async: bool
) -> None:
    reward = build("gemini", {"config": config, "judge": JUDGE})
    assert (reward.is_async, reward.deterministic) == (is_async, not is_async)


def test_parameters_make_the_same_reward_again() -> None:
    reward: Any = build("gemini", {"config": composite((match(name="a"), 1)), "judge": JUDGE})
    assert reward.component_names == ("a",)
    assert build("gemini", reward.model_dump(by_alias=True)) == reward


def test_member_names_that_become_the_same_stay_apart() -> None:
    members = [(match(name=name), 1) for name in ("a b", "a/b", "x" * 100, "x" * 101)]
    names = build("gemini", {"config": composite(*members)}).component_names
    assert len(set(names)) == 4
    assert all(len(name) <= 64 for name in names)


async def test_members_run_side_by_side_and_the_slowest_sets_the_time() -> None:
    async with world() as here:
        here.cloud_run.delay_s = 0.2
        members = [(cloud_run(name=f"m{i}"), 1.0) for i in range(8)]
        outcome = await outcome_of(here.reward(composite(*members)), Example(), Response("4"))
        assert isinstance(outcome, Score)
        assert here.cloud_run.most_in_flight == 8


async def test_an_item_out_of_time_leaves_nothing_running() -> None:
    async with world() as here:
        here.cloud_run.delay_s = 0.3
        reward = here.reward(composite((cloud_run(name="a"), 1), (code("while True: pass"), 1)))
        outcome = await outcome_of(reward, Example(), Response("4"), timeout_s=0.1)
        assert isinstance(outcome, ScoreError)
        assert outcome.reason is Reason.TIMED_OUT


def test_code_runs_in_a_sandbox() -> None:
    source = (
        "import asyncio\n"
        "from rewardplane.rewards.registry import build\n"
        "from rewardplane.rewards.types import Example, Response\n"
        f"reward = build('gemini', {{'config': {code('return len(dir())')!r}}})\n"
        "reward.setup()\n"
        "score = asyncio.run(reward.score(Example(), Response('x')))\n"
        "print(reward.isolation, reward.isolation_held, score.reward)\n"
        "reward.kill()"
    )
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True)
    assert done.stdout.split()[0] == "namespaced", done.stderr
    assert int(done.stdout.split()[1]) >= 3
    assert done.stdout.split()[2] == "1.0"


def test_without_the_isolation_demanded_code_is_not_served() -> None:
    demand = {"config": code("return 1"), "isolation": "guest_kernel"}
    with pytest.raises(IsolationUnavailable, match="guest"):
        build("gemini", demand).setup()


def test_listing_the_kind_loads_no_http() -> None:
    source = "import sys, rewardplane.rewards.kinds.gemini; print('aiohttp' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True)
    assert done.stdout.strip() == "False", done.stderr


async def test_an_error_has_cost_what_all_judges_took() -> None:
    async with world() as here:
        here.judge.replies = [says("0.5")]
        here.cloud_run.replies = [503]
        members = [(rater(name="judged", samples=2), 1), (cloud_run(name="down"), 1)]
        outcome = await outcome_of(here.reward(composite(*members)), Example(), Response("4"))
    assert isinstance(outcome, ScoreError)
    assert outcome.reason is Reason.UNAVAILABLE
    assert outcome.usage == Usage(200, 40, 0, 2)


async def test_what_a_snippet_returns_is_clipped_and_told() -> None:
    async with world() as here:
        outcome = await outcome_of(here.reward(code("return 10")), Example(), Response("4"))
    assert outcome == Score(1.0, {"parsed": 1.0}, "evaluate returned 10, clipped to [-1, 1]")


async def test_what_the_parse_expression_read_is_the_answer() -> None:
    for text, answer in (("so <answer> 4 </answer>", "4"), ("none", "")):
        async with world() as here:
            reward = here.reward(match("EXACT_MATCH", "4", parse=ANSWER))
            outcome = await outcome_of(reward, Example(), Response(text))
        assert isinstance(outcome, Score)
        assert outcome.answer.strip() == answer
