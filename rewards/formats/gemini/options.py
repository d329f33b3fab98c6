"""How this service runs a Gemini reward where Google's documents are silent, and what it may reach.

Each default is ours, not Google's; docs/gemini.md lists them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ...http.token import Token

Seconds = Annotated[float, Field(gt=0, le=3600)]


class _Options(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Undocumented(_Options):
    """The cases of which the contract says nothing."""

    no_answer: Literal["wrong", "error"] = "wrong"
    """`regexExtractExpression` finds nothing in the *response*, or it has no such JSON key.
    `wrong`: the wrong answer's reward (code and Cloud Run get an empty text). `error`:
    INVALID_INPUT. A judge's answer that does not match is JUDGE_UNREADABLE either way."""
    missing_reference: Literal["error", "empty"] = "error"
    """``{{references.key}}`` without such a reference. `error`: INVALID_REFERENCE. An
    empty one that a response is compared with is INVALID_REFERENCE as well, but for exact
    comparisons under `empty`."""
    judge_labels: tuple[str, ...] | None = None
    """What a judge may answer under `exactMatchScorer` beside its expression: anything else is
    JUDGE_UNREADABLE. None: see `labels.is_label`."""
    escape_references: bool = False
    """In REGEX_CONTAINS, what a reference brings is text and no expression."""
    json_values: Literal["text", "wrong"] = "text"
    """A JSON value that is no string is compared as compact JSON, or is wrong."""
    thoughts: Literal["drop", "content", "keep"] = "drop"
    """Thoughts of the model are seen by nobody, by code and Cloud Run as parts marked so, or by
    all, as a part of the text too."""
    strip: bool = False
    """White space at both ends of a parsed text does not count."""
    dot_matches_newline: bool = False
    """In expressions ``.`` matches a line end, as with ``(?s)``."""
    prompt_roles: bool = False
    """``{{prompt}}`` has each turn's role before its text."""
    on_sample_error: Literal["skip", "error"] = "error"
    """A judge's sample that fails fails the item, or is left out of the mean: then the mean's
    noise depends on the judge's load, and a component `samples` tells how many there were."""
    on_member_error: Literal["error", "renormalise"] = "error"
    """A failed member fails a composite, or the others' weights make up the whole."""
    allow_negative_weights: bool = False
    """A composite may have members that count against it."""


class Code(_Options):
    """The limits of `codeExecutionRewardScorer`."""

    timeout_s: Seconds = 100.0
    """The longest that one call of `evaluate` may take."""
    retries: Annotated[int, Field(ge=0, le=5)] = 0
    """How often a call that timed out is run again. Google does so "several times"."""
    memory_mb: Annotated[int, Field(ge=64)] = 1024
    max_source_bytes: Annotated[int, Field(ge=1)] = 256 * 1024


class CloudRun(_Options):
    """How `cloudRunRewardScorer` calls out."""

    timeout_s: Seconds = 300.0
    """The longest that one request may take."""
    backoff_s: tuple[Annotated[float, Field(ge=0, le=600)], ...] = (2.0, 4.0, 8.0, 16.0, 32.0)
    """The waits before each further try after no connection, no answer, 408, 425, 429 or 5xx."""
    concurrency: Annotated[int, Field(ge=1, le=65_536)] = 512
    """Requests in flight in each replica; more wait."""
    token: Token | None = None
    metadata: Mapping[str, Any] = Field(default_factory=dict[str, Any])
    """What is sent as ``metadata``; Google sends ``step`` and ``tuningJobId``. Empty: nothing."""
    allowed_origins: tuple[str, ...] | None = None
    """Scheme and host of the only URIs that may be called. None: any."""
