"""The worked example of docs/gemini.md works, and its table names every switch."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from rewardplane.cli.dataset import read
from rewardplane.config.settings import RewardSettings
from rewardplane.rewards.formats.gemini.options import CloudRun, Undocumented
from rewardplane.rewards.kinds.gemini import Gemini
from rewardplane.rewards.registry import build
from rewardplane.rewards.types import Score

from ....support.judge_server import says, serving
from .world import outcome_of

GUIDE = (Path(__file__).parents[4] / "docs" / "gemini.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", GUIDE, re.DOTALL)
    assert found is not None
    return found[1]


async def test_the_worked_example(tmp_path: Path) -> None:
    (tmp_path / "reward.json").write_text(block("json"))
    (tmp_path / "data.jsonl").write_text(block("jsonl"))
    entry: dict[str, Any] = yaml.safe_load(block("yaml"))["rewards"]["maths"]
    params = {k: v for k, v in entry.items() if k not in RewardSettings.model_fields}
    async with serving() as judge:
        judge.replies = [says("Short and plain. <v>Yes</v>")]
        params["judge"]["base_url"] = judge.base_url
        reward: Any = build("gemini", Gemini.at_home(params, str(tmp_path)))
        assert reward.warnings == ()
        (line,) = read(tmp_path / "data.jsonl")
        outcomes = [
            await outcome_of(reward, line.group.example, response)
            for response in line.group.responses
        ]
        await reward.close()
        assert {body["model"] for body in judge.bodies} == {"local-judge"}
        assert len(judge.bodies) == 2 * len(outcomes)
    told = re.search(r"the rewards are\s+(\S+), (\S+) and (\S+):", GUIDE)
    assert told is not None
    scores = [outcome for outcome in outcomes if isinstance(outcome, Score)]
    assert [score.reward for score in scores] == [float(text) for text in told.groups()]
    assert scores[0].components == {"correct": 1.0, "clear": 1.0}


@pytest.mark.parametrize("switch", list(Undocumented.model_fields))
def test_every_switch_is_told(switch: str) -> None:
    assert re.search(rf"^\|.*\| `{switch}: ", GUIDE, re.MULTILINE)


def test_the_cloud_run_example_is_sound() -> None:
    found = re.search(r"```yaml\n( +cloud_run:.*?)```", GUIDE, re.DOTALL)
    assert found is not None
    settings = CloudRun.model_validate(yaml.safe_load(found[1])["cloud_run"])
    assert settings.token is not None
    assert settings.timeout_s == CloudRun().timeout_s
