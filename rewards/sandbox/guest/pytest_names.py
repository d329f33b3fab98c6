"""What tests take from pytest, without pytest: `raises`, `approx`, `fixture`, `mark.parametrize`.

A name that is not here is an ImportError, so that tests which want more are not run by halves.
"""

from __future__ import annotations

import cmath
import inspect
import itertools
import re
import types
import unittest
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NoReturn, cast

_ROWS, _FIXTURE, _SKIPPED = "__test_rows__", "__is_fixture__", "__is_skipped__"


def module() -> types.ModuleType:
    """A module by the name of pytest."""
    made = types.ModuleType("pytest")
    names = {"raises": raises, "approx": Approx, "fixture": fixture, "mark": Mark(), "param": Row}
    made.__dict__.update(names, main=_main, fail=_fail, __getattr__=_missing)
    return made


def module_for_programs() -> types.ModuleType:
    """The same for a program that has tests of its own: nobody runs them, whatever they want."""
    made = module()
    made.__dict__.update(mark=_Marks(), fixture=_unmarked, __getattr__=_anything)
    return made


def run(name: str, names: Mapping[str, Any]) -> None:
    """Calls a test function for each of its rows, with its fixtures."""
    function = names[name]
    if getattr(function, _SKIPPED, False):
        return
    for row in getattr(function, _ROWS, [{}]):
        _called(function, names, row)


class Row:
    """One row of parameters."""

    def __init__(self, *values: Any, **_marks: Any) -> None:
        self.values = values


class Mark:
    """Decorators; those that only name a test leave it as it is."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name == "parametrize":
            return _parametrize
        if name in ("skip", "xfail"):
            return _skip
        if name in ("skipif", "usefixtures", "asyncio"):
            _missing(f"mark.{name}")
        return _unmarked


class _Marks:
    def __getattr__(self, name: str) -> Any:
        return _anything(name)


class Approx:
    """A number, or numbers in a list, a tuple or a dict, that others are near."""

    def __init__(self, expected: Any, rel: float | None = None, abs: float | None = None) -> None:
        self._expected = expected
        self._near = rel, abs

    def __eq__(self, other: object) -> bool:
        wanted: Any = _listed(self._expected)
        other = _listed(other)
        if isinstance(wanted, Mapping):
            found, wants = cast("Any", other), cast("Mapping[Any, Any]", wanted)
            if not isinstance(other, dict) or found.keys() != wants.keys():
                return False
            return all(found[key] == Approx(wants[key], *self._near) for key in wants)
        if isinstance(wanted, list | tuple):
            wants, found = cast("Any", wanted), cast("Any", other)
            if not isinstance(other, list | tuple) or len(found) != len(wants):
                return False
            pairs = zip(list(found), list(wants), strict=True)
            return all(f == Approx(w, *self._near) for f, w in pairs)
        if not isinstance(other, int | float | complex) or isinstance(wanted, str | bool | None):
            return bool(other == wanted)
        if cmath.isinf(wanted):  # all is near what is infinitely far
            return bool(other == wanted)
        rel, most = self._near
        relative = (1e-6 if rel is None else rel) * abs(wanted)
        if rel is None and most is not None:
            relative = 0.0
        return wanted == other or bool(
            abs(other - wanted) <= max(relative, 1e-12 if most is None else most)
        )

    __hash__ = None  # type: ignore[assignment] - as pytest's

    def __repr__(self) -> str:
        return f"approx({self._expected!r})"


def _listed(value: Any) -> Any:
    """An array, or a number, of numpy as Python's."""
    return value.tolist() if type(value).__module__ == "numpy" else value


class _Raises:
    def __init__(self, expected: Any, match: str | None) -> None:
        self._expected = expected
        self._match = match
        self.value: Any = None
        self.type: Any = None

    def __enter__(self) -> _Raises:
        return self

    def __exit__(self, kind: Any, error: BaseException | None, _traceback: Any) -> bool:
        if error is None:
            raise AssertionError(f"DID NOT RAISE {self._expected}")
        # What is no Exception is of the program's end, which no test expects.
        if not isinstance(error, Exception) or not isinstance(error, self._expected):
            return False
        if self._match is not None and not re.search(self._match, str(error)):
            raise AssertionError(f"{error} does not match {self._match}")
        self.value, self.type = error, kind
        return True


def raises(expected: Any, *call: Any, match: str | None = None, **keywords: Any) -> Any:
    """Holds where what stands under it, or the call, raises what is expected."""
    held = _Raises(expected, match)
    if not call:
        return held
    with held:
        call[0](*call[1:], **keywords)
    return held


def fixture(function: Any = None, **options: Any) -> Any:
    """Marks what makes an argument of the tests."""
    for name in ("autouse", "params", "name"):
        if options.get(name):
            _missing(f"fixture({name}=…)")
    if function is None:
        return fixture
    setattr(function, _FIXTURE, True)
    return function


def _parametrize(names: Any, rows: Iterable[Any], **options: Any) -> Callable[[Any], Any]:
    if options.get("indirect"):
        _missing("mark.parametrize(indirect=…)")
    split = [n.strip() for n in names.split(",")] if isinstance(names, str) else list(names)
    made: list[dict[str, Any]] = []
    for row in rows:
        values = row.values if isinstance(row, Row) else (row if len(split) > 1 else (row,))
        made.append(dict(zip(split, values, strict=True)))

    def mark(function: Any) -> Any:
        if not inspect.isroutine(function):
            _missing("mark.parametrize of a class")
        before = getattr(function, _ROWS, [{}])
        setattr(function, _ROWS, [{**a, **b} for a, b in itertools.product(before, made)])
        return function

    return mark


def _unmarked(*arguments: Any, **_options: Any) -> Any:
    if len(arguments) == 1 and (inspect.isroutine(arguments[0]) or inspect.isclass(arguments[0])):
        return arguments[0]
    return _unmarked


def _skip(*arguments: Any, **_options: Any) -> Any:
    if len(arguments) == 1 and inspect.isroutine(arguments[0]):
        setattr(arguments[0], _SKIPPED, True)
        return arguments[0]
    if len(arguments) == 1 and inspect.isclass(arguments[0]):
        return unittest.skip("marked")(arguments[0])
    return _skip


def _called(function: Any, names: Mapping[str, Any], row: Mapping[str, Any]) -> Any:
    arguments = dict(row)
    for name, parameter in inspect.signature(function).parameters.items():
        if name not in arguments and parameter.default is parameter.empty:
            maker = names.get(name)
            if not getattr(maker, _FIXTURE, False):
                raise ImportError(f"no fixture gives {name}")
            arguments[name] = _called(maker, names, {})
    made = function(**arguments)
    return next(made) if inspect.isgenerator(made) else made


def _main(*_arguments: Any, **_options: Any) -> int:
    """The tests are run one by one."""
    return 0


def _fail(reason: str = "") -> NoReturn:
    raise AssertionError(reason)


def _anything(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    return _unmarked


def _missing(name: str) -> NoReturn:
    if name.startswith("__"):
        raise AttributeError(name)
    raise ImportError(f"pytest.{name} is not to be had here")
