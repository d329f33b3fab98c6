"""The one table between call errors and gRPC: canonical code and `google.rpc` details, both ways.

A failed call carries `grpc-status-details-bin` with a `google.rpc.Status` that holds `ErrorInfo`
(reason, domain "rewardplane", metadata), and where it applies `BadRequest` and `RetryInfo`
(https://google.aip.dev/193).
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any, cast

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from .errors import (
    DOMAIN,
    CallError,
    DeadlineExceeded,
    IncompleteGroup,
    InlineCode,
    InsufficientIsolation,
    Internal,
    InvalidRequest,
    NotReady,
    Overloaded,
    PermissionDenied,
    QuotaExceeded,
    Unauthenticated,
    UnknownReward,
    VersionGone,
)
from .messages import clean

DETAILS_KEY = "grpc-status-details-bin"

_CODES: dict[type[CallError], grpc.StatusCode] = {
    InvalidRequest: grpc.StatusCode.INVALID_ARGUMENT,
    UnknownReward: grpc.StatusCode.NOT_FOUND,
    VersionGone: grpc.StatusCode.FAILED_PRECONDITION,
    IncompleteGroup: grpc.StatusCode.FAILED_PRECONDITION,
    InsufficientIsolation: grpc.StatusCode.FAILED_PRECONDITION,
    InlineCode: grpc.StatusCode.PERMISSION_DENIED,
    Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    PermissionDenied: grpc.StatusCode.PERMISSION_DENIED,
    Overloaded: grpc.StatusCode.RESOURCE_EXHAUSTED,
    QuotaExceeded: grpc.StatusCode.RESOURCE_EXHAUSTED,
    NotReady: grpc.StatusCode.UNAVAILABLE,
    DeadlineExceeded: grpc.StatusCode.DEADLINE_EXCEEDED,
    Internal: grpc.StatusCode.INTERNAL,
}
_REASONS: dict[str, type[CallError]] = {error.reason: error for error in _CODES}

# Clients refuse trailing metadata above 8 KiB, and the message travels percent-encoded: 9 bytes for
# one CJK character. The details, base64-encoded, hold the longer text.
_MAX_HEADER_CHARS = 200
_MAX_MESSAGE_BYTES = 1_500
_MAX_FIELD_BYTES = 400
_MAX_DETAILS_BYTES = 4_096

Trailers = tuple[tuple[str, bytes], ...]
_Metadata = Iterable[tuple[str, str | bytes]]


def code_of(error: CallError) -> grpc.StatusCode:
    """The status code of an error."""
    return _CODES.get(type(error), grpc.StatusCode.INTERNAL)


def encode(error: CallError) -> tuple[grpc.StatusCode, str, Trailers]:
    """The status code, the message and the trailing metadata that tell a client of the error.

    Long messages are cut, and violations and metadata that do not fit are left out.
    """
    if type(error) is Overloaded and not error.metadata:
        # Under load the same is said a thousand times a second.
        return _overloaded(error.message, error.retry_after_s)
    return _encoded(error)


@lru_cache(256)
def _overloaded(message: str, retry_after_s: float) -> tuple[grpc.StatusCode, str, Trailers]:
    return _encoded(Overloaded(message, retry_after_s=retry_after_s))


def _encoded(error: CallError) -> tuple[grpc.StatusCode, str, Trailers]:
    code = code_of(error)
    text = _cut(error.message, _MAX_MESSAGE_BYTES)
    number = cast("tuple[int, str]", code.value)[0]
    status = status_pb2.Status(code=number, message=text)
    info = error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN)
    room = _MAX_DETAILS_BYTES - 256 - status.ByteSize()
    for key, value in error.metadata.items():
        name, words = _cut(key, _MAX_FIELD_BYTES), _cut(value, _MAX_FIELD_BYTES)
        size = len(name.encode()) + len(words.encode()) + 8
        if size <= room // 2:
            room -= size
            info.metadata[name] = words
    status.details.add().Pack(info)
    if isinstance(error, InvalidRequest) and error.violations:
        request = error_details_pb2.BadRequest()
        for field, fault in error.violations:
            violation = error_details_pb2.BadRequest.FieldViolation(
                field=_cut(field, _MAX_FIELD_BYTES), description=_cut(fault, _MAX_FIELD_BYTES)
            )
            room -= violation.ByteSize() + 8
            if room < 0:
                break
            request.field_violations.append(violation)
        status.details.add().Pack(request)
    if isinstance(error, Overloaded):
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromNanoseconds(max(0, int(error.retry_after_s * 1e9)))
        status.details.add().Pack(retry)
    return code, text[:_MAX_HEADER_CHARS], ((DETAILS_KEY, status.SerializeToString()),)


def _cut(text: str, most_bytes: int) -> str:
    return clean(text[:most_bytes]).encode()[:most_bytes].decode(errors="ignore")


def decode(error: grpc.RpcError) -> CallError:
    """The error that a failed call tells of, from the service or from gRPC itself.

    Without details of ours: UNAVAILABLE, and a cancellation that was not the caller's, are
    `NotReady`; RESOURCE_EXHAUSTED with RetryInfo is `Overloaded`, and without it `InvalidRequest`,
    for that is how gRPC refuses a message too large, which will be no smaller next time;
    everything that has no class is `Internal`.
    """
    # `grpc.RpcError` itself declares nothing; the errors of calls are calls too.
    call = cast("Any", error)
    code = cast("grpc.StatusCode", call.code())
    text = cast("str | None", call.details()) or code.name
    status = status_pb2.Status()
    info = error_details_pb2.ErrorInfo()
    request = error_details_pb2.BadRequest()
    retry = error_details_pb2.RetryInfo()
    retry_after_s: float | None = None
    try:
        for key, value in cast("_Metadata | None", call.trailing_metadata()) or ():
            if key == DETAILS_KEY and isinstance(value, bytes):
                status.ParseFromString(value)
        for detail in status.details:
            if detail.Unpack(retry):
                retry_after_s = retry.retry_delay.ToNanoseconds() / 1e9
            else:
                _ = detail.Unpack(info) or detail.Unpack(request)
    except DecodeError:
        text += " (with details that cannot be read)"
    violations = [(v.field, v.description) for v in request.field_violations]
    if info.domain != DOMAIN:
        return _foreign(code, text, violations, retry_after_s)
    kind = _REASONS.get(info.reason) or type(_foreign(code, text, violations, retry_after_s))
    return _made(kind, status.message or text, dict(info.metadata), violations, retry_after_s)


def _foreign(
    code: grpc.StatusCode,
    text: str,
    violations: list[tuple[str, str]],
    retry_after_s: float | None,
) -> CallError:
    """The error for a status that the service's own code did not set."""
    kind: type[CallError] = Internal
    message = f"{code.name}: {text}"
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        kind = InvalidRequest if retry_after_s is None else Overloaded
        if retry_after_s is None:
            message = f"refused as too large: {text}"
    elif code is grpc.StatusCode.CANCELLED:
        kind = NotReady
    else:
        for known in (
            NotReady,
            DeadlineExceeded,
            InvalidRequest,
            Unauthenticated,
            PermissionDenied,
        ):
            if _CODES[known] is code:
                kind = known
    return _made(kind, message, {"grpc_code": code.name}, violations, retry_after_s)


def _made(
    kind: type[CallError],
    message: str,
    metadata: dict[str, str],
    violations: list[tuple[str, str]],
    retry_after_s: float | None,
) -> CallError:
    if kind is InvalidRequest:
        return InvalidRequest(message, metadata, violations)
    if issubclass(kind, Overloaded) and retry_after_s is not None:
        return kind(message, metadata, retry_after_s)
    return kind(message, metadata)
