"""What can be wrong with a whole call. What is wrong with one item is a `ScoreError` instead.

    CallError ─┬─ InvalidRequest         the request's shape: names the fields  INVALID_ARGUMENT
               ├─ UnknownReward          no reward of that name                 NOT_FOUND
               ├─ VersionGone            that version is not served (any more)  FAILED_PRECONDITION
               ├─ IncompleteGroup        a group reward got part of a group     FAILED_PRECONDITION
               ├─ InsufficientIsolation  the isolation demanded is not there    FAILED_PRECONDITION
               ├─ InlineCode             an inline configuration names code     PERMISSION_DENIED
               ├─ Unauthenticated        nothing valid proves who calls         UNAUTHENTICATED
               ├─ PermissionDenied       the caller may not do this             PERMISSION_DENIED
               ├─ Overloaded             come back after `retry_after_s`        RESOURCE_EXHAUSTED
               │    └─ QuotaExceeded     the caller's own quota is used up      RESOURCE_EXHAUSTED
               ├─ NotReady               starting, draining or out of reach     UNAVAILABLE
               ├─ DeadlineExceeded       the client's own deadline passed       DEADLINE_EXCEEDED
               └─ Internal               our bug; the log has the rest          INTERNAL

`reason` is stable and travels as `google.rpc.ErrorInfo.reason` under the domain "rewardplane". The
status codes stand in `status.py`, nowhere else. To add one: a class here and a row there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

DOMAIN = "rewardplane"


class CallError(Exception):
    """A call failed as a whole.

    `metadata` is what a program may want to know of it: text to text.
    """

    reason: ClassVar[str] = "INTERNAL"

    def __init__(self, message: str, metadata: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.metadata = dict(metadata or {})

    def __reduce__(self) -> tuple[type[CallError], tuple[object, ...]]:
        return type(self), (self.message, self.metadata)


class InvalidRequest(CallError):
    """The request breaks the contract; `violations` are (field path, what is wrong with it)."""

    reason = "INVALID_REQUEST"

    def __init__(
        self,
        message: str,
        metadata: Mapping[str, str] | None = None,
        violations: Sequence[tuple[str, str]] = (),
    ) -> None:
        super().__init__(message, metadata)
        self.violations = tuple(violations)

    def __reduce__(self) -> tuple[type[CallError], tuple[object, ...]]:
        return type(self), (self.message, self.metadata, self.violations)


class UnknownReward(CallError):
    """There is no reward of that name."""

    reason = "UNKNOWN_REWARD"


class VersionGone(CallError):
    """The reward exists, that version of it is not served."""

    reason = "VERSION_GONE"


class IncompleteGroup(CallError):
    """A reward of group scope got a part of a group."""

    reason = "INCOMPLETE_GROUP"


class InsufficientIsolation(CallError):
    """Untrusted code would run under less isolation than the call demands, or than can be had."""

    reason = "INSUFFICIENT_ISOLATION"


class InlineCode(CallError):
    """An inline configuration names code to import."""

    reason = "INLINE_CODE"


class Unauthenticated(CallError):
    """Nothing valid proves who calls; `metadata["why"]` says what is wrong: NO_CREDENTIALS, …."""

    reason = "UNAUTHENTICATED"


class PermissionDenied(CallError):
    """The caller is known and may not do this; `metadata["why"]`: UNKNOWN_CALLER, REWARD, …."""

    reason = "PERMISSION_DENIED"


class Overloaded(CallError):
    """There is no room for the call; `retry_after_s` is when there may be."""

    reason = "OVERLOADED"

    def __init__(
        self,
        message: str,
        metadata: Mapping[str, str] | None = None,
        retry_after_s: float = 1.0,
    ) -> None:
        super().__init__(message, metadata)
        self.retry_after_s = retry_after_s

    def __reduce__(self) -> tuple[type[CallError], tuple[object, ...]]:
        return type(self), (self.message, self.metadata, self.retry_after_s)


class QuotaExceeded(Overloaded):
    """A quota of the caller is used up; `metadata["quota"]` names it."""

    reason = "QUOTA_EXCEEDED"


class NotReady(CallError):
    """The service starts, drains or cannot be reached."""

    reason = "NOT_READY"


class DeadlineExceeded(CallError):
    """The client's deadline passed before the answer came."""

    reason = "DEADLINE_EXCEEDED"


class Internal(CallError):
    """A bug of the service."""

    reason = "INTERNAL"
