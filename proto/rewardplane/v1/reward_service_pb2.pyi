from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class FinishReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FINISH_REASON_UNSPECIFIED: _ClassVar[FinishReason]
    FINISH_REASON_STOP: _ClassVar[FinishReason]
    FINISH_REASON_LENGTH: _ClassVar[FinishReason]
    FINISH_REASON_OTHER: _ClassVar[FinishReason]

class Lane(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LANE_UNSPECIFIED: _ClassVar[Lane]
    LANE_INLINE: _ClassVar[Lane]
    LANE_POOL: _ClassVar[Lane]
    LANE_SANDBOX: _ClassVar[Lane]
    LANE_MODEL: _ClassVar[Lane]
    LANE_COMPOSITE: _ClassVar[Lane]

class IsolationLevel(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ISOLATION_LEVEL_UNSPECIFIED: _ClassVar[IsolationLevel]
    ISOLATION_LEVEL_PROCESS: _ClassVar[IsolationLevel]
    ISOLATION_LEVEL_CONFINED: _ClassVar[IsolationLevel]
    ISOLATION_LEVEL_NAMESPACED: _ClassVar[IsolationLevel]
    ISOLATION_LEVEL_GUEST_KERNEL: _ClassVar[IsolationLevel]

class Scope(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SCOPE_UNSPECIFIED: _ClassVar[Scope]
    SCOPE_ITEM: _ClassVar[Scope]
    SCOPE_GROUP: _ClassVar[Scope]

class ErrorReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ERROR_REASON_UNSPECIFIED: _ClassVar[ErrorReason]
    ERROR_REASON_NOT_APPLICABLE: _ClassVar[ErrorReason]
    ERROR_REASON_INVALID_INPUT: _ClassVar[ErrorReason]
    ERROR_REASON_INVALID_REFERENCE: _ClassVar[ErrorReason]
    ERROR_REASON_RAISED: _ClassVar[ErrorReason]
    ERROR_REASON_INVALID_RESULT: _ClassVar[ErrorReason]
    ERROR_REASON_TIMED_OUT: _ClassVar[ErrorReason]
    ERROR_REASON_OUT_OF_MEMORY: _ClassVar[ErrorReason]
    ERROR_REASON_CRASHED: _ClassVar[ErrorReason]
    ERROR_REASON_QUEUE_TIMEOUT: _ClassVar[ErrorReason]
    ERROR_REASON_DEADLINE: _ClassVar[ErrorReason]
    ERROR_REASON_CANCELLED: _ClassVar[ErrorReason]
    ERROR_REASON_RATE_LIMITED: _ClassVar[ErrorReason]
    ERROR_REASON_UNAVAILABLE: _ClassVar[ErrorReason]
    ERROR_REASON_JUDGE_UNREADABLE: _ClassVar[ErrorReason]
    ERROR_REASON_JUDGE_REFUSED: _ClassVar[ErrorReason]
    ERROR_REASON_SANDBOX_FAULT: _ClassVar[ErrorReason]
    ERROR_REASON_MODEL_CHANGED: _ClassVar[ErrorReason]
FINISH_REASON_UNSPECIFIED: FinishReason
FINISH_REASON_STOP: FinishReason
FINISH_REASON_LENGTH: FinishReason
FINISH_REASON_OTHER: FinishReason
LANE_UNSPECIFIED: Lane
LANE_INLINE: Lane
LANE_POOL: Lane
LANE_SANDBOX: Lane
LANE_MODEL: Lane
LANE_COMPOSITE: Lane
ISOLATION_LEVEL_UNSPECIFIED: IsolationLevel
ISOLATION_LEVEL_PROCESS: IsolationLevel
ISOLATION_LEVEL_CONFINED: IsolationLevel
ISOLATION_LEVEL_NAMESPACED: IsolationLevel
ISOLATION_LEVEL_GUEST_KERNEL: IsolationLevel
SCOPE_UNSPECIFIED: Scope
SCOPE_ITEM: Scope
SCOPE_GROUP: Scope
ERROR_REASON_UNSPECIFIED: ErrorReason
ERROR_REASON_NOT_APPLICABLE: ErrorReason
ERROR_REASON_INVALID_INPUT: ErrorReason
ERROR_REASON_INVALID_REFERENCE: ErrorReason
ERROR_REASON_RAISED: ErrorReason
ERROR_REASON_INVALID_RESULT: ErrorReason
ERROR_REASON_TIMED_OUT: ErrorReason
ERROR_REASON_OUT_OF_MEMORY: ErrorReason
ERROR_REASON_CRASHED: ErrorReason
ERROR_REASON_QUEUE_TIMEOUT: ErrorReason
ERROR_REASON_DEADLINE: ErrorReason
ERROR_REASON_CANCELLED: ErrorReason
ERROR_REASON_RATE_LIMITED: ErrorReason
ERROR_REASON_UNAVAILABLE: ErrorReason
ERROR_REASON_JUDGE_UNREADABLE: ErrorReason
ERROR_REASON_JUDGE_REFUSED: ErrorReason
ERROR_REASON_SANDBOX_FAULT: ErrorReason
ERROR_REASON_MODEL_CHANGED: ErrorReason

class ScoreRequest(_message.Message):
    __slots__ = ("groups", "reward", "version", "options", "job", "step", "request_id")
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    REWARD_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    JOB_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    groups: _containers.RepeatedCompositeFieldContainer[Group]
    reward: str
    version: str
    options: ScoreOptions
    job: str
    step: int
    request_id: str
    def __init__(self, groups: _Optional[_Iterable[_Union[Group, _Mapping]]] = ..., reward: _Optional[str] = ..., version: _Optional[str] = ..., options: _Optional[_Union[ScoreOptions, _Mapping]] = ..., job: _Optional[str] = ..., step: _Optional[int] = ..., request_id: _Optional[str] = ...) -> None: ...

class StreamScoresRequest(_message.Message):
    __slots__ = ("request",)
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    request: ScoreRequest
    def __init__(self, request: _Optional[_Union[ScoreRequest, _Mapping]] = ...) -> None: ...

class ScoreOptions(_message.Message):
    __slots__ = ("include_components", "include_explanations", "include_step_rewards", "item_timeout", "queue_timeout", "min_isolation", "include_details", "include_judgements", "include_health")
    INCLUDE_COMPONENTS_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_EXPLANATIONS_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_STEP_REWARDS_FIELD_NUMBER: _ClassVar[int]
    ITEM_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    QUEUE_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    MIN_ISOLATION_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_DETAILS_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_JUDGEMENTS_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_HEALTH_FIELD_NUMBER: _ClassVar[int]
    include_components: bool
    include_explanations: bool
    include_step_rewards: bool
    item_timeout: _duration_pb2.Duration
    queue_timeout: _duration_pb2.Duration
    min_isolation: IsolationLevel
    include_details: bool
    include_judgements: bool
    include_health: bool
    def __init__(self, include_components: bool = ..., include_explanations: bool = ..., include_step_rewards: bool = ..., item_timeout: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., queue_timeout: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., min_isolation: _Optional[_Union[IsolationLevel, str]] = ..., include_details: bool = ..., include_judgements: bool = ..., include_health: bool = ...) -> None: ...

class Group(_message.Message):
    __slots__ = ("example", "responses", "expected_size", "reward", "version")
    EXAMPLE_FIELD_NUMBER: _ClassVar[int]
    RESPONSES_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_SIZE_FIELD_NUMBER: _ClassVar[int]
    REWARD_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    example: Example
    responses: _containers.RepeatedCompositeFieldContainer[Response]
    expected_size: int
    reward: str
    version: str
    def __init__(self, example: _Optional[_Union[Example, _Mapping]] = ..., responses: _Optional[_Iterable[_Union[Response, _Mapping]]] = ..., expected_size: _Optional[int] = ..., reward: _Optional[str] = ..., version: _Optional[str] = ...) -> None: ...

class Example(_message.Message):
    __slots__ = ("id", "contents", "system_instruction", "references", "json_references", "tools_json")
    class ReferencesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class JsonReferencesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    CONTENTS_FIELD_NUMBER: _ClassVar[int]
    SYSTEM_INSTRUCTION_FIELD_NUMBER: _ClassVar[int]
    REFERENCES_FIELD_NUMBER: _ClassVar[int]
    JSON_REFERENCES_FIELD_NUMBER: _ClassVar[int]
    TOOLS_JSON_FIELD_NUMBER: _ClassVar[int]
    id: str
    contents: _containers.RepeatedCompositeFieldContainer[Content]
    system_instruction: Content
    references: _containers.ScalarMap[str, str]
    json_references: _containers.ScalarMap[str, str]
    tools_json: str
    def __init__(self, id: _Optional[str] = ..., contents: _Optional[_Iterable[_Union[Content, _Mapping]]] = ..., system_instruction: _Optional[_Union[Content, _Mapping]] = ..., references: _Optional[_Mapping[str, str]] = ..., json_references: _Optional[_Mapping[str, str]] = ..., tools_json: _Optional[str] = ...) -> None: ...

class Response(_message.Message):
    __slots__ = ("text", "finish_reason", "token_count", "id", "turns", "references", "json_references")
    class ReferencesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class JsonReferencesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    TEXT_FIELD_NUMBER: _ClassVar[int]
    FINISH_REASON_FIELD_NUMBER: _ClassVar[int]
    TOKEN_COUNT_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    TURNS_FIELD_NUMBER: _ClassVar[int]
    REFERENCES_FIELD_NUMBER: _ClassVar[int]
    JSON_REFERENCES_FIELD_NUMBER: _ClassVar[int]
    text: str
    finish_reason: FinishReason
    token_count: int
    id: str
    turns: _containers.RepeatedCompositeFieldContainer[Content]
    references: _containers.ScalarMap[str, str]
    json_references: _containers.ScalarMap[str, str]
    def __init__(self, text: _Optional[str] = ..., finish_reason: _Optional[_Union[FinishReason, str]] = ..., token_count: _Optional[int] = ..., id: _Optional[str] = ..., turns: _Optional[_Iterable[_Union[Content, _Mapping]]] = ..., references: _Optional[_Mapping[str, str]] = ..., json_references: _Optional[_Mapping[str, str]] = ...) -> None: ...

class Content(_message.Message):
    __slots__ = ("role", "parts")
    ROLE_FIELD_NUMBER: _ClassVar[int]
    PARTS_FIELD_NUMBER: _ClassVar[int]
    role: str
    parts: _containers.RepeatedCompositeFieldContainer[Part]
    def __init__(self, role: _Optional[str] = ..., parts: _Optional[_Iterable[_Union[Part, _Mapping]]] = ...) -> None: ...

class Part(_message.Message):
    __slots__ = ("text", "inline_data", "file_data", "function_call", "function_response", "thought")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    INLINE_DATA_FIELD_NUMBER: _ClassVar[int]
    FILE_DATA_FIELD_NUMBER: _ClassVar[int]
    FUNCTION_CALL_FIELD_NUMBER: _ClassVar[int]
    FUNCTION_RESPONSE_FIELD_NUMBER: _ClassVar[int]
    THOUGHT_FIELD_NUMBER: _ClassVar[int]
    text: str
    inline_data: Blob
    file_data: FileData
    function_call: FunctionCall
    function_response: FunctionResponse
    thought: bool
    def __init__(self, text: _Optional[str] = ..., inline_data: _Optional[_Union[Blob, _Mapping]] = ..., file_data: _Optional[_Union[FileData, _Mapping]] = ..., function_call: _Optional[_Union[FunctionCall, _Mapping]] = ..., function_response: _Optional[_Union[FunctionResponse, _Mapping]] = ..., thought: bool = ...) -> None: ...

class Blob(_message.Message):
    __slots__ = ("mime_type", "data")
    MIME_TYPE_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    mime_type: str
    data: bytes
    def __init__(self, mime_type: _Optional[str] = ..., data: _Optional[bytes] = ...) -> None: ...

class FileData(_message.Message):
    __slots__ = ("mime_type", "file_uri")
    MIME_TYPE_FIELD_NUMBER: _ClassVar[int]
    FILE_URI_FIELD_NUMBER: _ClassVar[int]
    mime_type: str
    file_uri: str
    def __init__(self, mime_type: _Optional[str] = ..., file_uri: _Optional[str] = ...) -> None: ...

class FunctionCall(_message.Message):
    __slots__ = ("id", "name", "args_json")
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    ARGS_JSON_FIELD_NUMBER: _ClassVar[int]
    id: str
    name: str
    args_json: str
    def __init__(self, id: _Optional[str] = ..., name: _Optional[str] = ..., args_json: _Optional[str] = ...) -> None: ...

class FunctionResponse(_message.Message):
    __slots__ = ("id", "name", "response_json")
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_JSON_FIELD_NUMBER: _ClassVar[int]
    id: str
    name: str
    response_json: str
    def __init__(self, id: _Optional[str] = ..., name: _Optional[str] = ..., response_json: _Optional[str] = ...) -> None: ...

class ScoreResponse(_message.Message):
    __slots__ = ("groups", "rewards", "request_id", "models", "health")
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    REWARDS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    HEALTH_FIELD_NUMBER: _ClassVar[int]
    groups: _containers.RepeatedCompositeFieldContainer[GroupOutcomes]
    rewards: _containers.RepeatedCompositeFieldContainer[RewardUsed]
    request_id: str
    models: _containers.RepeatedCompositeFieldContainer[ModelUsed]
    health: _containers.RepeatedCompositeFieldContainer[RewardHealth]
    def __init__(self, groups: _Optional[_Iterable[_Union[GroupOutcomes, _Mapping]]] = ..., rewards: _Optional[_Iterable[_Union[RewardUsed, _Mapping]]] = ..., request_id: _Optional[str] = ..., models: _Optional[_Iterable[_Union[ModelUsed, _Mapping]]] = ..., health: _Optional[_Iterable[_Union[RewardHealth, _Mapping]]] = ...) -> None: ...

class ModelUsed(_message.Message):
    __slots__ = ("name", "digest", "source", "revision", "weights_digest", "engine", "engine_version", "dtype", "template_digest", "read", "fingerprint", "noise")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    WEIGHTS_DIGEST_FIELD_NUMBER: _ClassVar[int]
    ENGINE_FIELD_NUMBER: _ClassVar[int]
    ENGINE_VERSION_FIELD_NUMBER: _ClassVar[int]
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    TEMPLATE_DIGEST_FIELD_NUMBER: _ClassVar[int]
    READ_FIELD_NUMBER: _ClassVar[int]
    FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    NOISE_FIELD_NUMBER: _ClassVar[int]
    name: str
    digest: str
    source: str
    revision: str
    weights_digest: str
    engine: str
    engine_version: str
    dtype: str
    template_digest: str
    read: str
    fingerprint: str
    noise: float
    def __init__(self, name: _Optional[str] = ..., digest: _Optional[str] = ..., source: _Optional[str] = ..., revision: _Optional[str] = ..., weights_digest: _Optional[str] = ..., engine: _Optional[str] = ..., engine_version: _Optional[str] = ..., dtype: _Optional[str] = ..., template_digest: _Optional[str] = ..., read: _Optional[str] = ..., fingerprint: _Optional[str] = ..., noise: _Optional[float] = ...) -> None: ...

class RewardHealth(_message.Message):
    __slots__ = ("reward", "items", "error_ratio", "mean", "deviation", "p10", "p50", "p90", "alike_ratio", "saturation", "clip_ratio", "length_correlation", "advice")
    REWARD_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    ERROR_RATIO_FIELD_NUMBER: _ClassVar[int]
    MEAN_FIELD_NUMBER: _ClassVar[int]
    DEVIATION_FIELD_NUMBER: _ClassVar[int]
    P10_FIELD_NUMBER: _ClassVar[int]
    P50_FIELD_NUMBER: _ClassVar[int]
    P90_FIELD_NUMBER: _ClassVar[int]
    ALIKE_RATIO_FIELD_NUMBER: _ClassVar[int]
    SATURATION_FIELD_NUMBER: _ClassVar[int]
    CLIP_RATIO_FIELD_NUMBER: _ClassVar[int]
    LENGTH_CORRELATION_FIELD_NUMBER: _ClassVar[int]
    ADVICE_FIELD_NUMBER: _ClassVar[int]
    reward: str
    items: int
    error_ratio: float
    mean: float
    deviation: float
    p10: float
    p50: float
    p90: float
    alike_ratio: float
    saturation: float
    clip_ratio: float
    length_correlation: float
    advice: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, reward: _Optional[str] = ..., items: _Optional[int] = ..., error_ratio: _Optional[float] = ..., mean: _Optional[float] = ..., deviation: _Optional[float] = ..., p10: _Optional[float] = ..., p50: _Optional[float] = ..., p90: _Optional[float] = ..., alike_ratio: _Optional[float] = ..., saturation: _Optional[float] = ..., clip_ratio: _Optional[float] = ..., length_correlation: _Optional[float] = ..., advice: _Optional[_Iterable[str]] = ...) -> None: ...

class GroupOutcomes(_message.Message):
    __slots__ = ("outcomes", "reward_index", "queue_us", "execution_us", "isolation")
    OUTCOMES_FIELD_NUMBER: _ClassVar[int]
    REWARD_INDEX_FIELD_NUMBER: _ClassVar[int]
    QUEUE_US_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_US_FIELD_NUMBER: _ClassVar[int]
    ISOLATION_FIELD_NUMBER: _ClassVar[int]
    outcomes: _containers.RepeatedCompositeFieldContainer[Outcome]
    reward_index: int
    queue_us: int
    execution_us: int
    isolation: IsolationLevel
    def __init__(self, outcomes: _Optional[_Iterable[_Union[Outcome, _Mapping]]] = ..., reward_index: _Optional[int] = ..., queue_us: _Optional[int] = ..., execution_us: _Optional[int] = ..., isolation: _Optional[_Union[IsolationLevel, str]] = ...) -> None: ...

class RewardUsed(_message.Message):
    __slots__ = ("name", "version", "digest", "component_names", "model")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    COMPONENT_NAMES_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: str
    digest: str
    component_names: _containers.RepeatedScalarFieldContainer[str]
    model: str
    def __init__(self, name: _Optional[str] = ..., version: _Optional[str] = ..., digest: _Optional[str] = ..., component_names: _Optional[_Iterable[str]] = ..., model: _Optional[str] = ...) -> None: ...

class Outcome(_message.Message):
    __slots__ = ("score", "error")
    SCORE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    score: Score
    error: ScoreError
    def __init__(self, score: _Optional[_Union[Score, _Mapping]] = ..., error: _Optional[_Union[ScoreError, _Mapping]] = ...) -> None: ...

class Score(_message.Message):
    __slots__ = ("reward", "components", "explanation", "step_rewards", "answer", "details_json", "judgements")
    REWARD_FIELD_NUMBER: _ClassVar[int]
    COMPONENTS_FIELD_NUMBER: _ClassVar[int]
    EXPLANATION_FIELD_NUMBER: _ClassVar[int]
    STEP_REWARDS_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    DETAILS_JSON_FIELD_NUMBER: _ClassVar[int]
    JUDGEMENTS_FIELD_NUMBER: _ClassVar[int]
    reward: float
    components: _containers.RepeatedScalarFieldContainer[float]
    explanation: str
    step_rewards: _containers.RepeatedScalarFieldContainer[float]
    answer: str
    details_json: str
    judgements: _containers.RepeatedCompositeFieldContainer[Judgement]
    def __init__(self, reward: _Optional[float] = ..., components: _Optional[_Iterable[float]] = ..., explanation: _Optional[str] = ..., step_rewards: _Optional[_Iterable[float]] = ..., answer: _Optional[str] = ..., details_json: _Optional[str] = ..., judgements: _Optional[_Iterable[_Union[Judgement, _Mapping]]] = ...) -> None: ...

class Judgement(_message.Message):
    __slots__ = ("question", "value", "labels", "probabilities", "label_mass", "read", "text", "usage")
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    PROBABILITIES_FIELD_NUMBER: _ClassVar[int]
    LABEL_MASS_FIELD_NUMBER: _ClassVar[int]
    READ_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    question: str
    value: float
    labels: _containers.RepeatedScalarFieldContainer[str]
    probabilities: _containers.RepeatedScalarFieldContainer[float]
    label_mass: float
    read: str
    text: str
    usage: Usage
    def __init__(self, question: _Optional[str] = ..., value: _Optional[float] = ..., labels: _Optional[_Iterable[str]] = ..., probabilities: _Optional[_Iterable[float]] = ..., label_mass: _Optional[float] = ..., read: _Optional[str] = ..., text: _Optional[str] = ..., usage: _Optional[_Union[Usage, _Mapping]] = ...) -> None: ...

class ScoreError(_message.Message):
    __slots__ = ("reason", "message", "retryable", "usage")
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    RETRYABLE_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    reason: ErrorReason
    message: str
    retryable: bool
    usage: Usage
    def __init__(self, reason: _Optional[_Union[ErrorReason, str]] = ..., message: _Optional[str] = ..., retryable: bool = ..., usage: _Optional[_Union[Usage, _Mapping]] = ...) -> None: ...

class Usage(_message.Message):
    __slots__ = ("prompt_tokens", "completion_tokens", "cached_tokens", "calls")
    PROMPT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    COMPLETION_TOKENS_FIELD_NUMBER: _ClassVar[int]
    CACHED_TOKENS_FIELD_NUMBER: _ClassVar[int]
    CALLS_FIELD_NUMBER: _ClassVar[int]
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    calls: int
    def __init__(self, prompt_tokens: _Optional[int] = ..., completion_tokens: _Optional[int] = ..., cached_tokens: _Optional[int] = ..., calls: _Optional[int] = ...) -> None: ...

class StreamScoresResponse(_message.Message):
    __slots__ = ("outcomes", "reward", "queue_us", "execution_us", "request_id", "isolation", "model")
    OUTCOMES_FIELD_NUMBER: _ClassVar[int]
    REWARD_FIELD_NUMBER: _ClassVar[int]
    QUEUE_US_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_US_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ISOLATION_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    outcomes: _containers.RepeatedCompositeFieldContainer[TaggedOutcome]
    reward: RewardUsed
    queue_us: int
    execution_us: int
    request_id: str
    isolation: IsolationLevel
    model: ModelUsed
    def __init__(self, outcomes: _Optional[_Iterable[_Union[TaggedOutcome, _Mapping]]] = ..., reward: _Optional[_Union[RewardUsed, _Mapping]] = ..., queue_us: _Optional[int] = ..., execution_us: _Optional[int] = ..., request_id: _Optional[str] = ..., isolation: _Optional[_Union[IsolationLevel, str]] = ..., model: _Optional[_Union[ModelUsed, _Mapping]] = ...) -> None: ...

class TaggedOutcome(_message.Message):
    __slots__ = ("group_index", "response_index", "outcome")
    GROUP_INDEX_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_INDEX_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    group_index: int
    response_index: int
    outcome: Outcome
    def __init__(self, group_index: _Optional[int] = ..., response_index: _Optional[int] = ..., outcome: _Optional[_Union[Outcome, _Mapping]] = ...) -> None: ...

class ValidateRewardRequest(_message.Message):
    __slots__ = ("example", "response", "reward", "inline_config")
    EXAMPLE_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    REWARD_FIELD_NUMBER: _ClassVar[int]
    INLINE_CONFIG_FIELD_NUMBER: _ClassVar[int]
    example: Example
    response: Response
    reward: str
    inline_config: str
    def __init__(self, example: _Optional[_Union[Example, _Mapping]] = ..., response: _Optional[_Union[Response, _Mapping]] = ..., reward: _Optional[str] = ..., inline_config: _Optional[str] = ...) -> None: ...

class ValidateRewardResponse(_message.Message):
    __slots__ = ("outcome", "reward", "messages", "queue_us", "execution_us", "isolation")
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    REWARD_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    QUEUE_US_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_US_FIELD_NUMBER: _ClassVar[int]
    ISOLATION_FIELD_NUMBER: _ClassVar[int]
    outcome: Outcome
    reward: RewardUsed
    messages: _containers.RepeatedScalarFieldContainer[str]
    queue_us: int
    execution_us: int
    isolation: IsolationLevel
    def __init__(self, outcome: _Optional[_Union[Outcome, _Mapping]] = ..., reward: _Optional[_Union[RewardUsed, _Mapping]] = ..., messages: _Optional[_Iterable[str]] = ..., queue_us: _Optional[int] = ..., execution_us: _Optional[int] = ..., isolation: _Optional[_Union[IsolationLevel, str]] = ...) -> None: ...

class ListRewardsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListRewardsResponse(_message.Message):
    __slots__ = ("rewards",)
    REWARDS_FIELD_NUMBER: _ClassVar[int]
    rewards: _containers.RepeatedCompositeFieldContainer[RewardInfo]
    def __init__(self, rewards: _Optional[_Iterable[_Union[RewardInfo, _Mapping]]] = ...) -> None: ...

class GetRewardRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class GetRewardResponse(_message.Message):
    __slots__ = ("reward",)
    REWARD_FIELD_NUMBER: _ClassVar[int]
    reward: RewardInfo
    def __init__(self, reward: _Optional[_Union[RewardInfo, _Mapping]] = ...) -> None: ...

class RewardInfo(_message.Message):
    __slots__ = ("name", "version", "digest", "kind", "lane", "scope", "deterministic", "component_names", "reference_keys", "limits", "isolation", "model")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    LANE_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    DETERMINISTIC_FIELD_NUMBER: _ClassVar[int]
    COMPONENT_NAMES_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_KEYS_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    ISOLATION_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: str
    digest: str
    kind: str
    lane: Lane
    scope: Scope
    deterministic: bool
    component_names: _containers.RepeatedScalarFieldContainer[str]
    reference_keys: _containers.RepeatedScalarFieldContainer[str]
    limits: RewardLimits
    isolation: IsolationLevel
    model: ModelUsed
    def __init__(self, name: _Optional[str] = ..., version: _Optional[str] = ..., digest: _Optional[str] = ..., kind: _Optional[str] = ..., lane: _Optional[_Union[Lane, str]] = ..., scope: _Optional[_Union[Scope, str]] = ..., deterministic: bool = ..., component_names: _Optional[_Iterable[str]] = ..., reference_keys: _Optional[_Iterable[str]] = ..., limits: _Optional[_Union[RewardLimits, _Mapping]] = ..., isolation: _Optional[_Union[IsolationLevel, str]] = ..., model: _Optional[_Union[ModelUsed, _Mapping]] = ...) -> None: ...

class RewardLimits(_message.Message):
    __slots__ = ("item_timeout", "queue_timeout", "max_request_items", "max_item_bytes", "max_request_bytes")
    ITEM_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    QUEUE_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    MAX_REQUEST_ITEMS_FIELD_NUMBER: _ClassVar[int]
    MAX_ITEM_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_REQUEST_BYTES_FIELD_NUMBER: _ClassVar[int]
    item_timeout: _duration_pb2.Duration
    queue_timeout: _duration_pb2.Duration
    max_request_items: int
    max_item_bytes: int
    max_request_bytes: int
    def __init__(self, item_timeout: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., queue_timeout: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., max_request_items: _Optional[int] = ..., max_item_bytes: _Optional[int] = ..., max_request_bytes: _Optional[int] = ...) -> None: ...
