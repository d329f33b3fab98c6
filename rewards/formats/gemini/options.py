"""How this service runs a Gemini reward where Google's documents are silent, and what it may reach.

Each default is ours, not Google's; docs/gemini.md lists them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Seconds = Annotated[float, Field(gt=0, le=3600)]


class _Options(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Undocumented(_Options):
    """The cases of which the contract says nothing."""

    no_answer: Literal["wrong", "error"] = "wrong"
    """`regexExtractExpression` finds nothing, or the response has no such JSON key. `wrong`: the
    wrong answer's reward (code and Cloud Run get an empty text). `error`: INVALID_INPUT."""
    missing_reference: Literal["error", "empty"] = "error"
    """``{{references.key}}`` without such a reference. `error`: INVALID_REFERENCE."""
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
    on_sample_error: Literal["skip", "error"] = "skip"
    """Of a judge's several samples, those that fail are left out of the mean, or fail all."""
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


class Token(_Options):
    """Where the bearer token of Cloud Run calls comes from: one of the three."""

    env: str | None = None
    """An environment variable of the replica's process."""
    file: str | None = None
    """A file, read anew for each call."""
    google_id_token: bool = False
    """An ID token of this machine's service account, from Google's metadata server."""
    audience: str | None = None
    """Whom the ID token is for. None: scheme and host of the URI."""
    metadata_url: str = "http://metadata.google.internal"

    @model_validator(mode="after")
    def _one_source(self) -> Token:
        if sum((self.env is not None, self.file is not None, self.google_id_token)) != 1:
            raise ValueError("want exactly one of `env`, `file`, `google_id_token`")
        return self


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
