"""Texts with placeholders, ``{{ path }}``, filled in one pass.

A value is data, whatever it says: what it brings is not looked at again, so a response that holds
``{{ references.answer }}`` shows just that. A path is names with dots between them and list indices
in brackets, ``item.messages[0].content``. It reaches the keys of dicts and the elements of lists,
nothing else: no attributes, no calls, no files.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from itertools import islice
from typing import Any, cast

MAX_CHARS = 32 * 2**20
"""A text that would be longer when it is filled is refused."""
MAX_STEPS = 64
MAX_KEYS_COMPARED = 64
"""Where there are more keys, or one is longer, none is looked for that is nearly it."""

_BRACES = re.compile(r"\{\{([^{}]*)\}\}")
_BLANKS = " \t\r\n"
_FIRST = re.compile(r"[A-Za-z_]")
_STEP = re.compile(r"\.?([^.\[\]{}]+)|\[([0-9]{1,9})\]")


class TemplateFault(ValueError):
    """A template cannot be filled with what there is."""


class MissingKey(TemplateFault):
    """A path leads nowhere; the message says where it ends and what there is instead."""

    def __init__(self, path: str, why: str = "") -> None:
        super().__init__(path, why)
        self.path = path
        self.why = why

    def __str__(self) -> str:
        return f"{{{{{self.path}}}}}" + (f": {self.why}" if self.why else " is not known")


class TooLong(TemplateFault):
    """The filled text would be longer than `MAX_CHARS`."""


def render(template: str, lookup: Callable[[str], str]) -> str:
    """The template with each placeholder replaced by what `lookup` gives for its path.

    `lookup` gets the path as it stands between the braces, without the white space around it, and
    raises `MissingKey` where there is none. Braces that hold no path (one begins with a letter or
    an underscore) stay as they are.

    Raises:
        MissingKey: as `lookup`.
        TooLong: the text would be longer than `MAX_CHARS`.
    """
    pieces: list[str] = []
    end = total = 0
    for match, path in _placeholders(template):
        value = lookup(path)
        pieces += (template[end : match.start()], value)
        total += match.start() - end + len(value)
        if total > MAX_CHARS:
            raise TooLong(f"the filled text is longer than {MAX_CHARS} characters")
        end = match.end()
    return "".join([*pieces, template[end:]])


def placeholders(template: str) -> tuple[str, ...]:
    """The paths of the placeholders, each once, in their order."""
    return tuple(dict.fromkeys(path for _, path in _placeholders(template)))


def _placeholders(template: str) -> Iterator[tuple[re.Match[str], str]]:
    # White space is stripped here: in the expression it would be tried at every length of the path.
    for match in _BRACES.finditer(template):
        path = match[1].strip(_BLANKS)
        if _FIRST.match(path):
            yield match, path


def find(path: str, root: Mapping[str, Any]) -> Any:
    """What the path leads to in `root`, a JSON object.

    Raises:
        MissingKey: the path is malformed, or leads nowhere.
    """
    value: Any = root
    for step in steps(path):
        value = _inside(value, step, path)
    return value


def steps(path: str) -> tuple[str | int, ...]:
    """The path, taken apart: a name is a `str`, an index an `int`.

    Raises:
        MissingKey: it is malformed.
    """
    found: list[str | int] = []
    at = 0
    while at < len(path):
        match = _STEP.match(path, at)
        # The first step is a name without a dot, all other names have one.
        if match is None or (match[1] is not None and (match[0][0] == ".") is (at == 0)):
            raise MissingKey(path, "want names with dots between them, and indices in brackets")
        if match[1] is None and not found:
            raise MissingKey(path, "want a name first")
        if len(found) == MAX_STEPS:
            raise MissingKey(path, f"longer than {MAX_STEPS} steps")
        found.append(match[1] if match[1] is not None else int(match[2]))
        at = match.end()
    if not found:
        raise MissingKey(path, "want a name first")
    return tuple(found)


def text_of(value: Any, path: str) -> str:
    """A JSON value as it stands in a text: a string as it is, anything else as compact JSON.

    Raises:
        MissingKey: it is no JSON value, or nested too deep.
    """
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise MissingKey(path, f"cannot be written as JSON: {error}") from None


def _inside(value: Any, step: str | int, path: str) -> Any:
    if isinstance(step, str) and isinstance(value, Mapping):
        known = cast("Mapping[str, Any]", value)
        if step in known:
            return known[step]
        few = len(known) <= MAX_KEYS_COMPARED and len(step) <= MAX_KEYS_COMPARED
        near = get_close_matches(step, map(str, known), n=1) if few else []
        there = f"did you mean {near[0]!r}?" if near else f"there are: {_names(known)}"
        raise MissingKey(path, f"there is no {step!r}; {there}")
    if isinstance(step, int) and isinstance(value, list):
        elements = cast("Sequence[Any]", value)
        if step < len(elements):
            return elements[step]
        raise MissingKey(path, f"there is no [{step}]; the list has {len(elements)} elements")
    raise MissingKey(path, f"{step!r} is looked for in {type(value).__name__}")


def _names(known: Mapping[str, Any]) -> str:
    names = ", ".join(sorted(str(name)[:80] for name in islice(known, 16)))
    return names + ("…" if len(known) > 16 else "") or "none"
