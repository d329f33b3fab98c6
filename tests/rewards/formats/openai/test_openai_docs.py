"""The worked example of docs/openai_graders.md does what the page says."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from rewardplane.config.load import parse
from rewardplane.rewards.kinds.openai_grader import OpenAIGrader
from rewardplane.rewards.registry import build
from rewardplane.rewards.run import Clip, run_items_async
from rewardplane.rewards.types import Content, Example, Part, Response, Score

from ....support.judge_server import says, serving

PAGE = Path(__file__).parents[4] / "docs" / "openai_graders.md"


async def test_the_worked_example(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    text = PAGE.read_text()
    (config,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    row, wanted = (json.loads(block) for block in re.findall(r"```json\n(.*?)```", text, re.DOTALL))
    (verdict,) = re.findall(r'`(\{"steps".*?\})`', text)
    monkeypatch.setenv("JUDGE_API_KEY", "secret")
    async with serving() as judge:
        judge.replies = [says(verdict)]
        document = yaml.safe_load(config.replace("http://127.0.0.1:8000/v1", judge.base_url))
        served = parse(document, tmp_path).rewards["apples"]
        assert set(served.facts.reference_keys) == {"answer", "solution"}
        reward = build(served.settings.kind, served.params)
        assert isinstance(reward, OpenAIGrader)
        reward.setup()
        example = Example([Content("user", [Part(row["prompt"])])], row["references"])
        items = [(example, Response(row["response"]))]
        (outcome,) = await run_items_async(reward, items, Clip(), served.settings.timeout_s)
        await reward.close()
    assert isinstance(outcome, Score), outcome
    assert outcome.reward == pytest.approx(wanted["reward"], abs=5e-4)
    assert outcome.components == pytest.approx(wanted["components"], abs=5e-4)
    assert judge.keys == ["Bearer secret"]
    assert judge.bodies[0]["model"] == "Qwen3-8B"
    asked = judge.bodies[0]["messages"][1]["content"]
    assert asked == f"Question: {row['prompt']}\nAnswer: {row['response']}"
