"""Where a judge is and what it takes: the part of a configuration that names an endpoint."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

_Positive = Annotated[float, Field(gt=0, le=1e12)]


def _address(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("want an address like https://host/v1")
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError("want an address without user, query and fragment; keys go to api_key_env")
    return url.rstrip("/")


class Endpoint(BaseModel):
    """An OpenAI-compatible API. The limits are those of each replica: it knows of no others."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    base_url: Annotated[str, Field(max_length=2048), AfterValidator(_address)]
    """What stands before ``/chat/completions``: ``https://api.openai.com/v1``."""
    api_key_env: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    """The environment variable that holds the key, in the replica's process."""
    api_key_file: Annotated[str, Field(min_length=1, max_length=4096)] | None = None
    """The file that holds the key; read anew for each call, so that keys can be changed."""
    models: Mapping[str, str] = Field(default_factory=dict[str, str])
    """From a model's name in the contract to its name here: the full name, else what follows its
    last slash, else ``*``; what is not found keeps its name."""
    concurrency: Annotated[int, Field(ge=1, le=65_536)] = 256
    """Calls in flight; more wait in their order."""
    requests_per_minute: _Positive | None = None
    tokens_per_minute: _Positive | None = None
    timeout_s: Annotated[float, Field(gt=0, le=3600)] = 60.0
    """The longest that one call may take."""
    structured: bool = True
    """It takes ``response_format`` with a JSON schema. False: the schema is told in words."""
    max_tokens_field: Literal["max_completion_tokens", "max_tokens"] = "max_completion_tokens"
    """The name that it has for the limit of tokens."""

    @model_validator(mode="after")
    def _one_key(self) -> Endpoint:
        if self.api_key_env is not None and self.api_key_file is not None:
            raise ValueError("want either `api_key_env` or `api_key_file`")
        return self

    def model_for(self, name: str) -> str:
        """What the endpoint calls the model that the contract calls `name`."""
        for known in (name, name.rsplit("/", 1)[-1], "*"):
            if known in self.models:
                return self.models[known]
        return name

    def key(self) -> str:
        """The key, "" where there is none. Reads a file of a line: cheap enough for each call.

        Raises:
            ValueError: the configuration names one, and there is none.
        """
        if self.api_key_env is not None:
            key = os.environ.get(self.api_key_env, "").strip()
            where = f"environment variable {self.api_key_env}"
        elif self.api_key_file is not None:
            where = self.api_key_file
            try:
                key = Path(where).read_text(encoding="ascii").strip()
            except (OSError, ValueError) as error:
                raise ValueError(f"the key of {self.base_url} cannot be read: {error}") from None
        else:
            return ""
        if not key or not key.isascii() or not key.isprintable():
            raise ValueError(f"{where} holds no key for {self.base_url}")
        return key
