"""Configurations for tests, in the JSON of Google's API."""

from __future__ import annotations

from typing import Any

MODEL = "projects/p/locations/us-central1/publishers/google/models/judge-1"
ANSWER = r"<answer>(.*?)</answer>"


def regex(expression: str) -> dict[str, Any]:
    return {"parseType": "REGEX_EXTRACT", "regexExtractExpression": expression}


def match(
    operation: str | None = "EXACT_MATCH",
    expression: str = "{{references.answer}}",
    **more: Any,
) -> dict[str, Any]:
    """String match: 1 and -1. `parse`, `right`, `wrong`, `name`, `key` (of JSON)."""
    found: dict[str, Any] = {"expression": expression}
    if operation is not None:
        found["matchOperation"] = operation
    scorer: dict[str, Any] = {
        "correctAnswerReward": more.get("right", 1.0),
        "wrongAnswerReward": more.get("wrong", -1.0),
    }
    if "key" in more:
        scorer["jsonMatchExpression"] = {
            "keyName": more["key"],
            "valueStringMatchExpression": found,
        }
    else:
        scorer["stringMatchExpression"] = found
    return single({"stringMatchRewardScorer": scorer}, **more)


def single(scorer: dict[str, Any], **more: Any) -> dict[str, Any]:
    """One reward: `name`, `parse`."""
    config = dict(scorer)
    if "name" in more:
        config["rewardName"] = more["name"]
    if "parse" in more:
        parse = more["parse"]
        config["parseResponseConfig"] = regex(parse) if isinstance(parse, str) else parse
    return config


def code(*lines: str, **more: Any) -> dict[str, Any]:
    """Code execution: the body of `evaluate`."""
    body = "\n".join(f"    {line}" for line in lines)
    snippet = f"def evaluate(example, response) -> float:\n{body}\n"
    return single({"codeExecutionRewardScorer": {"pythonCodeSnippet": snippet}}, **more)


def rater(prompt: str = "Rate: {{response}}", **more: Any) -> dict[str, Any]:
    """Autorater: `judge_parse`, `exact` (the expression), `samples`, `config`."""
    config = {"autoraterModel": MODEL, "samplingCount": more.get("samples", 1)}
    scorer: dict[str, Any] = {
        "autoraterPrompt": prompt,
        "autoraterConfig": {**config, **more.get("config", {})},
    }
    if "judge_parse" in more:
        scorer["autoraterResponseParseConfig"] = regex(more["judge_parse"])
    if "exact" in more:
        scorer["exactMatchScorer"] = {
            "correctAnswerReward": 1.0,
            "wrongAnswerReward": -1.0,
            "expression": more["exact"],
        }
    else:
        scorer["parsedResponseConversionScorer"] = {}
    return single({"autoraterScorer": scorer}, **more)


def cloud_run(uri: str = "CLOUD_RUN", **more: Any) -> dict[str, Any]:
    return single({"cloudRunRewardScorer": {"cloudRunUri": uri}}, **more)


def composite(*members: tuple[Any, float]) -> dict[str, Any]:
    return {
        "weightedRewardConfigs": [
            {"rewardConfig": config, "weight": weight} for config, weight in members
        ]
    }
