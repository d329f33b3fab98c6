"""Reward functions in pure Python: no gRPC, no Ray, no metrics, no protobuf.

Importing this package loads the standard library only; `base`, `registry` and `run` load pydantic.
"""

from .types import (
    Blob,
    Content,
    Example,
    FileData,
    FunctionCall,
    FunctionResponse,
    Group,
    InvalidInput,
    InvalidReference,
    InvalidResult,
    NotApplicable,
    Outcome,
    Part,
    RateLimited,
    Reason,
    Response,
    RewardFault,
    Score,
    ScoreError,
    Unavailable,
    reference,
    references,
)

__all__ = [
    "Blob",
    "Content",
    "Example",
    "FileData",
    "FunctionCall",
    "FunctionResponse",
    "Group",
    "InvalidInput",
    "InvalidReference",
    "InvalidResult",
    "NotApplicable",
    "Outcome",
    "Part",
    "RateLimited",
    "Reason",
    "Response",
    "RewardFault",
    "Score",
    "ScoreError",
    "Unavailable",
    "reference",
    "references",
]
