"""The program among the candidates of a response, found and compiled inside the sandbox.

Nothing here runs the program. Parsing and compiling a hostile text can take all the time and memory
there is, so that it is never done outside.
"""

from __future__ import annotations

import ast
import importlib
import sys
import textwrap
import traceback
import types
import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from . import pytest_names

FILE = "<program>"
MAX_SAID_CHARS = 300
_READS = frozenset({"input", "open", "fileinput", "stdin", "fdopen", "raw_input"})
_STARRED = (
    *("string", "re", "datetime", "collections", "heapq", "bisect", "copy", "math", "random"),
    *("statistics", "itertools", "functools", "operator", "io", "sys", "json", "builtins"),
    "typing",
)
_NAMED = (
    *("string", "re", "datetime", "collections", "heapq", "bisect", "copy", "math", "random"),
    *("statistics", "itertools", "functools", "operator", "io", "sys", "json", "typing"),
)
_STREAMS = ("stdin", "stdout", "stderr")
_OWN = (*_STREAMS, "open")
"""Looked up when the program runs: see `judge_machine`."""
RECURSION_LIMIT = 50_000
"""As the graders of LiveCodeBench set it."""


class Program(NamedTuple):
    """A candidate that compiles."""

    number: int
    """Of the candidate."""
    code: types.CodeType


def choose(
    candidates: Sequence[str], *, prompt: str = "", wanted: Iterable[str] = (), reads: bool = False
) -> Program | None:
    """The program; None: no candidate compiles.

    The first candidate that defines one of the `wanted` names, or where there are none and `reads`
    is set, that reads input; else the first that compiles. With a `prompt` a candidate may be what
    follows it: the body of the function that the prompt begins, indented or not.

    A program that names pytest, for tests of its own beside what is asked for, finds such a module.
    """
    program = _chosen(candidates, prompt, wanted, reads=reads)
    if program is not None and "pytest" in _names_in(program.code):
        sys.modules.setdefault("pytest", pytest_names.module_for_programs())
    return program


def _chosen(
    candidates: Sequence[str], prompt: str, wanted: Iterable[str], *, reads: bool
) -> Program | None:
    names = frozenset(wanted)
    first: Program | None = None
    only = len(candidates) == 1 and not prompt
    for indent in (False, True) if prompt else (False,):
        for number, text in enumerate(candidates):
            for whole in _wholes(text, prompt, indent=indent):
                code = _compiled(whole, ast.PyCF_ONLY_AST if not only else 0)
                if code is None:
                    continue
                fits = only or _fits(code, names, reads=reads)
                if not only and (fits or first is None):
                    code = _compiled(whole)
                if code is None:  # a tree alone may have a `return` outside, and such
                    continue
                found = Program(number, code)
                if fits:
                    return found
                if first is None and not indent:
                    first = found
    return first


def prelude(code: types.CodeType) -> dict[str, Any]:
    """Of the names that LiveCodeBench's and APPS' graders import before a program, those in it.

    Not all: in a forked process each that is touched copies a page.
    """
    names = {name: _PRELUDE[name] for name in _names_in(code) if name in _PRELUDE}
    return {**names, **{name: getattr(sys, name) for name in _STREAMS}}


def _names_in(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names_in(constant)


def said(error: BaseException) -> str:
    """What was raised, and where in the program."""
    try:
        lines = [
            f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename[0] == "<"
        ]
        at = f" (line {lines[-1]})" if lines else ""
        return f"{type(error).__name__}: {error}"[:MAX_SAID_CHARS] + at
    except BaseException:  # noqa: BLE001 - an exception's own __str__ may raise
        return type(error).__name__


def bound_names(body: Iterable[ast.stmt]) -> Iterator[tuple[str, ast.AST]]:
    """What statements bind, those within `if`, `try`, `with` and loops too; not in functions."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name, node
            continue
        if isinstance(node, ast.Import | ast.ImportFrom):
            for alias in node.names:
                yield alias.asname or alias.name.partition(".")[0], node
            continue
        for inner in ast.walk(node):
            if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store):
                yield inner.id, node
        for field in ("body", "orelse", "finalbody", "handlers", "cases"):
            for part in getattr(node, field, ()):
                yield from bound_names(part.body if not isinstance(part, ast.stmt) else [part])


def is_stub(node: ast.AST) -> bool:
    """Whether a function does nothing yet: a docstring, `pass`, `...` or NotImplementedError."""
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return False
    return all(
        isinstance(part, ast.Pass)
        or (isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant))
        or (isinstance(part, ast.Raise) and "NotImplementedError" in ast.dump(part))
        for part in node.body
    )


def _wholes(text: str, prompt: str, *, indent: bool) -> Iterator[str]:
    if not prompt:
        yield text
        return
    before = prompt if prompt.endswith("\n") else f"{prompt}\n"
    if indent:
        yield before + textwrap.indent(textwrap.dedent(text), "    ")
        return
    yield before + text
    yield text


def _fits(tree: Any, names: frozenset[str], *, reads: bool) -> bool:
    if names:
        last = dict(bound_names(tree.body))
        return any(
            (name in names and not is_stub(node)) or _has_method(node, names)
            for name, node in last.items()
        )
    if not reads:
        return True
    return any(
        (isinstance(node, ast.Name) and node.id in _READS)
        or (isinstance(node, ast.Attribute) and (node.attr in _READS or _is_os_read(node)))
        or (isinstance(node, ast.alias) and node.name in _READS)
        for node in ast.walk(tree)
    )


def _has_method(node: ast.AST, names: frozenset[str]) -> bool:
    return isinstance(node, ast.ClassDef) and any(
        name in names and not is_stub(inner) for name, inner in bound_names(node.body)
    )


def _is_os_read(node: ast.Attribute) -> bool:
    return node.attr == "read" and isinstance(node.value, ast.Name) and node.value.id == "os"


def _compiled(text: str, flags: int = 0) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an odd escape in a model's program
            return compile(text, FILE, "exec", flags, dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _make_prelude() -> dict[str, Any]:
    names: dict[str, Any] = {}
    for starred in _STARRED:
        module = importlib.import_module(starred)
        public = getattr(module, "__all__", None) or [n for n in vars(module) if n[0] != "_"]
        names.update((name, getattr(module, name)) for name in public if name not in _OWN)
    names.update((name, importlib.import_module(name)) for name in _NAMED)
    return names


_PRELUDE = _make_prelude()
