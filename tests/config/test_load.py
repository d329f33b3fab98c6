"""Configurations: every fault at once with its path; digests follow what decides scores."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rewardplane.config.document import BadDocument, read
from rewardplane.config.load import (
    ConfigError,
    NamedCode,
    RewardConfig,
    ServiceConfig,
    load,
    parse,
    parse_reward,
)
from rewardplane.config.replicas import ReplicaRange
from rewardplane.rewards.registry import kinds

from ..support.rig import FOLDER, configured, poison


def faults_of(document: object) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(document, FOLDER)
    return caught.value.faults


def test_a_file_becomes_rewards(tmp_path: Path) -> None:
    shutil.copy(FOLDER / "poison.py", tmp_path / "tone_beside_it.py")
    file = tmp_path / "rewards.yaml"
    file.write_text(
        """
limits: {max_in_flight_items: 1000}
rewards:
  math: {kind: math, replicas: 4, timeout_s: 20}
  tone:
    kind: python
    function: tone_beside_it:parts
    components: [half, double]
    version: 2026-11-20
    clip: [-1, 1]
  cheap: {kind: exact}
"""
    )
    config = load(file)
    assert config.limits.max_in_flight_items == 1000
    assert list(config.rewards) == ["math", "tone", "cheap"]
    tone = config.rewards["tone"]
    assert (tone.settings.version, tone.clip, tone.lane) == ("2026-11-20", (-1, 1), "pool")
    assert tone.facts.component_names == ("half", "double")
    assert config.rewards["cheap"].lane == "inline"
    assert config.rewards["math"].settings.replicas == 4
    again = ServiceConfig.from_dict(json.loads(json.dumps(config.as_dict())))
    assert again.as_dict() == config.as_dict()
    assert again.rewards["tone"] == tone
    assert again.rewards["tone"].build().component_names == ("half", "double")


def test_all_faults_are_told_at_once_with_their_paths() -> None:
    faults = faults_of(
        {
            "limits": {"max_in_flight_items": 0, "nonsense": 1},
            "rewardz": {},
            "rewards": {
                "a": {"kind": "exact", "timeout_s": -1, "replicas": 0},
                "b": {"kind": "exakt"},
                "c": {"kind": "exact", "nonsense": 1},
                "d": {"kind": "math", "lane": "inline"},
                "e e": {"kind": "exact"},
                "f": None,
                "g": poison(clip=[1, 1]),
                "h": poison("nothing"),
                "i": {"kind": "python", "function": "no_such_module:x"},
                "ok": {"kind": "exact"},
            },
        }
    )
    for start, words in (
        ("limits.max_in_flight_items", "greater than or equal to 1"),
        ("limits.nonsense", "unknown"),
        ("rewardz", "unknown"),
        ("rewards.a.timeout_s", "greater than 0"),
        ("rewards.a.replicas", "greater than or equal to 1"),
        ("rewards.b.kind", "did you mean 'exact'"),
        ("rewards.c.nonsense", "unknown"),
        ("rewards.d", "does not fit the inline lane"),
        ("rewards.e e", "want a name"),
        ("rewards.f", "want a mapping"),
        ("rewards.g", "low < high"),
        ("rewards.h", "nothing"),
        ("rewards.i", "no_such_module"),
    ):
        assert any(f.startswith(start) and words in f for f in faults), (start, faults)
    assert not [fault for fault in faults if "ok" in fault.split(":")[0]]


@pytest.mark.parametrize(
    "document", [None, 5, [], "x", {}, {"rewards": None}, {"rewards": {}}, {"rewards": [1]}]
)
def test_what_is_no_configuration_is_refused(document: object) -> None:
    assert faults_of(document)


@pytest.mark.parametrize(
    "settings",
    [
        {"timeout_s": 0},
        {"timeout_s": float("inf")},
        {"timeout_s": float("nan")},
        {"queue_timeout_s": 100_000},
        {"replicas": 1.5},
        {"memory_limit_mb": 1},
        {"concurrency": 0},
        {"clip": [2, 1]},
        {"clip": [1]},
        {"clip": [float("nan"), 1]},
        {"version": ""},
        {"version": "x" * 129},
        {"lane": "gpu"},
    ],
)
def test_settings_are_in_their_ranges(settings: dict[str, Any]) -> None:
    (fault,) = faults_of({"rewards": {"a": {"kind": "exact", **settings}}})
    assert fault.startswith(f"rewards.a.{next(iter(settings))}") or "clip" in fault


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("rewards: {", "flow"),
        ("\ufeff\x00", "cannot be read"),
        ("rewards:\n  a: {kind: exact}\n  b: {kind: exact}\n  a: {kind: math}\n", "stands twice"),
        ("rewards: &a [*a]", "Circular"),
        ("[" * 1000, "deep"),
    ],
)
def test_a_file_that_cannot_be_read_says_so(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "rewards.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=words):
        load(file)


def test_a_file_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load(tmp_path / "nothing.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"rewards: \xff")
    with pytest.raises(ConfigError, match="no text in UTF-8"):
        load(tmp_path / "latin.yaml")


def test_documents_hold_what_json_holds() -> None:
    assert read("a: 2026-11-20\nb: [1, 2.5, null, true]") == {
        "a": "2026-11-20",
        "b": [1, 2.5, None, True],
    }
    assert read("base: &b {x: 1}\nother: {<<: *b, y: 2}") == {
        "base": {"x": 1},
        "other": {"x": 1, "y": 2},
    }
    for text in ("x: !!set {a}", "x: !!binary aGk=", "[1]: 2", "x: !!timestamp y", "- &a [*a]"):
        with pytest.raises(BadDocument):
            read(text)
    with pytest.raises(BadDocument, match="alias"):
        read("a: &x 1\nb: *x", aliases=False)


# ---- digests ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"version": "2"},
        {"clip": [0, 1]},
        {"components": ["half"]},
        {"function": "poison:group"},
        {"kwargs": {"wait": "1"}, "function": "poison:Batch"},
    ],
)
def test_a_digest_follows_what_decides_a_score(change: dict[str, Any]) -> None:
    assert configured(poison(**change)).digest != configured(poison()).digest


@pytest.mark.parametrize(
    "change",
    [
        {"replicas": 3},
        {"timeout_s": 5},
        {"memory_limit_mb": 512},
        {"ray_actor_options": {"num_cpus": 2}},
    ],
)
def test_sizing_changes_the_fingerprint_and_not_the_digest(change: dict[str, Any]) -> None:
    before, after = configured(poison()), configured(poison(**change))
    assert before.digest == after.digest
    assert before.fingerprint != after.fingerprint


DIGEST = """
import sys
from pathlib import Path
from rewardplane.config.load import parse_reward
entry = {"kind": "python", "function": "poison:one", "version": sys.argv[2]}
print(parse_reward("it", entry, Path(sys.argv[1])).digest)
"""


def test_a_digest_follows_the_source_and_not_its_place(tmp_path: Path) -> None:
    def digest(folder: Path) -> str:
        # A process each: in one, a module is imported once.
        command = [sys.executable, "-c", DIGEST, str(folder), "1"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(FOLDER / "poison.py", tmp_path)
    (other / "poison.py").write_text((FOLDER / "poison.py").read_text() + "\nX = 1\n")
    assert digest(tmp_path) == digest(FOLDER) == configured(poison()).digest
    assert digest(other) != digest(FOLDER)


def test_named_code_is_told_from_other_faults() -> None:
    with pytest.raises(NamedCode):
        parse_reward("it", {"kind": "python", "nonsense": 1}, None, named_code=False)
    assert parse_reward("it", {"kind": "exact"}, None, named_code=False).lane == "inline"


def test_addresses_and_keys_are_never_taken_from_a_request() -> None:
    grader = {"type": "string_check", "name": "c", "input": "x", "reference": "y"}
    entry: dict[str, Any] = {"kind": "openai_grader", "grader": {**grader, "operation": "eq"}}
    assert parse_reward("it", entry, None, named_code=False).lane == "pool"
    judge = {"base_url": "http://127.0.0.1:1/v1", "api_key_env": "HOME"}
    with pytest.raises(NamedCode, match="addresses, keys or files"):
        parse_reward("it", {**entry, "judge": judge}, None, named_code=False)
    assert parse_reward("it", {**entry, "judge": judge}, None).lane == "pool"


def test_infinite_clips_travel() -> None:
    config = configured({"kind": "exact", "clip": [float("-inf"), 1.0]})
    again = RewardConfig.from_dict(json.loads(json.dumps(config.as_dict())))
    assert again.clip == (float("-inf"), 1.0)


MATCH = {
    "stringMatchRewardScorer": {
        "stringMatchExpression": {"matchOperation": "EXACT_MATCH", "expression": "x"}
    }
}
CHECK = {"type": "string_check", "name": "c", "operation": "eq", "input": "x", "reference": "x"}
CALLS = {"cloudRunRewardScorer": {"cloudRunUri": "http://127.0.0.1:9/"}}


@pytest.mark.parametrize(
    "entry",
    [
        {"kind": "gemini", "config_file": "PATH"},
        {"kind": "gemini", "config": MATCH, "config_file": "PATH"},
        {"kind": "gemini", "config": MATCH, "judge": {"base_url": "http://x/v1"}},
        {
            "kind": "gemini",
            "config": MATCH,
            "judge": {"base_url": "http://x/v1", "api_key_file": "PATH"},
        },
        {"kind": "gemini", "config": MATCH, "judge": 3},
        {"kind": "gemini", "config": MATCH, "cloud_run": {"token": {"file": "PATH"}}},
        {"kind": "gemini", "config": MATCH, "cloud_run": {"token": {"env": "HOME"}}},
        {"kind": "gemini", "config": CALLS},
        {"kind": "openai_grader", "grader": CHECK, "judge": {"api_key_file": "PATH"}},
        {"kind": "python", "function": "x:y", "python_path": ["PATH"]},
    ],
)
@pytest.mark.parametrize("there", ["missing", "folder", "secret", "pipe", "json"])
def test_what_a_request_brings_names_no_file_and_tells_nothing_of_one(
    tmp_path: Path, entry: dict[str, Any], there: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / there
    if there == "folder":
        path.mkdir()
    elif there == "pipe":
        os.mkfifo(path)  # opening it would never end
    elif there == "secret":
        path.write_text("s3cret")
    elif there == "json":
        path.write_text(json.dumps({**MATCH, "rewardName": 7, "s3cret": "s3cret"}))
    given = json.loads(json.dumps(entry).replace("PATH", str(path)))
    parse_reward("inline", {"kind": "exact"}, None)  # what kinds import, they have imported
    opened: list[str] = []
    sys.addaudithook(lambda event, args: _noted(event, args, str(tmp_path), opened))
    with pytest.raises(NamedCode) as caught:
        parse_reward("inline", given, None, named_code=False)
    assert not opened
    assert "not allowed" in str(caught.value)
    assert "s3cret" not in str(caught.value)


def _noted(event: str, args: tuple[Any, ...], folder: str, opened: list[str]) -> None:
    if event in ("open", "os.listdir", "os.scandir") and str(args[0]).startswith(folder):
        opened.append(str(args[0]))


def test_every_parameter_that_names_a_file_or_an_address_is_told() -> None:
    """A kind's parameters, those inside of them too, by the words that such names have."""
    told = re.compile(r"file|path|folder|dir|url|uri|endpoint|address|host|env|token|judge")
    for kind in kinds().values():
        if kind.runs_named_code:
            continue
        schema = json.dumps(kind.model_json_schema())
        for name in kind.model_fields:
            if told.search(name):
                assert name in kind.outside, (kind.kind, name)
        for inner in set(re.findall(r'"(\w*(?:_file|_env|_url|_uri))": {', schema)):
            assert kind.outside, (kind.kind, inner)


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ({"replica": 2}, "a.replica: unknown; did you mean 'replicas'?"),
        ({"case_sensitiv": True}, "a.case_sensitiv: unknown"),
        ({"clip": 3}, "a.clip: want a list"),
        ({"timeout_s": "soon"}, "not 'soon'"),
        ({"ray_actor_options": {"num_cpu": 2}}, "num_cpu: unknown; did you mean 'num_cpus'?"),
        ({"ray_actor_options": {"max_restarts": 2}}, "unknown; want num_cpus, num_gpus, memory"),
        ({"ray_actor_options": {"num_cpus": "two"}}, "ray_actor_options.num_cpus: want"),
        ({"ray_actor_options": {"num_gpus": 1.5}}, "want a whole number, or less than 1"),
        ({"ray_actor_options": {"resources": {"CPU": 1}}}, "CPU is set by num_cpus"),
        ({"ray_actor_options": {"resources": {"tpu": -1}}}, "resources.tpu: want"),
        ({"ray_actor_options": {"runtime_env": {"working_dir": "/x"}}}, "'/x' is no URI"),
        ({"kind": "python", "function": "brevity.score"}, "function: want MODULE:NAME"),
    ],
)
def test_a_fault_says_what_is_wanted(entry: dict[str, Any], told: str) -> None:
    (fault,) = faults_of({"rewards": {"a": {"kind": "exact", **entry}}})
    assert told in fault
    assert "pydantic" not in fault
    assert "Input should" not in fault


def test_replicas_are_a_number_or_a_range() -> None:
    rewards = {"a": poison(replicas=3), "b": poison(replicas={"min": 0, "max": 4})}
    config = parse({"rewards": rewards}, FOLDER)
    fixed, scaled = config.rewards["a"], config.rewards["b"]
    assert (fixed.replicas, fixed.scaling) == (3, None)
    assert (scaled.replicas, scaled.scaling) == (4, ReplicaRange(min=0, max=4))
    assert fixed.digest == configured(poison()).digest, "sizing decides no score"
    again = RewardConfig.from_dict(json.loads(json.dumps(scaled.as_dict())))
    assert again == scaled
    assert again.fingerprint == scaled.fingerprint


@pytest.mark.parametrize(
    ("replicas", "words"),
    [
        ({"min": 5, "max": 4}, "min: 5 is more than max, which is 4"),
        ({"min": -1, "max": 4}, "min: Input should be greater than or equal to 0"),
        ({"max": 0}, "max: Input should be greater than or equal to 1"),
        ({"min": 1}, "max: Field required"),
        ({"max": 4, "most": 3}, "most: unknown; want min, max, idle_s"),
        ({"max": 4, "idle_s": -1}, "idle_s: Input should be greater than or equal to 0"),
        ([1, 4], "want a valid integer"),
        ("many", "want a valid integer"),
        (10_001, "less than or equal to 10000"),
    ],
)
def test_what_is_no_number_of_replicas_is_told(replicas: object, words: str) -> None:
    (fault,) = faults_of({"rewards": {"a": poison(replicas=replicas)}})
    assert fault.startswith("rewards.a.replicas: ")
    assert words in fault
