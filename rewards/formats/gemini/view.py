"""What a reward sees of an answer: its text, and its content as Gemini writes it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ...text.protojson import response_dict
from ...types import Content, Response
from .options import Undocumented


def text_of(response: Response, options: Undocumented) -> str:
    """The text to parse: all text of the answer, joined by nothing."""
    if options.thoughts != "keep" or not response.turns:
        return response.text
    parts = response.turns[-1].parts
    return "".join(part.data for part in parts if isinstance(part.data, str))


def content_of(response: Response, options: Undocumented) -> dict[str, Any]:
    """The answer as it is, as a ``Content``: of a trajectory the last turn."""
    if response.turns:
        last = response.turns[-1]
        if options.thoughts == "drop":
            last = Content(last.role, [part for part in last.parts if not part.thought])
        response = replace(response, turns=[last])
    content = response_dict(response)
    content.pop("turns", None)
    return content


def text_content(text: str) -> dict[str, Any]:
    """A parsed answer as a ``Content``."""
    return {"role": "model", "parts": [{"text": text}]}
