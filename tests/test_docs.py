"""The documents name what there is."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import yaml
from rewardplane.access.settings import Access, Grant, JwtIssuer, Quota, Tls
from rewardplane.config.load import parse
from rewardplane.config.settings import Limits, RewardSettings
from rewardplane.rewards import Reason
from rewardplane.rewards.registry import kinds
from rewardplane.rewards.sandbox.level import Level
from rewardplane.rewards.sandbox.limits import Limits as SandboxLimits
from rewardplane.rewards.sandbox.verdict import Verdict

ROOT = Path(__file__).parents[1]


def test_every_kind_is_told_with_its_lane() -> None:
    text = (ROOT / "docs" / "rewards.md").read_text()
    lanes = "inline|pool|sandbox|model|composite"
    told = dict(re.findall(rf"^\| `(\w+)` \| ({lanes}) \|", text, re.MULTILINE))
    usual = {n: "inline" if k.fits_inline else "pool" for n, k in kinds().items()}
    # Kinds that always run untrusted code; others may, as they are configured.
    asking = dict.fromkeys(("reward_model", "judge", "pairwise", "rubric"), "model")
    always = ("code_tests", "program_run", "snippet")
    composed = dict.fromkeys(("composite", "panel", "best_of"), "composite")
    assert told == {**usual, **asking, **dict.fromkeys(always, "sandbox"), **composed}


def test_every_setting_and_limit_is_told() -> None:
    text = (ROOT / "docs" / "operating.md").read_text()
    for name in (*RewardSettings.model_fields, *Limits.model_fields):
        assert re.search(rf"^ +{name}: ", text, re.MULTILINE), name


def test_every_reason_is_told_with_whether_it_is_worth_another_try() -> None:
    text = (ROOT / "README.md").read_text()
    told = dict(re.findall(r"^\| `([A-Z_]+)` \|.*\| (yes|no) \|$", text, re.MULTILINE))
    from rewardplane.rewards.types import RETRYABLE

    assert told == {r.name: "yes" if r in RETRYABLE else "no" for r in Reason}


def test_the_judges_can_be_served(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "judges.md").read_text()
    told = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    (tmp_path / "smollm2").mkdir()
    config = told[0].replace("/models/Skywork-Reward-V2-Qwen3-0.6B", "smollm2")
    example = (ROOT / "examples" / "judges" / "rewards.yaml").read_text()
    for document in (config, example):
        served = parse(yaml.safe_load(document), tmp_path)
        assert {reward.lane for reward in served.rewards.values()} == {"model"}
        assert {"judge", "pairwise", "rubric"} <= {
            reward.settings.kind for reward in served.rewards.values()
        }
    for line in told[1].splitlines():
        entry = {**yaml.safe_load(line), "kind": "judge", "model": "judge"}
        asked = {"models": yaml.safe_load(told[0])["models"], "rewards": {"it": entry}}
        del asked["models"]["skywork"]
        parse(asked, tmp_path)


def test_every_level_limit_and_verdict_of_the_sandbox_is_told() -> None:
    text = (ROOT / "docs" / "sandbox.md").read_text()
    rows = re.findall(r"^\| (.*?) \|", text, re.MULTILINE)
    told = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert told >= {level.name for level in Level}
    assert told >= {verdict.value for verdict in Verdict}
    assert told >= {field.name for field in dataclasses.fields(SandboxLimits)}


def test_the_tour_can_be_served(tmp_path: Path) -> None:
    text = (ROOT / "README.md").read_text()
    (config,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    (function,) = re.findall(r"```python\n(def .*?)```", text, re.DOTALL)
    (tmp_path / "brevity.py").write_text(function)
    served = parse(yaml.safe_load(config), tmp_path)
    assert served.rewards["brevity"].facts.unit == "group"


def test_the_access_file_that_is_told_can_be_read_and_has_every_setting() -> None:
    text = (ROOT / "docs" / "security.md").read_text()
    (document,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    Access.model_validate(yaml.safe_load(document))
    models = (Access, Tls, JwtIssuer, Grant, Quota)
    fields = {name for model in models for name in model.model_fields}
    assert {name for name in fields if name not in text} == set()


def test_every_refusal_is_told() -> None:
    text = (ROOT / "docs" / "security.md").read_text()
    source = "".join(path.read_text() for path in (ROOT / "service" / "access").glob("*.py"))
    found = re.findall(r'(?:refused\(|"why": )"([A-Z_]+)"', source)
    assert len(found) > 12
    assert {why for why in found if f"`{why}`" not in text} == set()
