"""An endpoint that is a model of the configuration: what it speaks, and when it is another one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit, urlunsplit

from pydantic import Field, model_validator

from ..http.endpoint import Endpoint
from .model import Head

Wire = Literal["chat", "decisions", "systemone", "classify"]
LabelsBy = Literal["auto", "logprob_token_ids", "top_logprobs", "structured", "text"]


class ModelEndpoint(Endpoint):
    """A model behind HTTP. It has one door in the whole service, so its limits are the service's.

    ========== ============================================== =================================
    wire       posts to                                       served by
    ========== ============================================== =================================
    chat       ``{base_url}/chat/completions``                OpenAI, vLLM, SGLang, LiteLLM …
    decisions  ``{base_url}/decisions``                       OpenAI, SGLang
    systemone  ``{base_url}/systemone``                       vLLM, ``transformers serve``
    classify   ``/classify`` of the server, without ``/v1``   vLLM's pooling runner
    ========== ============================================== =================================
    """

    name: Annotated[str, Field(min_length=1, max_length=512)]
    """What the endpoint calls the model."""
    wire: Wire = "chat"
    labels_by: LabelsBy = "auto"
    """How `chat` reads labels. `auto`: the first that works when the service starts, in this order.
    One that is named and does not work fails the start."""
    on_change: Literal["error", "strict", "tell"] = "error"
    """What happens when the endpoint says that it is another `model` than at first: `error`:
    MODEL_CHANGED; `strict`: so too for another `system_fingerprint`; `tell`: it is counted."""
    reports: Annotated[str, Field(min_length=1, max_length=512)] | None = None
    """The `model` that its answers must name. None: whatever the first answer names, if any."""
    request: Mapping[str, Any] = Field(default_factory=dict[str, Any])
    """Further fields of each request, such as ``chat_template_kwargs: {enable_thinking: false}``.
    They cannot override ours."""

    @model_validator(mode="after")
    def _one_name(self) -> ModelEndpoint:
        if self.models:
            raise ValueError("models: an endpoint under `models:` has one model, its `name`")
        if self.labels_by != "auto" and self.wire != "chat":
            raise ValueError(f"labels_by: is for the wire `chat`; {self.wire} has one way")
        return self

    def model_for(self, name: str) -> str:
        """Its one model."""
        del name
        return self.name

    @property
    def head(self) -> Head:
        """What it answers with."""
        return "scalar" if self.wire == "classify" else "chat"

    @property
    def root(self) -> str:
        """The server's own address: `base_url` without ``/v1``."""
        parts = urlsplit(self.base_url)
        return urlunsplit(parts._replace(path=parts.path.removesuffix("/v1"))).rstrip("/")
