"""Between the domain's types and the protocol's messages, both ways.

`x_from(message)` reads a message, `x_to(value)` makes one. Empty repeated fields are read as
`()`, empty maps as one shared empty dict: most responses have none, and each is read on the
gateway's hot path.

Protobuf refuses lone surrogates, which broken tokenizers do produce: whatever goes out has them
replaced by U+FFFD and counted, see `surrogates_replaced`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from rewardplane.rewards.types import (
    Blob,
    Content,
    Example,
    FileData,
    FunctionCall,
    FunctionResponse,
    Group,
    JudgementRecord,
    Outcome,
    Part,
    PartData,
    Reason,
    Response,
    Score,
    ScoreError,
    Usage,
)
from rewardplane.v1 import reward_service_pb2 as pb

if TYPE_CHECKING:
    from google.protobuf.internal.containers import RepeatedCompositeFieldContainer

    _Contents = RepeatedCompositeFieldContainer[pb.Content]

MAX_LABEL_CHARS = 128
_TOO_LONG = f"has more than {MAX_LABEL_CHARS} characters"

_NONE: dict[str, str] = {}
_REWARD_BYTES = 9
"""Of a reward that is not 0: a tag and a double."""

_FINISH_NUMBERS = {
    "": pb.FINISH_REASON_UNSPECIFIED,
    "stop": pb.FINISH_REASON_STOP,
    "length": pb.FINISH_REASON_LENGTH,
    "other": pb.FINISH_REASON_OTHER,
}
_FINISH_NAMES: dict[int, str] = {number: name for name, number in _FINISH_NUMBERS.items()}

_REASONS: dict[int, Reason] = {reason.value: reason for reason in Reason}

_SURROGATE = re.compile("[\ud800-\udfff]")


class FieldError(ValueError):
    """A field of a message cannot be read; `path` leads to it from that message."""

    def __init__(self, path: str, fault: str) -> None:
        super().__init__(path, fault)
        self.path = path
        self.fault = fault

    def __str__(self) -> str:
        return f"{self.path} {self.fault}"


class _Tally:
    replaced = 0


def clean(text: str) -> str:
    """The text with each lone surrogate replaced by U+FFFD, and counted."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        text, count = _SURROGATE.subn("\ufffd", text)
        _Tally.replaced += count
    return text


def surrogates_replaced() -> int:
    """How many lone surrogates this process has replaced so far."""
    return _Tally.replaced


# ---- read ----------------------------------------------------------------------------------------


def example_from(message: pb.Example, *, prompt: bool = True) -> Example:
    """An example; without its contents, system instruction and tools where not `prompt`.

    Raises:
        FieldError: its id is too long, or the arguments or the answer of a function call are no
            JSON object.
    """
    label = message.id
    if len(label) > MAX_LABEL_CHARS:
        raise FieldError("id", _TOO_LONG)
    if not prompt:
        return Example(
            (),
            dict(message.references) or _NONE,
            dict(message.json_references) or _NONE,
            id=label,
        )
    return Example(
        contents=_contents_from(message.contents, "contents"),
        references=dict(message.references) or _NONE,
        json_references=dict(message.json_references) or _NONE,
        system_instruction=(
            _content_from(message.system_instruction, "system_instruction")
            if message.HasField("system_instruction")
            else None
        ),
        tools_json=message.tools_json,
        id=label,
    )


def response_from(message: pb.Response) -> Response:
    """A response; where it has turns and no text, its text is the last turn's, without thoughts.

    Raises:
        FieldError: its id is too long, or the arguments or the answer of a function call are no
            JSON object.
    """
    text = message.text
    token_count: int | None = message.token_count
    if not token_count and not message.HasField("token_count"):
        token_count = None
    label = message.id
    if len(label) > MAX_LABEL_CHARS:
        raise FieldError("id", _TOO_LONG)
    turns: Sequence[Content] = ()
    # Each access to an empty container makes one: they are looked at once, and never kept.
    if message.turns:
        turns = _contents_from(message.turns, "turns")
        text = text or turns[-1].text
    return Response(
        text,
        _FINISH_NAMES.get(message.finish_reason, "other"),
        token_count,
        turns,
        dict(message.references) if message.references else _NONE,
        dict(message.json_references) if message.json_references else _NONE,
        label,
    )


def outcome_from(message: pb.Outcome, component_names: Sequence[str]) -> Outcome:
    """An outcome; `component_names` are those of the reward that was used.

    A reason that this version does not know becomes UNAVAILABLE or RAISED, by `retryable`.

    Raises:
        FieldError: it is neither score nor error, or has not one component a name.
    """
    if message.HasField("score"):
        score = message.score
        reward = score.reward
        # Nearly all scores are a number and nothing else.
        if not component_names and score.ByteSize() == (_REWARD_BYTES if reward else 0):
            return Score(reward)
        components: dict[str, float] = {}
        if component_names:
            values = score.components
            if len(values) != len(component_names):
                fault = f"holds {len(values)} values for {len(component_names)} names"
                raise FieldError("score.components", fault)
            components = dict(zip(component_names, values, strict=True))
        steps = tuple(score.step_rewards) if score.step_rewards else ()
        judgements = tuple(map(judgement_from, score.judgements)) if score.judgements else ()
        told = score.explanation, steps, score.answer, score.details_json, judgements
        return Score(reward, components, *told)
    if not message.HasField("error"):
        raise FieldError("result", "is neither score nor error")
    error = message.error
    reason = _REASONS.get(error.reason)
    if reason is not None:
        return ScoreError(reason, error.message, _spent(error))
    reason = Reason.UNAVAILABLE if error.retryable else Reason.RAISED
    told = f"(reason {int(error.reason)} of a newer service) {error.message}"
    return ScoreError(reason, told, _spent(error))


def _spent(error: pb.ScoreError) -> Usage | None:
    return _usage_from(error.usage) if error.HasField("usage") else None


def _usage_from(spent: pb.Usage) -> Usage:
    tokens = spent.prompt_tokens, spent.completion_tokens, spent.cached_tokens
    return Usage(*tokens, spent.calls)


def usage_to(usage: Usage) -> pb.Usage:
    """What judges took, as a message."""
    return pb.Usage(
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        cached_tokens=usage.cached_tokens,
        calls=usage.calls,
    )


def judgement_to(record: JudgementRecord, message: pb.Judgement) -> None:
    """Writes what a judge said into an empty message."""
    message.question = clean(record.question)
    message.value = record.value
    message.labels.extend(map(clean, record.probs))
    message.probabilities.extend(record.probs.values())
    if record.label_mass is not None:
        message.label_mass = record.label_mass
    message.read = record.read
    message.text = clean(record.text)
    message.usage.CopyFrom(usage_to(record.usage))


def judgement_from(message: pb.Judgement) -> JudgementRecord:
    """What a judge said."""
    return JudgementRecord(
        message.question,
        message.value,
        dict(zip(message.labels, message.probabilities, strict=False)),
        message.label_mass if message.HasField("label_mass") else None,
        message.read,
        _usage_from(message.usage),
        message.text,
    )


def _contents_from(messages: Sequence[pb.Content], path: str) -> Sequence[Content]:
    return tuple([_content_from(m, f"{path}[{i}]") for i, m in enumerate(messages)])


def _content_from(message: pb.Content, path: str) -> Content:
    parts = [
        Part(_data_from(part, f"{path}.parts[{i}]"), part.thought)
        for i, part in enumerate(message.parts)
    ]
    return Content(message.role, tuple(parts))


def _data_from(part: pb.Part, path: str) -> PartData:
    match part.WhichOneof("data"):
        case "inline_data":
            return Blob(part.inline_data.mime_type, part.inline_data.data)
        case "file_data":
            return FileData(part.file_data.mime_type, part.file_data.file_uri)
        case "function_call":
            call = part.function_call
            args = _object_from(call.args_json, f"{path}.function_call.args_json")
            return FunctionCall(call.name, args, call.id)
        case "function_response":
            answer = part.function_response
            value = _object_from(answer.response_json, f"{path}.function_response.response_json")
            return FunctionResponse(answer.name, value, answer.id)
        case _:
            return part.text


def _object_from(document: str, path: str) -> dict[str, Any]:
    if not document:
        return {}
    try:
        value = json.loads(document)
    except (ValueError, RecursionError) as error:
        raise FieldError(path, f"is no JSON: {error}") from None
    if not isinstance(value, dict):
        raise FieldError(path, f"is no JSON object but {type(value).__name__}")
    return cast("dict[str, Any]", value)


# ---- write ---------------------------------------------------------------------------------------


def example_to(example: Example) -> pb.Example:
    """The message of an example."""
    message = pb.Example()
    _fill_example(example, message)
    return message


def response_to(response: Response) -> pb.Response:
    """The message of a response. A finish reason that the protocol does not know is "other"."""
    message = pb.Response()
    _fill_response(response, message)
    return message


def group_to(group: Group) -> pb.Group:
    """The message of a group."""
    message = pb.Group()
    fill_group(group, message)
    return message


def fill_group(group: Group, into: pb.Group) -> None:
    """Writes a group into an empty message: handing made messages to a parent copies them."""
    into.expected_size = group.expected_size
    into.reward = clean(group.reward)
    into.version = clean(group.version)
    _fill_example(group.example, into.example)
    add = into.responses.add
    for response in group.responses:
        _fill_response(response, add())


def _fill_example(example: Example, into: pb.Example) -> None:
    # Presence tells the service that there is an example, however empty.
    into.SetInParent()
    into.id = clean(example.id)
    into.tools_json = clean(example.tools_json)
    _fill_contents(example.contents, into.contents)
    if example.system_instruction is not None:
        into.system_instruction.SetInParent()
        _fill_content(example.system_instruction, into.system_instruction)
    if example.references:
        into.references.update(_cleaned(example.references))
    if example.json_references:
        into.json_references.update(_cleaned(example.json_references))


def _fill_response(response: Response, into: pb.Response) -> None:
    into.text = clean(response.text)
    if response.finish_reason:
        into.finish_reason = _FINISH_NUMBERS.get(response.finish_reason, pb.FINISH_REASON_OTHER)
    if response.token_count is not None:
        into.token_count = response.token_count
    if response.id:
        into.id = clean(response.id)
    if response.turns:
        _fill_contents(response.turns, into.turns)
    if response.references:
        into.references.update(_cleaned(response.references))
    if response.json_references:
        into.json_references.update(_cleaned(response.json_references))


def _fill_contents(contents: Sequence[Content], into: _Contents) -> None:
    for content in contents:
        _fill_content(content, into.add())


def _fill_content(content: Content, into: pb.Content) -> None:
    into.role = clean(content.role)
    for part in content.parts:
        _fill_part(part, into.parts.add())


def _fill_part(part: Part, into: pb.Part) -> None:
    if part.thought:
        into.thought = True
    data = part.data
    if isinstance(data, str):
        into.text = clean(data)
    elif isinstance(data, Blob):
        into.inline_data.mime_type = clean(data.mime_type)
        into.inline_data.data = data.data
    elif isinstance(data, FileData):
        into.file_data.mime_type = clean(data.mime_type)
        into.file_data.file_uri = clean(data.file_uri)
    elif isinstance(data, FunctionCall):
        call = into.function_call
        call.id = clean(data.id)
        call.name = clean(data.name)
        call.args_json = _document(data.args)
    else:
        answer = into.function_response
        answer.id = clean(data.id)
        answer.name = clean(data.name)
        answer.response_json = _document(data.response)


def _document(value: Mapping[str, Any]) -> str:
    return clean(json.dumps(dict(value), ensure_ascii=False)) if value else ""


def _cleaned(texts: Mapping[str, str]) -> dict[str, str]:
    return {clean(key): clean(value) for key, value in texts.items()}
