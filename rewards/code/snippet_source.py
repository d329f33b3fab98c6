"""Source text of a reward function, looked at without running it."""

from __future__ import annotations

import ast
import warnings
from typing import Literal

Shape = Literal["evaluate", "grade"]

PARAMETERS: dict[Shape, tuple[str, str]] = {
    "evaluate": ("example", "response"),
    "grade": ("sample", "item"),
}
"""The parameters of each shape: Gemini's and OpenAI's."""
MAX_SOURCE_BYTES = 256_000


class BadSource(ValueError):
    """The source cannot be a reward function; the message says why."""


def check_source(source: str, max_bytes: int = MAX_SOURCE_BYTES) -> Shape:
    """The shape of the function that the source defines at its top level.

    Raises:
        BadSource: it is too large, does not compile, defines neither `evaluate` nor `grade`, or
            both, or one that does not take its two arguments.
    """
    size = len(source.encode("utf-8", "surrogatepass"))
    if size > max_bytes:
        raise BadSource(f"{size} bytes; at most {max_bytes}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an odd escape in foreign source is not our concern
            tree = ast.parse(source, "<snippet>")
            compile(tree, "<snippet>", "exec")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise BadSource(f"does not compile: {error}") from None
    found = {
        node.name: node
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name in PARAMETERS
    }
    if len(found) != 1:
        what = "defines both evaluate and grade" if found else "defines no function"
        raise BadSource(f"{what}; want evaluate(example, response) or grade(sample, item)")
    ((name, function),) = found.items()
    if isinstance(function, ast.AsyncFunctionDef):
        raise BadSource(f"{name} is async; want a plain function")
    shape: Shape = "evaluate" if name == "evaluate" else "grade"
    _check_parameters(shape, function.args)
    return shape


def _check_parameters(shape: Shape, given: ast.arguments) -> None:
    names = [argument.arg for argument in (*given.posonlyargs, *given.args)]
    needed = len(names) - len(given.defaults)
    optional_keywords = all(default is not None for default in given.kw_defaults)
    fits = needed <= 2 and (len(names) >= 2 or given.vararg is not None) and optional_keywords
    if not fits:
        wanted = ", ".join(PARAMETERS[shape])
        raise BadSource(f"{shape}({', '.join(names)}) does not take ({wanted})")
