"""What pydantic finds wrong, in the words of a configuration file."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError

from .settings import RayActorOptions

_NESTED = {"ray_actor_options": list(RayActorOptions.__annotations__)}
_UNKNOWN = {"extra_forbidden", "unexpected_keyword_argument"}


def told(path: str, error: ValidationError, names: Iterable[str]) -> list[str]:
    """A line for each fault, with its path; `names` are those that stand directly below `path`."""
    known = list(names)
    return [_line(path, fault, known) for fault in error.errors()]


def _line(path: str, fault: Any, names: list[str]) -> str:
    *above, last = [str(part) for part in fault["loc"]] or [""]
    where = ".".join([path, *above, *([last] if last else [])])
    if fault["type"] in _UNKNOWN:
        there = names if not above else _NESTED.get(above[-1], [])
        near = get_close_matches(last, there, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        if not hint and above and there:
            hint = f"; want {', '.join(there)}"
        return f"{where}: unknown{hint}"
    message = str(fault["msg"]).removeprefix("Value error, ")
    if fault["type"] == "string_pattern_mismatch" and last == "function":
        message = "want MODULE:NAME, such as my_rewards:score"
    elif fault["type"] in ("tuple_type", "list_type"):
        message = "want a list: [a, b]"
    if message[:6] == "Input ":
        given = repr(fault.get("input"))
        message = f"want what {message[6:].removeprefix('should be ')}, not {given[:80]}"
        message = message.replace("want what ", "want ", 1)
    return f"{where}: {message}"
