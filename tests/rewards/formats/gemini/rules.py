"""The rules of Gemini's reward contract, each as a case: the table that `conformance` runs.

`section` is that of the contract note; `source` says who the rule is from: "google" where it is
documented, "trap" where the documents mislead or contradict themselves or the SDK does something
else, "ours" where they are silent.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from rewardplane.rewards.formats.gemini.autorater import TIMEOUT_S
from rewardplane.rewards.formats.gemini.combine import MemberOutcome
from rewardplane.rewards.formats.gemini.options import CloudRun
from rewardplane.rewards.formats.gemini.wire import (
    CloudRunRequest,
    cloud_run_answer,
    parse_cloud_run,
    validation_answer,
)
from rewardplane.rewards.types import Content, FileData, Part, Reason, Response, Score, ScoreError

from ....support.judge_server import status
from .configs import ANSWER, cloud_run, code, composite, match, rater, single
from .world import World

Source = Literal["google", "trap", "ours"]


@dataclass(frozen=True)
class Refused:
    """The configuration is refused, and the message holds all of these."""

    told: tuple[str, ...]


@dataclass(frozen=True)
class Warned:
    """The configuration is served, and one warning holds all of these; none: no warning."""

    told: tuple[str, ...]


@dataclass(frozen=True)
class Holds:
    """No reward is made: a statement on what is read from Google's side, or told to it."""

    statement: Callable[[], bool]


Expected = float | Reason | Refused | Warned | Holds


@dataclass(frozen=True)
class Case:
    section: str
    source: Source
    rule: str
    config: Any
    expected: Expected
    text: str | Response = "4"
    references: dict[str, str] = field(default_factory=lambda: {"answer": "4"})
    example: dict[str, Any] = field(default_factory=dict)
    undocumented: dict[str, Any] = field(default_factory=dict)
    params: dict[str, Any] = field(default_factory=dict)
    judge: tuple[Any, ...] = ("1",)
    """What the judge says; a string is a completion."""
    service: tuple[Any, ...] = ({"reward": 1.0},)
    """What the Cloud Run service answers: JSON, a status, or a raw text."""
    also: Callable[[World, Any], bool] | None = None
    """What must hold afterwards of the servers and the outcome."""

    @property
    def name(self) -> str:
        return f"{self.section} {self.rule}"


def refused(*told: str) -> Refused:
    return Refused(told)


def warned(*told: str) -> Warned:
    return Warned(told)


def _sent(here: World) -> Any:
    return here.cloud_run.bodies[-1]


def _prompt(here: World) -> str:
    return here.judge.bodies[-1]["messages"][0]["content"]


TWO = {
    "stringMatchRewardScorer": match()["stringMatchRewardScorer"],
    "cloudRunRewardScorer": {"cloudRunUri": "https://x.run.app"},
}
SNAKE = {
    "reward_name": "mixed",
    "parseResponseConfig": {"parse_type": "regex_extract", "regexExtractExpression": ANSWER},
    "stringMatchRewardScorer": {
        "correct_answer_reward": "1",
        "wrongAnswerReward": -1,
        "json_match_expression": {
            "keyName": "k",
            "value_string_match_expression": {"matchOperation": "Exact_Match", "expression": "v"},
        },
    },
}
OFFICIAL = (
    'response_str = response.get("parts", [])[0]["text"]',
    'references = example.get("references", {})',
    'if response_str == references.get("concise_answer"):',
    "    return 1.0",
    "return -1.0",
)
THINKING = Response("4", turns=[Content("model", [Part("5 it seems", thought=True), Part("4")])])
SEES = 'return float(len(response["parts"])) / 10'
HALF = "return 0.5"
SIGNS = r"f(x)=[a]^2|\d{1}$ +?*."


def C(  # noqa: N802 - a row of the table
    section: str, source: Source, rule: str, config: Any, expected: Expected, **more: Any
) -> Case:
    return Case(section, source, rule, config, expected, **more)


FAILED_MEMBER = MemberOutcome("bad", 1.0, ScoreError(Reason.UNAVAILABLE, "503"))
GOOD_MEMBER = MemberOutcome("good", 1.0, Score(0.5), "why")


def inbound(**more: Any) -> CloudRunRequest:
    """What a tuning job sends to a Cloud Run reward, read."""
    body = {"example": {"contents": []}, "response": {"parts": [{"text": "London"}]}, **more}
    return parse_cloud_run(json.dumps(body))


def answered(*members: MemberOutcome, **more: Any) -> dict[str, Any]:
    """The answer to a validation."""
    return validation_answer(members, is_composite=len(members) > 1, **more)


# A table: one rule a row, which a formatter would spread over a thousand lines.
# fmt: off
READING = [
    C("2", "trap", "camelCase and snake_case may be mixed at any depth", SNAKE, 1.0,
      text='<answer>{"k": "v"}</answer>'),
    C("2", "trap", "mixed case is no reason to warn", SNAKE, warned()),
    C("2", "trap", "enums are read in any case", match("partial_match"), 1.0),
    C("7", "google", "an unknown field is ignored, with its path and the nearest known one",
      {**match(), "rewardNam": "x"}, warned("rewardNam: unknown", "'rewardName'")),
    C("7", "google", "an unknown field deep inside is named by its path",
      match(parse={"parseTyp": "IDENTITY"}), warned("parseResponseConfig.parseTyp", "'parseType'")),
    C("7", "google", "a configuration is served in spite of unknown fields",
      {**match(), "rewardNam": "x"}, 1.0),
    C("7", "ours", "a field in both spellings is refused",
      {**match(name="a"), "reward_name": "b"}, refused("reward_name", "twice")),
    C("7", "google", "null is not set", {**match(), "autoraterScorer": None}, 1.0),
    C("1.0", "google", "an unknown enum value is refused with the known ones",
      match("FUZZY"), refused("matchOperation", "EXACT_MATCH")),
    C("1.0", "google", "numbers may be text", match(right="0.5"), 0.5),
    C("1.0", "google", "exactly one scorer: the error names both",
      TWO, refused("stringMatchRewardScorer and cloudRunRewardScorer")),
    C("1.0", "google", "exactly one scorer: none is refused", {"rewardName": "x"}, refused("none")),
    C("1.0", "google", "a single reward needs no name", match(), 1.0),
    C("0", "google", "a config may stand in its union", {"singleRewardConfig": match()}, 1.0),
    C("2", "google", "a config may stand in its tuning job",
      {"baseModel": "m", "reinforcementTuningSpec": {
          "trainingDatasetUri": "gs://x", "single_reward_config": match()}}, 1.0),
    C("0", "google", "both configs of the union are refused",
      {"singleRewardConfig": match(), "compositeRewardConfig": composite((match(), 1))},
      refused("both")),
]
PARSING = [
    C("1.1", "google", "no parse stage is IDENTITY", match(), 1.0),
    C("1.1", "google", "UNSPECIFIED is IDENTITY",
      match(parse={"parseType": "RESPONSE_PARSE_TYPE_UNSPECIFIED"}), 1.0),
    C("1.1", "google", "IDENTITY leaves the response as it is",
      match(parse={"parseType": "IDENTITY"}), -1.0, text=" 4"),
    C("1.1", "google", "the expression is used under REGEX_EXTRACT alone",
      match(parse={"parseType": "IDENTITY", "regexExtractExpression": "(a)(b)"}), 1.0),
    C("1.1", "ours", "an expression without REGEX_EXTRACT is warned of",
      match(parse={"regexExtractExpression": "(a)"}),
      warned("regexExtractExpression", "no effect")),
    C("1.1", "google", "a group is what is taken", match(parse=ANSWER), 1.0,
      text="so <answer>4</answer>."),
    C("1.1", "google", "without a group the whole match is", match(parse="[0-9]+"), 1.0,
      text="it is 4."),
    C("1.1", "google", "the last match counts", match(parse=ANSWER), 1.0,
      text="<answer>5</answer> no, <answer>4</answer>"),
    C("1.1", "google", "the last match counts, not a later failure of the group",
      match(parse=ANSWER), -1.0, text="<answer>4</answer> <answer>5</answer>"),
    C("1.1", "google", "matches do not overlap", match(expression="aa", parse="aa"), 1.0,
      text="aaa"),
    C("1.1", "google", "REST's pattern", match(parse=".*<ans>(.*?)</ans>"), 1.0,
      text="x <ans>4</ans>"),
    C("1.1", "trap", "the SDK's stripped pattern takes nothing, and is served",
      match(expression="", parse=".*(.*?)"), 1.0, text="x"),
    C("1.1", "google", "two groups are refused at load",
      match(parse="(a)(b)"), refused("regexExtractExpression", "at most one")),
    C("1.1", "google", "a group that captures nothing does not count as one",
      match(parse="(?:a|b)=([0-9])"), 1.0, text="b=4"),
    C("1.1", "google", "an invalid expression is refused at load",
      match(parse="(a"), refused("regexExtractExpression", "not an RE2")),
    C("1.1", "google", "RE2 has no look-around", match(parse="(?=a)b"), refused("not an RE2")),
    C("1.1", "google", "RE2 has no back-references", match(parse=r"(a)\1"), refused("not an RE2")),
    C("1.1", "trap", "`.` does not match a line end", match(parse=ANSWER), -1.0,
      text="<answer>\n4</answer>"),
    C("1.1", "google", "(?s) makes it", match("PARTIAL_MATCH", parse="(?s)" + ANSWER), 1.0,
      text="<answer>\n4</answer>"),
    C("1.1", "ours", "dot_matches_newline makes it too", match("PARTIAL_MATCH", parse=ANSWER), 1.0,
      text="<answer>\n4</answer>", undocumented={"dot_matches_newline": True}),
    C("1.1", "ours", "REGEX_EXTRACT without an expression is refused",
      match(parse=""), refused("wants an expression")),
    C("8", "ours", "no match is wrong, and component parsed is 0", match(parse=ANSWER), -1.0,
      text="four", also=lambda _, o: o.components == {"parsed": 0.0}),
    C("8", "ours", "no match does not equal an empty reference",
      match(parse=ANSWER), -1.0, text="four", references={"answer": ""}),
    C("8", "ours", "no_answer: error", match(parse=ANSWER), Reason.INVALID_INPUT,
      text="four", undocumented={"no_answer": "error"}),
    C("8", "ours", "white space counts", match(parse=ANSWER), -1.0, text="<answer> 4</answer>"),
    C("8", "ours", "strip", match(parse=ANSWER), 1.0, text="<answer> 4</answer>",
      undocumented={"strip": True}),
    C("8", "ours", "the texts of all parts are joined",
      match(expression="ab"), 1.0,
      text=Response("ab", turns=[Content("model", [Part("a"), Part("b")])])),
    C("4.2", "ours", "thoughts are dropped from the text", match(), 1.0, text=THINKING),
    C("4.2", "ours", "thoughts: keep", match(expression="5 it seems4"), 1.0, text=THINKING,
      undocumented={"thoughts": "keep"}),
    C("4.2", "ours", "thoughts are dropped from the content", code(SEES), 0.1, text=THINKING),
    C("4.2", "ours", "thoughts: content", code(SEES), 0.2, text=THINKING,
      undocumented={"thoughts": "content"}),
]
MATCHING = [
    C("1.2", "google", "EXACT_MATCH: equal", match(), 1.0),
    C("1.2", "google", "EXACT_MATCH: not within", match(), -1.0, text="44"),
    C("1.2", "google", "PARTIAL_MATCH: the expression is within the target",
      match("PARTIAL_MATCH"), 1.0, text="it is 4"),
    C("1.2", "google", "PARTIAL_MATCH: not the other way round",
      match("PARTIAL_MATCH", "it is 4"), -1.0, text="4"),
    C("1.2", "google", "PARTIAL_MATCH is no expression",
      match("PARTIAL_MATCH", "4."), -1.0, text="45"),
    C("1.2", "google", "REGEX_CONTAINS is not anchored", match("REGEX_CONTAINS", "[0-9]"), 1.0,
      text="it is 4."),
    C("1.2", "google", "REGEX_CONTAINS: no match", match("REGEX_CONTAINS", "[0-9]"), -1.0,
      text="four"),
    C("1.2", "google", "REGEX_CONTAINS is RE2: an invalid one is refused",
      match("REGEX_CONTAINS", "(?=4)"), refused("not an RE2")),
    C("1.2", "google", "no operation is a fault", match(None),
      refused("matchOperation", "not set")),
    C("1.2", "google", "UNSPECIFIED is a fault",
      match("MATCH_OPERATION_UNSPECIFIED"), refused("matchOperation", "not set")),
    C("1.2", "google", "REST's example: .*{{references.concise_answer}}.*",
      match("REGEX_CONTAINS", ".*{{references.concise_answer}}.*"), 1.0,
      text="Well, Yes.", references={"concise_answer": "Yes"}),
    C("1.2", "trap", "a reference's metacharacters are live", match("REGEX_CONTAINS"), 1.0,
      text="3x5", references={"answer": "3.5"}),
    C("1.2", "ours", "escape_references", match("REGEX_CONTAINS"), -1.0, text="3x5",
      references={"answer": "3.5"}, undocumented={"escape_references": True}),
    C("1.2", "ours", "escape_references still matches the text itself",
      match("REGEX_CONTAINS"), 1.0, text=SIGNS, references={"answer": SIGNS},
      undocumented={"escape_references": True}),
    C("1.2", "ours", "a reference that makes no expression is its fault, not the response's",
      match("REGEX_CONTAINS"), Reason.INVALID_REFERENCE, references={"answer": "("}),
    C("1.2", "google", "both expressions are refused",
      {"stringMatchRewardScorer": {
          **match()["stringMatchRewardScorer"],
          "jsonMatchExpression": match(key="k")["stringMatchRewardScorer"]["jsonMatchExpression"]}},
      refused("stringMatchExpression and jsonMatchExpression")),
    C("1.2", "google", "matching is case-sensitive", match(expression="Yes"), -1.0, text="yes"),
    C("1.2", "google", "(?i)", match("REGEX_CONTAINS", "(?i)^yes$"), 1.0, text="YES"),
    C("0", "google", "clipped from above", match(right=7.0), 1.0),
    C("0", "google", "clipped from below", match(wrong=-7.0), -1.0, text="5"),
    C("1.2", "ours", "a reward to be clipped is warned of", match(right=7.0), warned("clipped")),
    C("1.2", "trap", "a reward that is not set is 0",
      {"stringMatchRewardScorer": {"correctAnswerReward": 1, "stringMatchExpression": {
          "matchOperation": "EXACT_MATCH", "expression": "4"}}}, 0.0, text="5"),
    C("1.2", "ours", "a reward that is no finite number is refused",
      match(right="NaN"), refused("correctAnswerReward", "finite")),
    C("1.2", "google", "JSON match: the value of a key", match(key="k"), 1.0, text='{"k": "4"}'),
    C("1.2", "google", "JSON match: its value is compared by any operation",
      match("REGEX_CONTAINS", "^[0-9]$", key="k"), 1.0, text='{"k": "4"}'),
    C("1.2", "google", "JSON match: after the parse stage", match(key="k", parse=ANSWER), 1.0,
      text='<answer>{"k": "4"}</answer>'),
    C("1.2", "google", "JSON match: keys of the first level alone", match(key="k"), -1.0,
      text='{"a": {"k": "4"}}'),
    C("1.2", "google", "JSON match: a key with a dot is one key", match(key="a.k"), 1.0,
      text='{"a.k": "4", "a": {"k": "5"}}'),
    C("1.2", "trap", "JSON match: the key is of the response, not of the references",
      match(key="answer"), -1.0, text="4"),
    C("8", "ours", "JSON match: no JSON is wrong", match(key="k"), -1.0, text="k: 4"),
    C("8", "ours", "JSON match: no such key is wrong", match(key="k"), -1.0, text='{"j": "4"}'),
    C("8", "ours", "JSON match: a list is wrong", match(key="k"), -1.0, text='["k"]'),
    C("8", "ours", "JSON match: no_answer: error", match(key="k"), Reason.INVALID_INPUT,
      text='{"j": 4}', undocumented={"no_answer": "error"}),
    C("8", "ours", "JSON match: a number is its JSON", match(key="k"), 1.0, text='{"k": 4}'),
    C("8", "ours", "JSON match: true is true", match(expression="true", key="k"), 1.0,
      text='{"k": true}'),
    C("8", "ours", "JSON match: a list is compact JSON", match(expression='[1,"ü"]', key="k"), 1.0,
      text='{"k": [1, "ü"]}'),
    C("8", "ours", "json_values: wrong", match(key="k"), -1.0, text='{"k": 4}',
      undocumented={"json_values": "wrong"}),
    C("8", "ours", "JSON match without a key is refused", match(key=""), refused("keyName")),
    C("8", "ours", "a reference that is missing fails the item", match(), Reason.INVALID_REFERENCE,
      references={"other": "4"}, also=lambda _, o: "'answer'" in o.message),
    C("8", "ours", "missing_reference: empty", match(), 1.0, text="", references={},
      undocumented={"missing_reference": "empty"}),
    *(C("8", "ours", f"{operation}: an empty reference is no gold",
        match(operation, "{{references.answer}}"), Reason.INVALID_REFERENCE, text=text,
        references={"answer": empty})
      for operation, text, empty in (
          ("EXACT_MATCH", "", ""), ("PARTIAL_MATCH", "x", " "), ("REGEX_CONTAINS", "x", ""))),
    C("8", "ours", "REGEX_CONTAINS: an empty reference among other signs is none either",
      match("REGEX_CONTAINS", ".*{{references.answer}}.*"), Reason.INVALID_REFERENCE,
      references={"answer": ""}),
    C("8", "ours", "missing_reference: empty is found in nothing", match("PARTIAL_MATCH"),
      Reason.INVALID_REFERENCE, references={}, undocumented={"missing_reference": "empty"}),
    C("8", "ours", "a placeholder that nobody knows stays, and is warned of",
      match(expression="{{prompt}}"), warned("{{prompt}}", "stays")),
    C("8", "ours", "a placeholder that nobody knows stays as it is",
      match(expression="{{prompt}}"), 1.0, text="{{prompt}}"),
    C("1.2", "trap", "the console's form without braces is plain text",
      match(expression="references.answer"), -1.0),
    C("1.2", "google", "what a reference brings is no template",
      match(), 1.0, text="{{references.b}}",
      references={"answer": "{{references.b}}", "b": "5"}),
    C("1.2", "ours", "rewards that do not differ are warned of",
      match(right=0.0, wrong=0.0), warned("same reward")),
]
CODE = [
    C("1.3", "google", "the official example: right", code(*OFFICIAL), 1.0,
      references={"concise_answer": "4"}),
    C("1.3", "google", "the official example: wrong", code(*OFFICIAL), -1.0,
      references={"concise_answer": "5"}),
    C("1.3", "google", "keys are camelCase", code(
        'return 0.5 * (example["systemInstruction"]["parts"][0]["text"] == "Be kind.")'), 0.5,
      example={"system_instruction": Content("system", [Part("Be kind.")])}),
    C("1.3", "google", "the example has its contents",
      code('return float(example["contents"][0]["parts"][0]["text"] == "What is 2+2?")'), 1.0),
    C("1.3", "google", "references are left out where there are none",
      code('return float("references" not in example)'), 1.0, references={}),
    C("1.3", "google", "the return is clipped", code("return 10"), 1.0),
    C("1.1", "google", "code gets the parsed response",
      code(*OFFICIAL, parse=ANSWER), 1.0, text="<answer>4</answer>",
      references={"concise_answer": "4"}),
    C("8", "ours", "no match: code gets an empty text, and is told so",
      code('return 0.25 + len(response["parts"][0]["text"])', parse=ANSWER), 0.25,
      also=lambda _, o: o.components == {"parsed": 0.0} and "parse expression" in o.explanation),
    C("1.3", "google", "what it raises is an error", code("return 1 / 0"), Reason.RAISED,
      also=lambda _, o: "ZeroDivisionError" in o.message),
    C("1.3", "google", "too long is an error of its own", code("while True: pass"),
      Reason.TIMED_OUT, params={"code": {"timeout_s": 0.2}}),
    C("1.3", "ours", "a call that timed out is run again where that is wanted",
      code("while True: pass"), Reason.TIMED_OUT,
      params={"code": {"timeout_s": 0.1, "retries": 2}},
      also=lambda here, _: here.runners[0].calls == 3),
    C("1.3", "google", "100 s, 1 CPU, 1 GB", code(HALF), 0.5,
      also=lambda here, _: (lim := here.runners[0].limits) is not None
      and (lim.timeout_s, lim.cpus, lim.memory_mb) == (100.0, 1, 1024)),
    C("1.3", "trap", "the SDK's `reward = 1.0` is warned of",
      single({"codeExecutionRewardScorer": {"pythonCodeSnippet": "reward = 1.0"}}),
      warned("defines no evaluate")),
    C("1.3", "trap", "the SDK's `reward = 1.0` fails its items",
      single({"codeExecutionRewardScorer": {"pythonCodeSnippet": "reward = 1.0"}}), Reason.RAISED),
    C("1.3", "ours", "an empty snippet is refused",
      single({"codeExecutionRewardScorer": {}}), refused("pythonCodeSnippet")),
]
RATING = [
    C("1.4", "google", "the parsed text is the reward", rater(), 0.25, judge=("0.25",)),
    C("1.4", "google", "the judge's answer is parsed", rater(judge_parse=ANSWER), -0.5,
      judge=("Hm. <answer>1</answer> No: <answer>-0.5</answer>",)),
    C("1.4", "google", "the number is clipped", rater(), 1.0, judge=("7",)),
    C("1.4", "google", "exactMatchScorer: equal", rater(judge_parse=ANSWER, exact="Yes"), 1.0,
      judge=("It is fine. <answer>Yes</answer>",)),
    C("1.4", "google", "exactMatchScorer: anything else is wrong",
      rater(judge_parse=ANSWER, exact="Yes"), -1.0, judge=("<answer>Yes.</answer>",)),
    C("1.4", "google", "exactMatchScorer: references", rater(exact="{{references.answer}}"), 1.0,
      judge=("4",)),
    C("1.4", "google", "exactMatchScorer: no expression", rater(exact=".*"), -1.0, judge=("4",)),
    C("1.4", "google", "{{prompt}}, {{response}}, {{system_instruction}}, {{references.key}}",
      rater("{{prompt}}|{{response}}|{{system_instruction}}|{{references.answer}}"), 1.0, text="5",
      example={"system_instruction": Content("system", [Part("Be kind.")])},
      also=lambda here, _: _prompt(here) == "What is 2+2?|5|Be kind.|4"),
    C("1.4", "ours", "{{response}} is the parsed one", rater("{{response}}", parse=ANSWER), 1.0,
      text="so <answer>4</answer>", also=lambda here, _: _prompt(here) == "4"),
    C("1.4", "trap", "a response that holds a placeholder is data", rater("{{response}}"), 1.0,
      text="{{references.answer}}", also=lambda here, _: _prompt(here) == "{{references.answer}}"),
    C("1.4", "ours", "prompt_roles", rater("{{prompt}}"), 1.0, undocumented={"prompt_roles": True},
      also=lambda here, _: _prompt(here) == "user: What is 2+2?"),
    C("1.4", "ours", "a placeholder that nobody knows is warned of",
      rater("{{answer}} {{response}}"), warned("{{answer}}")),
    C("8", "ours", "a reference that is missing in a prompt fails the item",
      rater("{{references.x}}"), Reason.INVALID_REFERENCE),
    C("1.4", "trap", "no model is refused: there is no default judge",
      rater(config={"autoraterModel": ""}), refused("autoraterModel")),
    C("1.4", "ours", "the model is mapped by its last name", rater(), 1.0,
      also=lambda here, _: here.judge.bodies[-1]["model"] == "local"),
    C("1.4", "google", "samplingCount 0 is refused", rater(samples=0),
      refused("samplingCount", "32")),
    C("1.4", "google", "samplingCount 33 is refused", rater(samples=33), refused("samplingCount")),
    C("1.4", "google", "samplingCount may be text", rater(samples="2"), 1.0,
      also=lambda here, _: len(here.judge.bodies) == 2),
    C("1.4", "google", "samplingCount is 4 by default", rater(samples=None), 1.0,
      also=lambda here, _: len(here.judge.bodies) == 4),
    C("8", "ours", "samples are clipped, then their mean is taken", rater(samples=2), 0.75,
      judge=("5", "0.5")),
    C("8", "ours", "a sample that fails fails the item", rater(samples=2),
      Reason.JUDGE_UNREADABLE, judge=("x", "1", "y")),
    C("8", "ours", "a sample that cannot be read is asked for once more", rater(samples=2), 0.75,
      judge=("x", "1", "0.5"), also=lambda here, _: len(here.judge.bodies) == 3),
    C("8", "ours", "on_sample_error: skip leaves it out, and tells how many there were",
      rater(samples=3), 0.5, judge=("x", "0.25", "0.75", "y"),
      undocumented={"on_sample_error": "skip"},
      also=lambda _, o: o.components == {"parsed": 1.0, "samples": 2.0}),
    C("8", "ours", "a sample that is clipped is told", rater(), 1.0, judge=("80",),
      also=lambda _, o: "gave 80, clipped" in o.explanation),
    C("8", "ours", "no valid sample is an error", rater(samples=2), Reason.JUDGE_UNREADABLE,
      judge=("x", "y")),
    C("8", "ours", "a fault that may pass goes before one that is final", rater(samples=2),
      Reason.RATE_LIMITED, judge=("x", status(429, {"Retry-After": "900"}), "y")),
    C("8", "ours", "no match of the judge's answer is no number", rater(judge_parse=ANSWER),
      Reason.JUDGE_UNREADABLE, judge=("1",)),
    *(C("8", "ours", f"exactMatchScorer: {text!r} does not match and is no number",
        rater(judge_parse=ANSWER, exact="Yes"), reason, judge=(text,))
      for text, reason in (
          ("Yes", Reason.JUDGE_UNREADABLE), ("", Reason.JUDGE_UNREADABLE),
          ("<answer></answer>", Reason.JUDGE_UNREADABLE), ("No", Reason.JUDGE_UNREADABLE),
          ("I cannot help with that.", Reason.JUDGE_REFUSED),
          ("<answer>I'm sorry, I can't judge that.</answer>", Reason.JUDGE_REFUSED),
          ("<think>maybe <answer>Yes</answer></think>\nHm.", Reason.JUDGE_UNREADABLE),
          ("<think>so <answer>Yes</answer>, but wait", Reason.JUDGE_UNREADABLE))),
    C("8", "ours", "exactMatchScorer: thoughts are no answer",
      rater(judge_parse=ANSWER, exact="Yes"), -1.0,
      judge=("maybe <answer>Yes</answer>\n</think>\n<answer>No</answer>",)),
    *(C("8", "ours", f"exactMatchScorer without a parse stage: {text!r}",
        rater("Is it right? Answer Yes, No or Not sure. {{response}}", exact="Yes"), expected,
        judge=(text,))
      for text, expected in (
          ("Yes", 1.0), (" Yes\n", 1.0), ("No", -1.0), ("Not sure", -1.0), ("False", -1.0),
          ("<think>No</think>\nYes", 1.0), ("Yes.", Reason.JUDGE_UNREADABLE),
          ("yes", Reason.JUDGE_UNREADABLE), ("no", Reason.JUDGE_UNREADABLE),
          ("No.", Reason.JUDGE_UNREADABLE), ("**Yes**", Reason.JUDGE_UNREADABLE),
          ("Yes or No", Reason.JUDGE_UNREADABLE), ("asdf", Reason.JUDGE_UNREADABLE),
          ("4", Reason.JUDGE_UNREADABLE), ("?", Reason.JUDGE_UNREADABLE),
          ("The answer is right.", Reason.JUDGE_UNREADABLE), ("null", Reason.JUDGE_UNREADABLE),
          ("I\u2019m sorry, but I can\u2019t help.", Reason.JUDGE_REFUSED))),
    *(C("8", "ours", f"exactMatchScorer: {text!r} beside {want!r}", rater(exact=want), expected,
        judge=(text,))
      for want, text, expected in (
          ("1", "0", -1.0), ("5", "3.5", -1.0), ("A", "B", -1.0), ("PASS", "FAIL", -1.0),
          ("pass", "fail", -1.0), ("5", "five", Reason.JUDGE_UNREADABLE),
          ("A", "b", Reason.JUDGE_UNREADABLE), ("A", "AB", Reason.JUDGE_UNREADABLE))),
    *(C("8", "ours", f"exactMatchScorer with a reference: {text!r}",
        rater("What does it answer? {{response}}", exact="{{references.answer}}"), expected,
        judge=(text,), references={"answer": "Paris"})
      for text, expected in (
          ("Paris", 1.0), ("London", -1.0), ("New York", -1.0), ("paris", Reason.JUDGE_UNREADABLE),
          ("Paris.", Reason.JUDGE_UNREADABLE), ("London.", Reason.JUDGE_UNREADABLE),
          ("london", Reason.JUDGE_UNREADABLE), ("", Reason.JUDGE_UNREADABLE),
          ("It says London\nor Paris", Reason.JUDGE_UNREADABLE),
          ("It is Paris", Reason.JUDGE_UNREADABLE), ("It is London", Reason.JUDGE_UNREADABLE),
          ("Not Paris", Reason.JUDGE_UNREADABLE), ("Paris or London", Reason.JUDGE_UNREADABLE),
          ("I can't tell.", Reason.JUDGE_REFUSED))),
    C("8", "ours", "exactMatchScorer: the name of a placeholder is no label",
      rater("Yes or No: {{response}}", exact="Yes"), Reason.JUDGE_UNREADABLE, judge=("response",)),
    C("8", "ours", "judge_labels: what is among them is wrong", rater(exact="Yes"), -1.0,
      judge=("Hm",), undocumented={"judge_labels": ["Hm", "No"]}),
    C("8", "ours", "judge_labels: nothing else is", rater(judge_parse=ANSWER, exact="Yes"),
      Reason.JUDGE_UNREADABLE, judge=("<answer>Maybe</answer>",),
      undocumented={"judge_labels": ["No"]}),
    C("8", "ours", "no_answer is for the response alone", rater(judge_parse=ANSWER, exact="Yes"),
      Reason.JUDGE_UNREADABLE, judge=("Hm",), undocumented={"no_answer": "wrong"}),
    C("8", "ours", "exactMatchScorer: an empty reference is no gold",
      rater(exact="{{references.answer}}"), Reason.INVALID_REFERENCE, references={"answer": " "}),
    *(C("8", "ours", f"{text!r} is no number", rater(), Reason.JUDGE_UNREADABLE, judge=(text,))
      for text in ("the score is 7/10", "7/10", "NaN", "inf", "1e999", "1_0", "")),
    C("8", "ours", "white space around a number does not count", rater(), 0.5, judge=(" 0.5\n",)),
    C("1.4", "google", "neither scorer is refused",
      single({"autoraterScorer": {"autoraterPrompt": "x", "autoraterConfig": {
          "autoraterModel": "m"}}}), refused("parsedResponseConversionScorer", "none")),
    C("1.4", "google", "the generation config reaches the judge",
      rater(config={"generationConfig": {
          "temperature": 0, "top_p": 0.5, "maxOutputTokens": "64", "seed": 7,
          "stopSequences": ["x"]}}), 1.0,
      also=lambda here, _: {**here.judge.bodies[-1], "messages": 0}.items() >= {
          "temperature": 0, "top_p": 0.5, "max_completion_tokens": 64, "seed": 7}.items()),
    C("1.4", "ours", "seeds differ between samples",
      rater(samples=3, config={"generationConfig": {"seed": 7}}), 1.0,
      also=lambda here, _: sorted(b["seed"] for b in here.judge.bodies) == [7, 8, 9]),
    C("1.4", "ours", "what of the generation config has no effect is warned of",
      rater(config={"generationConfig": {"topK": 3}}), warned("top_k has no effect")),
    C("1.4", "trap", "flipEnabled means nothing here",
      rater(config={"flipEnabled": True}), warned("flipEnabled")),
    C("1.4", "ours", "without a judge endpoint it is refused", rater(), refused("judge"),
      params={"judge": None}),
]
CALLING_OUT = [
    C("1.5", "google", "the service's reward", cloud_run(), -0.5, service=({"reward": -0.5},)),
    C("1.5", "google", "is clipped", cloud_run(), 1.0, service=({"reward": 3},)),
    C("1.5", "google", "the request: example and response in camelCase", cloud_run(), 1.0,
      example={"system_instruction": Content("system", [Part("Be kind.")])},
      also=lambda here, _: _sent(here) == {
          "example": {
              "contents": [{"role": "user", "parts": [{"text": "What is 2+2?"}]}],
              "references": {"answer": "4"},
              "systemInstruction": {"role": "system", "parts": [{"text": "Be kind."}]}},
          "response": {"role": "model", "parts": [{"text": "4"}]}}),
    C("1.5", "google", "is JSON", cloud_run(), 1.0, also=lambda here, _:
      here.cloud_run.headers[-1]["Content-Type"] == "application/json"),
    C("1.5", "google", "user_requested_aux_info", cloud_run(), 1.0,
      service=({"reward": 1, "user_requested_aux_info": "why"},),
      also=lambda _, o: o.explanation == "why"),
    C("1.5", "trap", "the aux info is spelled in snake_case alone", cloud_run(), 1.0,
      service=({"reward": 1, "userRequestedAuxInfo": "why"},),
      also=lambda _, o: o.explanation == ""),
    C("1.5", "google", "further fields of the answer are tolerated", cloud_run(), 0.5,
      service=({"reward": 0.5, "...": {}},)),
    C("1.5", "google", "the parse stage applies", cloud_run(parse=ANSWER), 1.0,
      text="so <answer>4</answer>",
      also=lambda here, _: _sent(here)["response"]["parts"] == [{"text": "4"}]),
    C("8", "ours", "no match: the service gets an empty text", cloud_run(parse=ANSWER), 1.0,
      also=lambda here, _: _sent(here)["response"]["parts"] == [{"text": ""}]),
    C("1.5", "google", "errors are tried again", cloud_run(), 1.0,
      service=(503, 500, {"reward": 1}), also=lambda here, _: len(here.cloud_run.bodies) == 3),
    C("1.5", "google", "an error to the last is NaN, an error", cloud_run(), Reason.UNAVAILABLE,
      service=(503,), also=lambda here, _: len(here.cloud_run.bodies) == 3),
    C("1.5", "ours", "429 to the last is RATE_LIMITED", cloud_run(), Reason.RATE_LIMITED,
      service=(429,)),
    C("1.5", "trap", "403 is told with the role that is missing, and not tried again",
      cloud_run(), Reason.UNAVAILABLE, service=(403, {"reward": 1}),
      also=lambda _, o: "roles/run.invoker" in o.message),
    C("1.5", "ours", "400 is the item's fault", cloud_run(), Reason.INVALID_INPUT, service=(400,)),
    C("1.5", "ours", "redirects are not followed", cloud_run(), Reason.UNAVAILABLE,
      service=(302,), also=lambda here, _: len(here.cloud_run.bodies) == 1),
    *(C("1.5", "ours", f"an answer of {told!r:.40} is no reward", cloud_run(),
        Reason.INVALID_RESULT, service=(told,))
      for told in ("no JSON", {}, {"reward": None}, {"reward": True}, {"reward": "NaN"},
                   '{"reward": NaN}', '{"reward": 1e999}', "[1]", {"score": 1})),
    C("1.5", "ours", "metadata is what the operator says", cloud_run(), 1.0,
      params={"cloud_run": {"metadata": {"step": 1, "tuningJobId": 123456789}}},
      also=lambda here, _: _sent(here)["metadata"] == {"step": 1, "tuningJobId": 123456789}),
    C("1.5", "ours", "an address that is none is refused", cloud_run("x.run.app"),
      refused("cloudRunUri")),
    C("1.5", "ours", "only allowed origins are called", cloud_run(), refused("allowed origins"),
      params={"cloud_run": {"allowed_origins": ["https://x.run.app"]}}),
    C("1.5", "ours", "references that are no text reach the service as JSON", cloud_run(), 1.0,
      example={"json_references": {"n": "[1]"}},
      also=lambda here, _: _sent(here)["example"]["references"] == {"answer": "4", "n": [1]}),
]
HIT, MISS, BROKEN = match(name="hit"), match(name="miss", expression="5"), match(
    name="broken", expression="{{references.nothing}}")
COMPOSITES = [
    C("1.6", "google", "the weighted average", composite((HIT, 3), (MISS, 1)), 0.5),
    C("1.6", "trap", "an average, no sum", composite((HIT, 2), (match(name="b"), 2)), 1.0),
    C("1.6", "google", "each is clipped before", composite((match(name="a", right=9.0), 1),
                                                          (MISS, 1)), 0.0),
    C("1.6", "google", "scorers of all kinds, side by side",
      composite((HIT, 1), (code(HALF, name="c"), 1), (rater(name="r"), 1),
                (cloud_run(name="w"), 1)), 0.625,
      judge=("0.5",), service=({"reward": 0.5, "user_requested_aux_info": "why"},),
      also=lambda _, o: o.components == {"hit": 1.0, "c": 0.5, "r": 0.5, "w": 0.5}
      and o.explanation == "w: why"),
    C("1.6", "google", "members are told by name", composite((HIT, 1), (MISS, 1)), 0.0,
      also=lambda _, o: o.components == {"hit": 1.0, "miss": -1.0}),
    C("1.6", "ours", "a member without a name is told by its place",
      composite((match(), 1), (MISS, 1)), 0.0,
      also=lambda _, o: o.components == {"reward_1": 1.0, "miss": -1.0}),
    C("1.6", "ours", "names become component names",
      composite((match(name="Größe / 1"), 1), (match(name="score"), 1)), 1.0,
      also=lambda _, o: list(o.components) == ["Gr__e___1", "score_"]),
    C("1.6", "google", "members do not nest",
      composite((composite((HIT, 1)), 1)), refused("want one of stringMatchRewardScorer")),
    C("1.6", "google", "a name that stands twice is refused",
      composite((HIT, 1), (match(name="hit"), 1)), refused("rewardName", "unique")),
    C("1.6", "ours", "nor may a name be that of a member without one",
      composite((match(), 1), (match(name="reward_1"), 1)), refused("rewardName", "unique")),
    C("1.6", "google", "more than 16 members: the console's limit is warned of",
      composite(*((match(name=f"m{i}"), 1) for i in range(17))), warned("17 members")),
    C("1.6", "ours", "no members are refused", composite(), refused("at least one")),
    C("8", "ours", "a failed member fails the item, which names it and its reason",
      composite((HIT, 1), (BROKEN, 1)), Reason.INVALID_REFERENCE,
      also=lambda _, o: "member 'broken': INVALID_REFERENCE" in o.message
      and "hit" not in o.message),
    C("8", "ours", "a failed member of weight 0 fails it too: NaN times 0 is NaN",
      composite((HIT, 1), (BROKEN, 0)), Reason.INVALID_REFERENCE),
    C("8", "ours", "on_member_error: renormalise", composite((HIT, 1), (BROKEN, 3)), 1.0,
      undocumented={"on_member_error": "renormalise"},
      also=lambda _, o: o.components
      == {"hit": 1.0, "hit.failed": 0.0, "broken": 0.0, "broken.failed": 1.0}),
    C("8", "ours", "renormalise: nothing left is an error", composite((BROKEN, 3)),
      Reason.INVALID_REFERENCE, undocumented={"on_member_error": "renormalise"}),
    C("8", "ours", "a reason that is final goes before one that may pass",
      composite((cloud_run(name="w"), 1), (BROKEN, 1)), Reason.INVALID_REFERENCE, service=(503,),
      also=lambda _, o: "member 'w': UNAVAILABLE" in o.message),
    C("8", "ours", "a negative weight is refused", composite((HIT, 2), (MISS, -1)),
      refused("weight", "0 or more")),
    C("8", "ours", "allow_negative_weights", composite((HIT, 2), (MISS, -1)), 1.0,
      undocumented={"allow_negative_weights": True}),
    C("8", "ours", "weights that sum up to 0 are refused", composite((HIT, 0)),
      refused("sum up to 0")),
    C("8", "ours", "negative weights may not sum up to 0 either",
      composite((HIT, 1), (MISS, -1)), refused("sum up to 0"),
      undocumented={"allow_negative_weights": True}),
    C("8", "ours", "nor to less than 0, which would turn every sign",
      composite((HIT, 1), (MISS, -3)), refused("sum up to -2"),
      undocumented={"allow_negative_weights": True}),
    C("8", "ours", "renormalise: a penalty that is left alone is no reward",
      composite((BROKEN, 2), (MISS, -1)), Reason.INVALID_REFERENCE,
      undocumented={"allow_negative_weights": True, "on_member_error": "renormalise"}),
    C("8", "ours", "a weight of 0 is warned of", composite((HIT, 1), (MISS, 0)),
      warned("weight", "0")),
    C("8", "ours", "a weight that is no finite number is refused",
      composite((HIT, "Infinity")), refused("weight")),
]

HOSTED = [
    C("1.5", "trap", "the job's id may be spelled tuningJobId", None,
      Holds(lambda: inbound(metadata={"step": 1, "tuningJobId": 5}).job_id == "5")),
    C("1.5", "trap", "the job's id may be spelled tuning_job_id", None,
      Holds(lambda: inbound(metadata={"tuning_job_id": 5}).job_id == "5")),
    C("1.5", "trap", "an int64 may be text", None,
      Holds(lambda: inbound(metadata={"step": "2", "tuningJobId": "5"}).step == 2)),
    C("1.5", "google", "metadata and step may be missing", None,
      Holds(lambda: inbound().step is None and inbound(metadata={}).job_id is None)),
    C("1.5", "trap", "a response may have no role", None,
      Holds(lambda: inbound().response == Response("London"))),
    C("3", "google", "the example may have tools", None,
      Holds(lambda: inbound(example={"tools": [{}]}).example.tools_json == "[{}]")),
    C("3", "google", "media come by their address", None, Holds(lambda: inbound(example={
        "contents": [{"parts": [{"fileData": {"mimeType": "image/png", "fileUri": "gs://b/o"}}]}]}
      ).example.contents[0].parts[0].data == FileData("image/png", "gs://b/o"))),
    C("1.5", "google", "our answer as a service is clipped, its words in snake_case", None,
      Holds(lambda: cloud_run_answer(Score(2.0, {}, "why"))
            == {"reward": 1.0, "user_requested_aux_info": "why"})),
    C("0", "google", "a failed reward is the text NaN in Google's JSON", None,
      Holds(lambda: answered(FAILED_MEMBER)["overallReward"] == "NaN")),
    C("2", "trap", "error and errorStatus stand both", None,
      Holds(lambda: answered(FAILED_MEMBER)["error"] == "UNAVAILABLE: 503"
            and answered(FAILED_MEMBER)["errorStatus"]["code"] == 14)),
    C("2", "google", "rewardInfoDetails are there for a single reward too", None,
      Holds(lambda: answered(GOOD_MEMBER)["rewardInfoDetails"]["good"]["reward"] == 0.5)),
    C("2", "google", "userRequestedAuxInfo is told", None, Holds(lambda: answered(GOOD_MEMBER)
      ["rewardInfoDetails"]["good"]["userRequestedAuxInfo"] == "why")),
    C("2", "google", "rewardDetails are of composites alone", None,
      Holds(lambda: "rewardDetails" not in answered(GOOD_MEMBER)
            and answered(GOOD_MEMBER, GOOD_MEMBER)["rewardDetails"] == {"good": 0.5})),
    C("2", "google", "a member's own error has its status, the others their rewards", None,
      Holds(lambda: {n: i["reward"] for n, i in answered(GOOD_MEMBER, FAILED_MEMBER)
                     ["rewardInfoDetails"].items()} == {"good": 0.5, "bad": "NaN"})),
    C("1.5", "google", "300 s, and waits of 2, 4, 8, 16, 32 s", None,
      Holds(lambda: (CloudRun().timeout_s, CloudRun().backoff_s)
            == (300.0, (2.0, 4.0, 8.0, 16.0, 32.0)))),
    C("1.4", "google", "a rating may take 60 s", None, Holds(lambda: TIMEOUT_S == 60.0)),
]
# fmt: on

CASES = [*READING, *PARSING, *MATCHING, *CODE, *RATING, *CALLING_OUT, *COMPOSITES, *HOSTED]
