"""`rewardplane check --fixtures`: what a reward accepts that it should not is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rewardplane.cli.commands import app
from rewardplane.cli.fixtures import MAX_EXAMPLES, Trial, try_reward
from rewardplane.config.load import ConfigError, parse, parse_reward
from rewardplane.rewards.ranks import ranks as ranks_of
from rewardplane.rewards.types import Content, Example, Part
from typer.testing import CliRunner

from ..support.functions.stub_model import number_of
from ..support.rig import FOLDER

EXAMPLES = [
    Example(contents=[Content("user", [Part(f"{n}+{n}?")])], references={"answer": str(2 * n)})
    for n in range(3, 13)
]
FUNCTIONS = """
def always(completions, **kwargs):
    return [1.0 for _ in completions]

def longer(completions, **kwargs):
    return [len(text) / 1000 for text in completions]

def prefix(completions, answer, **kwargs):
    return [float(gold.startswith(text.strip())) for text, gold in zip(completions, answer)]

async def believes(example, response):
    return float("correct" in str(response))

def reversed_(completions, answer, **kwargs):
    return [float(text.strip() != gold) for text, gold in zip(completions, answer)]

def sound(completions, answer, **kwargs):
    return [float(text.strip() == gold) for text, gold in zip(completions, answer)]

def raises(completions, **kwargs):
    raise ValueError("no")
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the functions lie: one module of a name can be imported in a process."""
    made = tmp_path_factory.mktemp("fixtures")
    (made / "tried_functions.py").write_text(FUNCTIONS)
    return made


def tried(folder: Path, entry: dict[str, Any]) -> Trial:
    return try_reward(parse_reward("r", entry, folder), EXAMPLES)


@pytest.mark.parametrize(
    ("function", "named"),
    [
        ("always", "every response earns 1, whatever it says"),
        ("longer", "the reward follows the length of the response"),
        ("prefix", "accepts: empty (earns up to 1, 10 of 10 examples"),
        ("believes", "accepts: claim of correctness"),
        ("believes", "accepts: prompt injection"),
        ("reversed_", "does not accept the gold itself in 10 of 10 examples"),
        ("reversed_", "accepts: the gold of another example"),
        ("raises", "no case has a reward: RAISED: ValueError: no"),
    ],
)
def test_what_a_reward_accepts_that_it_should_not_is_named(
    folder: Path, function: str, named: str
) -> None:
    trial = tried(folder, {"kind": "python", "function": f"tried_functions:{function}"})
    assert any(finding.startswith(named) for finding in trial.findings), trial.findings


@pytest.mark.parametrize(
    "entry",
    [
        {"kind": "math"},
        {"kind": "numeric"},
        {"kind": "exact"},
        {"kind": "format"},
        {"kind": "python", "function": "tried_functions:sound"},
    ],
)
def test_nothing_is_said_of_a_sound_reward(folder: Path, entry: dict[str, Any]) -> None:
    trial = tried(folder, entry)
    assert trial.findings == []
    assert trial.cases >= 90


def test_own_fixtures_pass_and_fail() -> None:
    gold = {"references": {"answer": "18"}}
    entry = {
        "kind": "numeric",
        "fixtures": [
            {**gold, "response": "A: 18", "reward": 1},
            {**gold, "response": "A: 18", "reward": [0.5, 1]},
            {"response": "A: 18", "error": "INVALID_REFERENCE"},
            {**gold, "name": "wrong", "response": "A: 19", "reward": 1},
            {**gold, "response": "A: 19", "reward": [0.5, 1]},
            {**gold, "response": "A: 19", "error": "INVALID_INPUT"},
            {"response": "A: 18", "reward": 0},
        ],
    }
    trial = try_reward(parse_reward("r", entry, None), [])
    assert trial.failed == [
        "wrong: want 1, got 0",
        "fixture 5: want 0.5 to 1, got 0",
        "fixture 6: want INVALID_INPUT, got 0",
        "fixture 7: want 0, got INVALID_REFERENCE: reference 'answer' is missing; there are: none",
    ]


def test_a_model_is_loaded_for_the_fixtures_of_its_reward() -> None:
    cases = [
        {"prompt": "2+2?", "response": "4", "reward": number_of("4")},
        {"prompt": "2+2?", "response": "nan", "error": "INVALID_RESULT"},
        {"response": "4", "error": "INVALID_INPUT"},
    ]
    stub = {"runs": "python", "path": "stub_model:StubModel", "head": "scalar"}
    reward = {"kind": "reward_model", "model": "m", "fixtures": cases}
    config = parse({"models": {"m": stub}, "rewards": {"r": reward}}, FOLDER)
    trial = try_reward(config.rewards["r"], [])
    assert trial.failed == []
    assert trial.cases >= len(cases)


def test_fixtures_change_neither_the_digest_nor_the_deployment() -> None:
    bare = parse_reward("r", {"kind": "length", "max_length": 9, "cache_length": 3}, None)
    case = {"response": "x", "reward": 0}
    tested = parse_reward(
        "r", {"kind": "length", "max_length": 9, "cache_length": 3, "fixtures": [case]}, None
    )
    assert (bare.digest, bare.fingerprint) == (tested.digest, tested.fingerprint)


@pytest.mark.parametrize(
    "case",
    [
        {"response": "x"},
        {"response": "x", "reward": 1, "error": "RAISED"},
        {"response": "x", "error": "NO"},
    ],
)
def test_a_fixture_that_says_nothing_is_refused(case: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        parse_reward("r", {"kind": "exact", "fixtures": [case]}, None)


def test_the_command_exits_with_1_where_an_own_fixture_fails(tmp_path: Path) -> None:
    config = tmp_path / "rewards.yaml"
    entry = "{kind: exact, fixtures: [{references: {answer: a}, response: %s, reward: 1}]}"
    config.write_text("rewards: {r: " + entry % "a" + "}")
    runner = CliRunner()
    told = runner.invoke(app, ["check", str(config), "--fixtures"])
    assert told.exit_code == 0, told.output
    assert "r: 10 cases, 0 failed, 0 findings" in told.output
    config.write_text("rewards: {r: " + entry % "b" + "}")
    told = runner.invoke(app, ["check", str(config), "--fixtures"])
    assert told.exit_code == 1
    assert "fixture 1: want 1, got 0" in told.output
    assert MAX_EXAMPLES >= 10


@given(st.lists(st.integers(-3, 3)))
def test_ranks_sum_to_those_of_distinct_values_and_keep_order(values: list[int]) -> None:
    ranks = ranks_of([float(value) for value in values])
    assert sum(ranks) == sum(range(len(values)))
    for one, rank in zip(values, ranks, strict=True):
        for other, its in zip(values, ranks, strict=True):
            assert (one < other) == (rank < its)
