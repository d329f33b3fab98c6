"""The messages of Gemini's reward configuration, field by field; `reader.message_of` fills them.

Source: the reference of ``projects.locations.tuningJobs``, v1beta1. Names are those of the proto;
JSON may write each in camelCase too. Defaults are the proto's: what is not set is 0, "" or None.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field, StrictBool

from .message import Float, Int, Names, ProtoMessage


class ParseType(Names):
    """How the text that is scored is taken from an answer."""

    RESPONSE_PARSE_TYPE_UNSPECIFIED = "RESPONSE_PARSE_TYPE_UNSPECIFIED"
    """As IDENTITY."""
    IDENTITY = "IDENTITY"
    REGEX_EXTRACT = "REGEX_EXTRACT"


class MatchOperation(Names):
    """How an expression is compared with a text."""

    MATCH_OPERATION_UNSPECIFIED = "MATCH_OPERATION_UNSPECIFIED"
    """A fault of the user."""
    REGEX_CONTAINS = "REGEX_CONTAINS"
    PARTIAL_MATCH = "PARTIAL_MATCH"
    EXACT_MATCH = "EXACT_MATCH"


class ParseResponseConfig(ProtoMessage):
    """ReinforcementTuningParseResponseConfig."""

    parse_type: ParseType = ParseType.RESPONSE_PARSE_TYPE_UNSPECIFIED
    regex_extract_expression: str = ""


class StringMatchExpression(ProtoMessage):
    """An expression with ``{{references.key}}`` and how it is compared."""

    match_operation: MatchOperation = MatchOperation.MATCH_OPERATION_UNSPECIFIED
    expression: str = ""


class JsonMatchExpression(ProtoMessage):
    """A key of the first level, and how its value is compared."""

    key_name: str = ""
    value_string_match_expression: StringMatchExpression | None = None


class StringMatchScorer(ProtoMessage):
    """ReinforcementTuningStringMatchRewardScorer."""

    correct_answer_reward: Float = 0.0
    wrong_answer_reward: Float = 0.0
    string_match_expression: StringMatchExpression | None = None
    json_match_expression: JsonMatchExpression | None = None


class CodeExecutionScorer(ProtoMessage):
    """ReinforcementTuningCodeExecutionRewardScorer."""

    python_code_snippet: str = ""


class ThinkingLevel(Names):
    """How much a judge is to think."""

    THINKING_LEVEL_UNSPECIFIED = "THINKING_LEVEL_UNSPECIFIED"
    MINIMAL = "MINIMAL"
    LOW = "LOW"
    MEDIUM = "MEDIUM"
    HIGH = "HIGH"


class ThinkingConfig(ProtoMessage):
    """How a judge thinks; a budget has no counterpart here."""

    include_thoughts: StrictBool = False
    thinking_budget: Int | None = None
    thinking_level: ThinkingLevel = ThinkingLevel.THINKING_LEVEL_UNSPECIFIED


class GenerationConfig(ProtoMessage):
    """How a judge is sampled. Those of type Any are known and have no effect here."""

    temperature: Float | None = None
    top_p: Float | None = None
    max_output_tokens: Int | None = None
    stop_sequences: tuple[str, ...] = ()
    presence_penalty: Float | None = None
    frequency_penalty: Float | None = None
    seed: Int | None = None
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
    model_config_: Any = Field(None, alias="modelConfig")


class AutoraterConfig(ProtoMessage):
    """Which judge, and how it is sampled; `flip_enabled` is for pairs and means nothing here."""

    autorater_model: str = ""
    generation_config: GenerationConfig | None = None
    sampling_count: Int | None = None
    flip_enabled: StrictBool = False


class ParsedResponseConversionScorer(ProtoMessage):
    """The judge's parsed answer is the reward."""


class ExactMatchScorer(ProtoMessage):
    """The judge's parsed answer equals `expression`, which is no regular one."""

    correct_answer_reward: Float = 0.0
    wrong_answer_reward: Float = 0.0
    expression: str = ""


class AutoraterScorer(ProtoMessage):
    """ReinforcementTuningAutoraterScorer."""

    autorater_prompt: str = ""
    autorater_config: AutoraterConfig | None = None
    autorater_response_parse_config: ParseResponseConfig | None = None
    parsed_response_conversion_scorer: ParsedResponseConversionScorer | None = None
    exact_match_scorer: ExactMatchScorer | None = None


class CloudRunScorer(ProtoMessage):
    """ReinforcementTuningCloudRunRewardScorer."""

    cloud_run_uri: str = ""


class SingleReward(ProtoMessage):
    """SingleReinforcementTuningRewardConfig: a parse stage and exactly one scorer."""

    reward_name: str = ""
    parse_response_config: ParseResponseConfig | None = None
    string_match_reward_scorer: StringMatchScorer | None = None
    code_execution_reward_scorer: CodeExecutionScorer | None = None
    autorater_scorer: AutoraterScorer | None = None
    cloud_run_reward_scorer: CloudRunScorer | None = None


class WeightedReward(ProtoMessage):
    """A member of a composite."""

    reward_config: SingleReward | None = None
    weight: Float = 0.0


class CompositeReward(ProtoMessage):
    """CompositeReinforcementTuningRewardConfig: the weighted average of its members."""

    weighted_reward_configs: tuple[WeightedReward, ...] = ()


class RewardChoice(ProtoMessage):
    """The union ``reward_config``: one of the two."""

    single_reward_config: SingleReward | None = None
    composite_reward_config: CompositeReward | None = None


RewardConfig = SingleReward | CompositeReward


def name_of(member: SingleReward, index: int) -> str:
    """The name of a composite's member: its own, or one by its place, which counts from 0."""
    return member.reward_name or f"reward_{index + 1}"
