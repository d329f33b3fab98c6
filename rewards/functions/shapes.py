"""The shapes of custom functions, recognised by the names of their parameters.

============= ========================================================== ========== =============
shape         called with                                                gets       from
============= ========================================================== ========== =============
evaluate      example, response                                          one item   Gemini
grade         sample, item                                               one item   OpenAI
compute_score data_source, solution_str, ground_truth, extra_info        one item   verl
trl           prompts, completions, and a list for each reference        one group  TRL
score_group   example, responses                                         one group  rewardplane
class         a class with score(items), and setup() where it needs one  any items  rewardplane
============= ========================================================== ========== =============
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

from ..reward import Unit
from .importing import LoadError

ShapeName = Literal["evaluate", "grade", "compute_score", "trl", "score_group", "class"]


@dataclass(slots=True, frozen=True)
class Shape:
    """A way to call: the parameters in their order, those that tell it, and what one call gets."""

    name: ShapeName
    parameters: tuple[str, ...]
    told_by: tuple[str, ...]
    unit: Unit
    whole_group: bool = False


SHAPES: Mapping[ShapeName, Shape] = {
    shape.name: shape
    for shape in (
        Shape("evaluate", ("example", "response"), ("example", "response"), Unit.ITEM),
        Shape("grade", ("sample", "item"), ("sample", "item"), Unit.ITEM),
        Shape(
            "compute_score",
            ("data_source", "solution_str", "ground_truth", "extra_info"),
            ("solution_str", "ground_truth"),
            Unit.ITEM,
        ),
        Shape("trl", ("prompts", "completions"), ("completions",), Unit.GROUP),
        Shape("score_group", ("example", "responses"), ("example", "responses"), Unit.GROUP, True),
        Shape("class", ("items",), ("items",), Unit.SHARD),
    )
}

_KINDS = inspect.Parameter
_OPEN = (_KINDS.VAR_POSITIONAL, _KINDS.VAR_KEYWORD)


@dataclass(slots=True, frozen=True)
class Call:
    """How to call one function: which of the arguments at hand it takes, and how."""

    function: Any
    shape: Shape
    by_position: bool
    takes: frozenset[str] | None
    """The names of its parameters; None where it takes any name."""
    columns: tuple[str, ...]
    """The references that a function of shape `trl` cannot do without."""
    fixed: Mapping[str, Any]
    """Arguments from the configuration, the same at every call."""
    is_async: bool

    def __call__(self, arguments: Mapping[str, Any]) -> Any:
        """Calls with those of the arguments that the function takes, and the fixed ones."""
        given = {**arguments, **self.fixed}
        positional = [given.pop(n) for n in self.shape.parameters] if self.by_position else []
        if self.takes is not None:
            given = {name: value for name, value in given.items() if name in self.takes}
        return self.function(*positional, **given)


def recognise(path: str, found: Any, wanted: ShapeName | None) -> Shape:
    """The shape of what was found at `path`; `wanted` overrides what its parameters tell.

    Raises:
        LoadError: it has no shape or several, or cannot be called at all.
    """
    if inspect.isclass(found):
        if wanted not in (None, "class"):
            raise LoadError(f"{path} is a class; `shape: {wanted}` is for functions")
        if not callable(getattr(found, "score", None)):
            raise LoadError(f"{path} is a class without a method score(items)")
        return SHAPES["class"]
    if not callable(found):
        raise LoadError(f"{path} is {type(found).__name__}, want a function or a class")
    if wanted == "class":
        raise LoadError(f"{path} is no class; `shape: class` is for classes")
    if wanted is not None:
        return SHAPES[wanted]
    names = _signature(path, found).parameters
    matches = [
        shape for shape in SHAPES.values() if shape.name != "class" and {*shape.told_by} <= {*names}
    ]
    if len(matches) == 1:
        return matches[0]
    told = ", ".join(names) or "none"
    if matches:
        found_names = " and ".join(shape.name for shape in matches)
        raise LoadError(f"{path} ({told}) fits {found_names}; say which with `shape:`")
    table = "; ".join(f"{s.name}({', '.join(s.parameters)})" for s in SHAPES.values())
    raise LoadError(f"the parameters of {path} ({told}) fit no shape; there are: {table}")


def call_for(path: str, function: Any, shape: Shape, fixed: Mapping[str, Any]) -> Call:
    """How to call a function (of shape `class`: the method `score` of an instance).

    Raises:
        LoadError: it wants what it will not get, or will not take what `fixed` gives it.
    """
    parameters = _signature(path, function).parameters
    takes_any = any(p.kind is _KINDS.VAR_KEYWORD for p in parameters.values())
    plain = [name for name, p in parameters.items() if p.kind not in _OPEN]
    by_position = not all(
        name in plain and parameters[name].kind is not _KINDS.POSITIONAL_ONLY
        for name in shape.told_by
    )
    _refuse_unknown(path, fixed, None if takes_any else plain, shape.parameters)
    if by_position:
        plain = _after_positional(path, parameters, shape)
    supplied = {*fixed, *(() if by_position else shape.parameters)}
    missing = [n for n in plain if n not in supplied and parameters[n].default is _KINDS.empty]
    if missing and shape.name != "trl":
        raise LoadError(
            f"{path} also wants {', '.join(missing)}, which shape {shape.name!r} does not give; "
            "set them under `kwargs:`"
        )
    takes = None if takes_any else frozenset(plain)
    return Call(function, shape, by_position, takes, tuple(missing), fixed, is_async(function))


def call_for_class(path: str, cls: Any, fixed: Mapping[str, Any]) -> Call:
    """How to make the instance of a class; `is_async` is of its method `score`.

    Raises:
        LoadError: it cannot be made with the keyword arguments `fixed`.
    """
    try:
        _signature(path, cls).bind(**fixed)
    except TypeError as error:
        raise LoadError(f"{path} cannot be made with `kwargs:` {sorted(fixed)}: {error}") from None
    if is_async(getattr(cls, "setup", None)):
        raise LoadError(f"{path}.setup must not be async: it runs before there is an event loop")
    return Call(cls, SHAPES["class"], False, None, (), fixed, is_async(cls.score))


def is_async(function: Any) -> bool:
    """Whether calling it gives an awaitable: `async def`, behind partials and `__call__` too.

    What a plain function returns in the end cannot be told without calling it.
    """
    while isinstance(function, functools.partial):
        function = cast("functools.partial[Any]", function).func
    if inspect.iscoroutinefunction(function):
        return True
    call = getattr(function, "__call__", None)  # noqa: B004 - the method is looked at, not called
    return inspect.iscoroutinefunction(call)


def _signature(path: str, function: Any) -> inspect.Signature:
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):
        raise LoadError(f"the parameters of {path} are not known; wrap it in a function") from None


def _after_positional(
    path: str, parameters: Mapping[str, inspect.Parameter], shape: Shape
) -> list[str]:
    """The parameters that are left after the shape's arguments were passed by position."""
    count = len(shape.parameters)
    ordered = [
        n
        for n, p in parameters.items()
        if p.kind in (_KINDS.POSITIONAL_ONLY, _KINDS.POSITIONAL_OR_KEYWORD)
    ]
    takes_more = any(p.kind is _KINDS.VAR_POSITIONAL for p in parameters.values())
    if len(ordered) < count and not takes_more:
        raise LoadError(
            f"{path} takes {len(ordered)} arguments, shape {shape.name!r} gives {count}: "
            f"{', '.join(shape.parameters)}"
        )
    return [n for n, p in parameters.items() if n not in ordered[:count] and p.kind not in _OPEN]


def _refuse_unknown(
    path: str, fixed: Mapping[str, Any], known: Collection[str] | None, given: Collection[str]
) -> None:
    unknown = [name for name in fixed if known is not None and name not in known]
    if unknown:
        raise LoadError(f"{path} does not take {', '.join(unknown)}, which `kwargs:` sets")
    taken = [name for name in fixed if name in given]
    if taken:
        raise LoadError(f"`kwargs:` must not set {', '.join(taken)}: the call gives it")
