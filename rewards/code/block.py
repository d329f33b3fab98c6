"""The program in a response."""

from __future__ import annotations

import ast
import re
import warnings
from typing import Any, Literal

Which = Literal["last", "first", "none"]

MAX_CHARS = 65_536
"""As contests have it. Programs are parsed where all items would wait for one that is larger."""

_LINE = re.compile(r"([ \t]*)(`{3,}|~{3,})([^\n`]*)")
_PYTHON = {"python", "py", "python3", "py3"}


def find_program(text: str, which: Which = "last") -> str | None:
    """The program that a response gives; None: it gives none.

    The last (or the first) fenced block that is marked as Python, else the last that is not marked,
    else the text of a block that was opened and never closed, else, without any fence, the whole
    text. `which` "none": the whole text, fences or not. Blank is no program, nor is what has more
    than `MAX_CHARS`.
    """
    found = _found(text, which)
    return found if found.strip() and len(found) <= MAX_CHARS else None


def _found(text: str, which: Which) -> str:
    if which == "none":
        return text
    blocks, rest = _blocks(text)
    marked = [body for mark, body in blocks if mark.partition(" ")[0] in _PYTHON]
    found = marked or [body for mark, body in blocks if not mark]
    if not found and not blocks:
        found = [rest]
    return found[-1 if which == "last" else 0] if found else ""


def _blocks(text: str) -> tuple[list[tuple[str, str]], str]:
    """The fenced blocks, as mark and body; and where there is none, what a fence opens, or all.

    Each line is looked at once: a response may be made of fences that never close.
    """
    lines = text.split("\n")
    fences = [_LINE.fullmatch(line.rstrip("\r")) for line in lines]
    last = {m[2]: i for i, m in enumerate(fences) if m is not None and not m[3].strip()}
    blocks: list[tuple[str, str]] = []
    opened: re.Match[str] | None = None
    begin, first_open = 0, -1
    for index, fence in enumerate(fences):
        if fence is None:
            continue
        if opened is None:
            first_open = index if first_open < 0 else first_open
            if last.get(fence[2], -1) > index:
                opened, begin = fence, index + 1
        elif fence[2] == opened[2] and not fence[3].strip():
            indent = opened[1]
            body = "".join(line.removeprefix(indent) + "\n" for line in lines[begin:index])
            blocks.append((opened[3].strip().lower(), body))
            opened = None
    return blocks, "\n".join(lines[first_open + 1 :]) if first_open >= 0 else text


def compiles(program: str) -> bool:
    """Whether it is Python at all."""
    return _compiled(program) is not None  # a tree alone may have a `return` outside, and such


def functions_of(program: str) -> tuple[str, ...]:
    """The names of the functions that the program defines at its top level, each once."""
    tree = _tree(program)
    found: dict[str, None] = {}
    for node in tree.body if tree is not None else ():
        if isinstance(node, ast.FunctionDef):
            found[node.name] = None
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Lambda | ast.Call):
            # f = lambda x: …, f = lru_cache(None)(g)
            found.update((t.id, None) for t in node.targets if isinstance(t, ast.Name))
    return tuple(found)


def names_read(code: str) -> frozenset[str]:
    """The names that stand anywhere in the code."""
    tree = _tree(code)
    nodes = ast.walk(tree) if tree is not None else ()
    return frozenset(node.id for node in nodes if isinstance(node, ast.Name))


def _tree(program: str) -> ast.Module | None:
    return _compiled(program, ast.PyCF_ONLY_AST)


def _compiled(program: str, flags: int = 0) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an odd escape in a model's program
            return compile(program, "<program>", "exec", flags, dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
