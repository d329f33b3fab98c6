"""The messages of Gemini's reward configuration, field by field; `reader` fills them from JSON.

Source: the reference of ``projects.locations.tuningJobs``, v1beta1. Names are those of the proto;
JSON may write each in camelCase too. Defaults are the proto's: what is not set is 0, "" or None.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any


class ParseType(enum.Enum):
    """How the text that is scored is taken from an answer."""

    RESPONSE_PARSE_TYPE_UNSPECIFIED = 0
    """As IDENTITY."""
    IDENTITY = 1
    REGEX_EXTRACT = 2


class MatchOperation(enum.Enum):
    """How an expression is compared with a text."""

    MATCH_OPERATION_UNSPECIFIED = 0
    """A fault of the user."""
    REGEX_CONTAINS = 1
    PARTIAL_MATCH = 2
    EXACT_MATCH = 3


@dataclass(slots=True, frozen=True)
class ParseResponseConfig:
    """ReinforcementTuningParseResponseConfig."""

    parse_type: ParseType = ParseType.RESPONSE_PARSE_TYPE_UNSPECIFIED
    regex_extract_expression: str = ""


@dataclass(slots=True, frozen=True)
class StringMatchExpression:
    """An expression with ``{{references.key}}`` and how it is compared."""

    match_operation: MatchOperation = MatchOperation.MATCH_OPERATION_UNSPECIFIED
    expression: str = ""


@dataclass(slots=True, frozen=True)
class JsonMatchExpression:
    """A key of the first level, and how its value is compared."""

    key_name: str = ""
    value_string_match_expression: StringMatchExpression | None = None


@dataclass(slots=True, frozen=True)
class StringMatchScorer:
    """ReinforcementTuningStringMatchRewardScorer."""

    correct_answer_reward: float = 0.0
    wrong_answer_reward: float = 0.0
    string_match_expression: StringMatchExpression | None = None
    json_match_expression: JsonMatchExpression | None = None


@dataclass(slots=True, frozen=True)
class CodeExecutionScorer:
    """ReinforcementTuningCodeExecutionRewardScorer."""

    python_code_snippet: str = ""


class ThinkingLevel(enum.Enum):
    """How much a judge is to think."""

    THINKING_LEVEL_UNSPECIFIED = 0
    MINIMAL = 1
    LOW = 2
    MEDIUM = 3
    HIGH = 4


@dataclass(slots=True, frozen=True)
class ThinkingConfig:
    """How a judge thinks; a budget has no counterpart here."""

    include_thoughts: bool = False
    thinking_budget: int | None = None
    thinking_level: ThinkingLevel = ThinkingLevel.THINKING_LEVEL_UNSPECIFIED


@dataclass(slots=True, frozen=True)
class GenerationConfig:
    """How a judge is sampled. Those of type Any are known and have no effect here."""

    temperature: float | None = None
    top_p: float | None = None
    max_output_tokens: int | None = None
    stop_sequences: tuple[str, ...] = ()
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    seed: int | None = None
    thinking_config: ThinkingConfig | None = None
    top_k: Any = None
    candidate_count: Any = None
    response_mime_type: Any = None
    response_schema: Any = None
    response_json_schema: Any = None
    response_logprobs: Any = None
    logprobs: Any = None
    response_modalities: Any = None
    media_resolution: Any = None
    audio_timestamp: Any = None
    speech_config: Any = None
    routing_config: Any = None
    enable_affective_dialog: Any = None
    image_config: Any = None
    model_config: Any = None


@dataclass(slots=True, frozen=True)
class AutoraterConfig:
    """Which judge, and how it is sampled; `flip_enabled` is for pairs and means nothing here."""

    autorater_model: str = ""
    generation_config: GenerationConfig | None = None
    sampling_count: int | None = None
    flip_enabled: bool = False


@dataclass(slots=True, frozen=True)
class ParsedResponseConversionScorer:
    """The judge's parsed answer is the reward."""


@dataclass(slots=True, frozen=True)
class ExactMatchScorer:
    """The judge's parsed answer equals `expression`, which is no regular one."""

    correct_answer_reward: float = 0.0
    wrong_answer_reward: float = 0.0
    expression: str = ""


@dataclass(slots=True, frozen=True)
class AutoraterScorer:
    """ReinforcementTuningAutoraterScorer."""

    autorater_prompt: str = ""
    autorater_config: AutoraterConfig | None = None
    autorater_response_parse_config: ParseResponseConfig | None = None
    parsed_response_conversion_scorer: ParsedResponseConversionScorer | None = None
    exact_match_scorer: ExactMatchScorer | None = None


@dataclass(slots=True, frozen=True)
class CloudRunScorer:
    """ReinforcementTuningCloudRunRewardScorer."""

    cloud_run_uri: str = ""


@dataclass(slots=True, frozen=True)
class SingleReward:
    """SingleReinforcementTuningRewardConfig: a parse stage and exactly one scorer."""

    reward_name: str = ""
    parse_response_config: ParseResponseConfig | None = None
    string_match_reward_scorer: StringMatchScorer | None = None
    code_execution_reward_scorer: CodeExecutionScorer | None = None
    autorater_scorer: AutoraterScorer | None = None
    cloud_run_reward_scorer: CloudRunScorer | None = None


@dataclass(slots=True, frozen=True)
class WeightedReward:
    """A member of a composite."""

    reward_config: SingleReward | None = None
    weight: float = 0.0


@dataclass(slots=True, frozen=True)
class CompositeReward:
    """CompositeReinforcementTuningRewardConfig: the weighted average of its members."""

    weighted_reward_configs: tuple[WeightedReward, ...] = ()


@dataclass(slots=True, frozen=True)
class RewardChoice:
    """The union ``reward_config``: one of the two."""

    single_reward_config: SingleReward | None = None
    composite_reward_config: CompositeReward | None = None


RewardConfig = SingleReward | CompositeReward


def name_of(member: SingleReward, index: int) -> str:
    """The name of a composite's member: its own, or one by its place, which counts from 0."""
    return member.reward_name or f"reward_{index + 1}"
