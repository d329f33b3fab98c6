from rewardplane.v1 import reward_service_pb2 as _reward_service_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RequestFrame(_message.Message):
    __slots__ = ("groups", "reward", "version", "options", "job", "step", "request_id")
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    REWARD_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    JOB_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    groups: _containers.RepeatedCompositeFieldContainer[GroupFrame]
    reward: str
    version: str
    options: _reward_service_pb2.ScoreOptions
    job: str
    step: int
    request_id: str
    def __init__(self, groups: _Optional[_Iterable[_Union[GroupFrame, _Mapping]]] = ..., reward: _Optional[str] = ..., version: _Optional[str] = ..., options: _Optional[_Union[_reward_service_pb2.ScoreOptions, _Mapping]] = ..., job: _Optional[str] = ..., step: _Optional[int] = ..., request_id: _Optional[str] = ...) -> None: ...

class GroupFrame(_message.Message):
    __slots__ = ("example", "responses", "expected_size", "reward", "version")
    EXAMPLE_FIELD_NUMBER: _ClassVar[int]
    RESPONSES_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_SIZE_FIELD_NUMBER: _ClassVar[int]
    REWARD_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    example: bytes
    responses: _containers.RepeatedScalarFieldContainer[bytes]
    expected_size: int
    reward: str
    version: str
    def __init__(self, example: _Optional[bytes] = ..., responses: _Optional[_Iterable[bytes]] = ..., expected_size: _Optional[int] = ..., reward: _Optional[str] = ..., version: _Optional[str] = ...) -> None: ...

class StreamRequestFrame(_message.Message):
    __slots__ = ("request",)
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    request: bytes
    def __init__(self, request: _Optional[bytes] = ...) -> None: ...
