"""The program in a response."""

from __future__ import annotations

import ast
import re
import warnings
from typing import Literal

Which = Literal["last", "first", "none"]

_FENCE = re.compile(
    r"^[ \t]*(`{3,}|~{3,})[ \t]*([^\n`]*)\n(.*?)^[ \t]*\1[ \t]*$", re.MULTILINE | re.DOTALL
)
_OPEN = re.compile(r"^[ \t]*(`{3,}|~{3,})[ \t]*([^\n`]*)\n(.*)\Z", re.MULTILINE | re.DOTALL)
_PYTHON = {"python", "py", "python3", "py3"}


def find_program(text: str, which: Which = "last") -> str | None:
    """The program that a response gives; None: it gives none.

    The last (or the first) fenced block that is marked as Python, else the last that is not marked,
    else the text of a block that was opened and never closed, else, without any fence, the whole
    text. `which` "none": the whole text, fences or not. Blank is no program.
    """
    if which == "none":
        return text if text.strip() else None
    blocks = [(match[2].strip().lower(), match[3]) for match in _FENCE.finditer(text)]
    marked = [body for mark, body in blocks if mark.split(" ")[0] in _PYTHON]
    found = marked or [body for mark, body in blocks if not mark]
    if not found and not blocks:
        cut = _OPEN.search(text)
        found = [cut[3] if cut else text]
    program = found[-1 if which == "last" else 0] if found else ""
    return program if program.strip() else None


def compiles(program: str) -> bool:
    """Whether it is Python at all."""
    return _tree(program) is not None


def functions_of(program: str) -> tuple[str, ...]:
    """The names of the functions that the program defines at its top level, each once."""
    tree = _tree(program)
    body = tree.body if tree is not None else []
    return tuple(dict.fromkeys(node.name for node in body if isinstance(node, ast.FunctionDef)))


def _tree(program: str) -> ast.Module | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an odd escape in a model's program
            return ast.parse(program)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
