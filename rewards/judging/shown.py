"""What a judge is shown: a template filled with an example and a response, as one message.

A value is data, whatever it says. It stands in a fence of more backticks than it holds, what looks
like a control token of a chat template is taken apart so that a tokenizer reads it as text, and a
value is never looked at for placeholders.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from ..reading.span import LookIn, span
from ..references import reference
from ..text.chat import Message, media_of
from ..text.template import TemplateFault, placeholders, render, text_of
from ..types import Content, Example, InvalidInput, Response

REFERENCES = "references."
NAMES = ("prompt", "response", "thoughts", "system_instruction")
SHOW = """Here is a prompt and a response to it.

Prompt:
{{ prompt }}

Response:
{{ response }}"""
"""The template where a configuration has none."""

_TICKS = re.compile(r"`+")
_TAGS = (
    r"think|thinking|image|audio|video|bos|eos|pad|unk|mask|s|start_of_turn|end_of_turn"
    r"|start_of_image|end_of_image|image_soft_token|audio_soft_token|tool_call|tool_response"
)
_CONTROL = re.compile(
    r"<(?=\|[^|<>\n]{1,64}\|>|\|\w{1,64}>|\w{1,64}\|>|｜[^｜<>\n]{1,64}｜>|/?(?:" + _TAGS + r")>"
    r"|seed:\w{1,32}>|extra_id_\d{1,4}>|SPECIAL_\d{1,4}>|</?SYS>>|｜)"
    r"|\[(?=/?(?:INST|SYSTEM_PROMPT|IMG|IMG_END|IMG_BREAK|AUDIO|BEGIN_AUDIO|TOOL_CALLS"
    r"|TOOL_RESULTS|AVAILABLE_TOOLS|THINK)\])"
    r"|◁(?=/?think▷)|\](?=~!?b[\[\]])|\[(?=e~\[)"
)
_MARK = "\0"


def as_data(text: str) -> str:
    """The text with what looks like a control token taken apart: ``<|im_end|>`` → ``< |im_end|>``.

    Linear in the text's length.
    """
    return _CONTROL.sub(lambda match: match[0] + " ", text)


def fenced(text: str) -> str:
    """The text between two lines of backticks, more of them than stand together in it."""
    longest = max((len(ticks) for ticks in _TICKS.findall(text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{text}\n{fence}"


def prompt_text(turns: Sequence[Content]) -> str:
    """One turn as its text; of several it is told who says what."""
    if len(turns) == 1:
        return turns[0].text
    return "\n\n".join(f"{turn.role or 'user'}: {turn.text}" for turn in turns)


def thoughts_of(response: Response, answer: str) -> str:
    """What the response thought: parts that are marked so, and what precedes the answer."""
    parts = [
        part.data
        for turn in response.turns
        for part in turn.parts
        if part.thought and isinstance(part.data, str)
    ]
    at = response.text.rfind(answer) if answer else len(response.text)
    return "\n".join(filter(None, [*parts, response.text[: max(0, at)].strip()]))


class Shown:
    """A template, taken apart once."""

    def __init__(self, template: str, look_in: LookIn = "answer") -> None:
        """Takes a template with placeholders of `NAMES` and ``references.KEY``.

        Raises:
            ValueError: it has others, or NUL.
        """
        if _MARK in template:
            raise ValueError("a template holds no NUL")
        paths = placeholders(template)
        unknown = [path for path in paths if path not in NAMES and not path.startswith(REFERENCES)]
        if unknown:
            want = ", ".join([*NAMES, REFERENCES + "KEY"])
            raise ValueError(f"{{{{{unknown[0]}}}}} is not known; want {want}")
        self.paths = paths
        self.reference_keys = tuple(
            path.removeprefix(REFERENCES).partition(".")[0].partition("[")[0]
            for path in paths
            if path.startswith(REFERENCES)
        )
        # Values come in afterwards, so that nothing that they bring is taken for a placeholder.
        marked = render(template, lambda path: f"{_MARK}{path}{_MARK}")
        self._pieces = marked.split(_MARK)
        self._look_in: LookIn = look_in

    def message(self, example: Example, response: Response) -> Message:
        """The user's turn that shows them, with images and sounds after the text they belong to.

        Raises:
            InvalidReference: a reference that the template names is missing.
            InvalidInput: media of a kind that no judge takes.
        """
        return joined(self.parts(example, response))

    def parts(self, example: Example, response: Response) -> list[Any]:
        """The same in pieces: texts, and parts of messages."""
        pieces: list[Any] = []
        for index, piece in enumerate(self._pieces):
            if index % 2 == 0:
                pieces.append(piece)
                continue
            pieces.append(fenced(as_data(self._value(piece, example, response))))
            if piece == "prompt":
                pieces += media_of(example.contents)
            elif piece == "response":
                pieces += media_of(response.turns)
        return pieces

    def _value(self, path: str, example: Example, response: Response) -> str:
        if path == "prompt":
            return prompt_text(example.contents)
        if path == "system_instruction":
            return "" if example.system_instruction is None else example.system_instruction.text
        if path.startswith(REFERENCES):
            try:
                key = path.removeprefix(REFERENCES)
                return text_of(reference(example, response, key), path)
            except TemplateFault as error:
                raise InvalidInput(str(error)) from None
        answer = span(response.text, self._look_in)
        return answer if path == "response" else thoughts_of(response, answer)


def joined(pieces: Iterable[Any]) -> Message:
    """Texts and parts as one message of the user: a text alone where there are no media."""
    parts: list[Message] = []
    for piece in pieces:
        if not isinstance(piece, str):
            parts.append(piece)
        elif parts and parts[-1].get("type") == "text":
            parts[-1] = {"type": "text", "text": parts[-1]["text"] + piece}
        elif piece:
            parts.append({"type": "text", "text": piece})
    if len(parts) == 1 and parts[0].get("type") == "text":
        return {"role": "user", "content": parts[0]["text"]}
    return {"role": "user", "content": parts}
