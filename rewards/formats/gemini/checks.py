"""From a JSON document to a sound reward configuration: what is refused, and what is warned of."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlsplit

from ...result import shown
from ...text.pattern import compiled
from .match import expression_of
from .options import CloudRun, Undocumented
from .parse import Parse
from .prompt import IN_PROMPT, has_references, unknown_placeholders
from .reader import BadMessage, message_of, spelled
from .schema import (
    AutoraterScorer,
    CompositeReward,
    ExactMatchScorer,
    GenerationConfig,
    MatchOperation,
    ParseResponseConfig,
    RewardChoice,
    RewardConfig,
    SingleReward,
    StringMatchScorer,
    name_of,
)

MAX_MEMBERS_IN_CONSOLE = 16
MAX_SAMPLES = 32
_NO_EFFECT = [n for n, field in GenerationConfig.model_fields.items() if field.annotation is Any]
_DEFINES = re.compile(r"^(async +)?def +evaluate\b|^evaluate *=|\bimport\b.*\bevaluate\b", re.M)


@dataclass(slots=True, frozen=True)
class CheckedConfig:
    """A configuration that can be served.

    `unknown` names the fields that nobody knows, `remarks` what has no effect or little sense.
    """

    config: RewardConfig
    unknown: tuple[str, ...]
    remarks: tuple[str, ...]

    @property
    def warnings(self) -> tuple[str, ...]:
        """Both."""
        return (*self.unknown, *self.remarks)


def read_config(
    document: object,
    options: Undocumented | None = None,
    cloud_run: CloudRun | None = None,
) -> CheckedConfig:
    """A single or a composite config; also one that still stands in its request or tuning job.

    Raises:
        BadMessage: it cannot be served; all faults at once.
    """
    config, unknown = _message(document)
    checker = _Checker(options or Undocumented(), cloud_run or CloudRun())
    if isinstance(config, SingleReward):
        checker.single(config, "")
    else:
        checker.composite(config)
    if checker.faults:
        raise BadMessage(checker.faults)
    return CheckedConfig(config, tuple(unknown), tuple(checker.remarks))


def _message(document: object) -> tuple[RewardConfig, list[str]]:
    path = ""
    if isinstance(document, dict):
        fields = whole = cast("dict[str, Any]", document)
        job = spelled(fields, "reinforcement_tuning_spec")
        if isinstance(job, dict):
            fields, path = cast("dict[str, Any]", job), "reinforcementTuningSpec"
        wrapped = {
            key: value
            for key, value in fields.items()
            if key in _CHOICES and value is not None  # a tuning job holds much else
        }
        if wrapped or path:
            choice, warnings = message_of(RewardChoice, wrapped, path)
            return _one_of(choice, path), warnings
        if spelled(fields, "weighted_reward_configs") is not None:
            return message_of(CompositeReward, whole)
        return message_of(SingleReward, whole)
    raise BadMessage([f"want an object, not {shown(document)}"])


_CHOICES = (
    "singleRewardConfig",
    "single_reward_config",
    "compositeRewardConfig",
    "composite_reward_config",
)


def _one_of(choice: RewardChoice, path: str) -> RewardConfig:
    single, composite = choice.single_reward_config, choice.composite_reward_config
    if single is not None and composite is None:
        return single
    if composite is not None and single is None:
        return composite
    found = "both" if single is not None else "neither"
    at = f"{path}: " if path else ""
    raise BadMessage(
        [f"{at}want one of singleRewardConfig and compositeRewardConfig, there is {found}"]
    )


class _Checker:
    def __init__(self, options: Undocumented, cloud_run: CloudRun) -> None:
        self._options = options
        self._cloud_run = cloud_run
        self.faults: list[str] = []
        self.remarks: list[str] = []

    def composite(self, config: CompositeReward) -> None:
        members = config.weighted_reward_configs
        at = "weightedRewardConfigs"
        if not members:
            self._fault(at, "want at least one member")
        if len(members) > MAX_MEMBERS_IN_CONSOLE:
            self._warn(at, f"{len(members)} members; Google's console takes 16")
        names: dict[str, int] = {}
        for index, member in enumerate(members):
            here = f"{at}[{index}]"
            if member.reward_config is None:
                self._fault(f"{here}.rewardConfig", "is missing")
            else:
                self.single(member.reward_config, f"{here}.rewardConfig.")
                name = name_of(member.reward_config, index)
                if name in names:
                    self._fault(
                        f"{here}.rewardConfig.rewardName",
                        f"{name!r} is the name of member {names[name]} too; names are unique",
                    )
                names.setdefault(name, index)
            if not math.isfinite(member.weight):
                self._fault(f"{here}.weight", f"is {member.weight}")
            elif member.weight < 0 and not self._options.allow_negative_weights:
                self._fault(f"{here}.weight", f"is {member.weight:g}; want 0 or more")
            elif member.weight == 0:
                self._warn(f"{here}.weight", "is 0: the member is run and does not count")
        total = math.fsum(m.weight for m in members)
        if members and total <= 0:
            self._fault(at, f"the weights sum up to {total:g}; want more than 0")

    def single(self, config: SingleReward, path: str) -> None:
        self._parse(config.parse_response_config, f"{path}parseResponseConfig")
        scorers: Mapping[str, object] = {
            "stringMatchRewardScorer": config.string_match_reward_scorer,
            "codeExecutionRewardScorer": config.code_execution_reward_scorer,
            "autoraterScorer": config.autorater_scorer,
            "cloudRunRewardScorer": config.cloud_run_reward_scorer,
        }
        self._exactly_one(scorers, path)
        if config.string_match_reward_scorer is not None:
            self._string_match(config.string_match_reward_scorer, f"{path}stringMatchRewardScorer")
        if config.code_execution_reward_scorer is not None:
            snippet = config.code_execution_reward_scorer.python_code_snippet
            at = f"{path}codeExecutionRewardScorer.pythonCodeSnippet"
            if not snippet.strip():
                self._fault(at, "is empty")
            elif not _DEFINES.search(snippet):
                self._warn(at, "defines no evaluate(example, response)")
        if config.autorater_scorer is not None:
            self._autorater(config.autorater_scorer, f"{path}autoraterScorer")
        if config.cloud_run_reward_scorer is not None:
            uri = config.cloud_run_reward_scorer.cloud_run_uri
            self._uri(uri, f"{path}cloudRunRewardScorer.cloudRunUri")

    def _exactly_one(self, given: Mapping[str, object], path: str) -> None:
        found = [name for name, value in given.items() if value is not None]
        if len(found) != 1:
            there = " and ".join(found) or "none"
            self._fault(path.rstrip("."), f"want one of {', '.join(given)}; there is {there}")

    def _parse(self, config: ParseResponseConfig | None, path: str) -> None:
        try:
            parse = Parse(
                config, strip=False, dot_matches_newline=self._options.dot_matches_newline
            )
        except ValueError as error:
            self._fault(f"{path}.regexExtractExpression", str(error))
        else:
            if config is not None and config.regex_extract_expression and not parse.extracts:
                self._warn(
                    f"{path}.regexExtractExpression",
                    "has no effect: parseType is not REGEX_EXTRACT",
                )

    def _string_match(self, scorer: StringMatchScorer, path: str) -> None:
        self._rewards(scorer, path)
        self._exactly_one(
            {
                "stringMatchExpression": scorer.string_match_expression,
                "jsonMatchExpression": scorer.json_match_expression,
            },
            f"{path}.",
        )
        at = f"{path}.stringMatchExpression"
        if scorer.json_match_expression is not None:
            at = f"{path}.jsonMatchExpression"
            if not scorer.json_match_expression.key_name:
                self._fault(f"{at}.keyName", "is missing")
            at += ".valueStringMatchExpression"
        match = expression_of(scorer)
        if match.match_operation is MatchOperation.MATCH_OPERATION_UNSPECIFIED:
            self._fault(f"{at}.matchOperation", "is not set")
        self._placeholders(match.expression, f"{at}.expression")
        if match.match_operation is MatchOperation.EXACT_MATCH:
            return
        if not match.expression:
            self._warn(f"{at}.expression", "is empty: it is found in every response")
        is_regex = match.match_operation is MatchOperation.REGEX_CONTAINS
        if is_regex and not has_references(match.expression):
            try:
                compiled(match.expression, dot_nl=self._options.dot_matches_newline)
            except ValueError as error:
                self._fault(f"{at}.expression", str(error))

    def _autorater(self, scorer: AutoraterScorer, path: str) -> None:
        if not scorer.autorater_prompt.strip():
            self._fault(f"{path}.autoraterPrompt", "is empty")
        self._placeholders(scorer.autorater_prompt, f"{path}.autoraterPrompt", IN_PROMPT)
        self._parse(scorer.autorater_response_parse_config, f"{path}.autoraterResponseParseConfig")
        self._exactly_one(
            {
                "parsedResponseConversionScorer": scorer.parsed_response_conversion_scorer,
                "exactMatchScorer": scorer.exact_match_scorer,
            },
            f"{path}.",
        )
        if scorer.exact_match_scorer is not None:
            self._rewards(scorer.exact_match_scorer, f"{path}.exactMatchScorer")
            expression = scorer.exact_match_scorer.expression
            self._placeholders(expression, f"{path}.exactMatchScorer.expression")
        config = scorer.autorater_config
        at = f"{path}.autoraterConfig"
        if config is None or not config.autorater_model:
            self._fault(f"{at}.autoraterModel", "is missing; there is no default judge")
        if config is None:
            return
        count = config.sampling_count
        if count is not None and not 1 <= count <= MAX_SAMPLES:
            self._fault(f"{at}.samplingCount", f"is {count}; want 1 to {MAX_SAMPLES}")
        if config.flip_enabled:
            self._warn(f"{at}.flipEnabled", "is for pairs; it has no effect here")
        generation = config.generation_config
        for name in _NO_EFFECT:
            if generation is not None and getattr(generation, name) is not None:
                self._warn(f"{at}.generationConfig", f"{name} has no effect on a judge here")

    def _rewards(self, scorer: StringMatchScorer | ExactMatchScorer, path: str) -> None:
        right, wrong = scorer.correct_answer_reward, scorer.wrong_answer_reward
        for name, value in (("correctAnswerReward", right), ("wrongAnswerReward", wrong)):
            if not math.isfinite(value):
                self._fault(f"{path}.{name}", f"is {value}; want a finite number")
            elif not -1 <= value <= 1:
                self._warn(f"{path}.{name}", f"is {value:g} and will be clipped to [-1, 1]")
        if right == wrong:
            self._warn(path, f"right and wrong answers earn the same reward, {right:g}")

    def _placeholders(self, text: str, path: str, known: tuple[str, ...] = ()) -> None:
        for name in unknown_placeholders(text, known):
            self._warn(path, f"{{{{{name}}}}} is no placeholder and stays as it is")

    def _uri(self, uri: str, path: str) -> None:
        try:
            parts = urlsplit(uri)
            sound = parts.scheme in ("http", "https") and bool(parts.hostname)
            _ = parts.port
        except ValueError:
            self._fault(path, "is no address")
            return
        if not sound or parts.username is not None:
            self._fault(path, "want an address like https://name-hash-uc.a.run.app")
            return
        allowed = self._cloud_run.allowed_origins
        if allowed is not None and f"{parts.scheme}://{parts.netloc}" not in allowed:
            self._fault(path, "is not one of the allowed origins")

    def _fault(self, path: str, told: str) -> None:
        self.faults.append(f"{path}: {told}" if path else told)

    def _warn(self, path: str, told: str) -> None:
        self.remarks.append(f"{path}: {told}" if path else told)
