"""The program as its tests see it: functions and classes by name, that lie in another sandbox.

An object of the program's own that a function returned is opaque here: it equals nothing, and has
attributes but no methods: the tests' values are never handed to these, which could say yes to all.
Objects of a class that the tests name are what is tested: their methods are the program's.
"""

from __future__ import annotations

import builtins
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NoReturn, cast

from .channel import Channel
from .values import MAX_DEPTH, Packer, Unpacker, Unplain

_NOT_THEIRS = (StopIteration, StopAsyncIteration, ImportError)
"""What a program may not raise in the tests: these steer the tests' own code."""


class ProgramEnded(BaseException):
    """The program hangs, crashed, exited or left the protocol. No test expects that."""


class Link:
    """Asks the program, and remembers what came of it."""

    def __init__(self, channel: Channel, shared: Mapping[str, type]) -> None:
        self._channel = channel
        self._packer = Packer(shared, _named)
        self._unpacker = Unpacker(shared, self._found)
        self._classes: dict[str, type[Any]] = {}
        self._exceptions: dict[str, type[Exception]] = {}
        self._shared = tuple(shared.values())
        self.calls = 0
        self.ended = ""
        """Why there is no program any more."""
        self.last_error: Exception | None = None
        """What the program raised last."""
        self.uncrossed = ""
        """Why the tests cannot be run: they hand over what cannot cross."""

    def bind(self, name: str, kind: list[Any]) -> Any:
        """What stands for a name of the program."""
        match kind:
            case ["class", bases]:
                return self._class(name, bases)
            case ["exception", str(base)]:
                return self._exception(name, base)
            case ["call"]:
                return _function(name, lambda *a, **k: self.ask("call", name, list(a), k))
            case ["value", str(packed)]:
                return self._unpacker.load(packed, MAX_DEPTH // 2)
            case _:
                return self.ask("name", name)

    def ask(
        self,
        what: str,
        target: Any,
        arguments: list[Any] | None = None,
        keywords: dict[str, Any] | None = None,
    ) -> Any:
        """What the program makes of it."""
        arguments = arguments or []
        if self.ended:
            raise ProgramEnded(self.ended)
        try:
            question = self._packer.dump([what, target, arguments, keywords or {}])
        except Unplain as error:
            self.uncrossed = f"the program is called with what cannot cross: {error}"
            raise
        self.calls += 1
        self._channel.send(b"C" + question.encode())
        answer = self._channel.receive() or b"X"
        if answer[:1] == b"R":
            self.last_error = self._error(json.loads(answer[1:]))
            raise self.last_error
        if answer[:1] != b"V":
            self._end(answer[1:].decode("utf-8", "replace"))
        try:
            result, changed = json.loads(answer[1:])
            value = self._loaded(result)
            if changed is not None:
                mine = arguments[1:] if what == "method" else arguments  # the name of the method
                self._change(mine, self._loaded(changed))
        except (ValueError, TypeError, RecursionError) as error:
            self._end(f"it answered what is no value: {error}")
        else:
            return value

    def _end(self, why: str) -> NoReturn:
        self.ended = why or "it ended"
        raise ProgramEnded(self.ended)

    def _loaded(self, packed: Any) -> Any:
        # A document with objects is a text within the answer.
        nested = cast("dict[str, str]", packed) if isinstance(packed, dict) else {}
        text = nested["T"] if "T" in nested else json.dumps(packed)
        # Half as deep as may cross: the tests may hand it back, within something else.
        return self._unpacker.load(text, MAX_DEPTH // 2)

    def _change(self, arguments: list[Any], changed: list[Any]) -> None:
        """Has what the program changed in place changed here."""
        for mine, its in zip(arguments, changed, strict=True):
            if type(mine) is not type(its):
                continue
            if isinstance(mine, list):
                mine[:] = its
            elif isinstance(mine, dict | set):
                _refill(mine, its)
            elif isinstance(mine, self._shared):
                _refill(vars(mine), vars(its))

    def _error(self, told: dict[str, Any]) -> Exception:
        kind = self._exceptions.get(told["type"]) or self._exception(told["type"], told["base"])
        try:
            arguments = self._unpacker.load(told["args"])
            return kind(*arguments)
        except Exception:  # noqa: BLE001 - UnicodeError and such want arguments of their own
            return RuntimeError(told["said"])

    def _exception(self, name: str, base: str) -> type[Exception]:
        known = getattr(builtins, base, Exception)
        if (
            not isinstance(known, type)
            or not issubclass(known, Exception)
            or issubclass(known, _NOT_THEIRS)
        ):
            known, name = Exception, "ProgramError"
        made = known if known.__name__ == name else type(name, (known,), {})
        self._exceptions[name] = cast("type[Exception]", made)
        return self._exceptions[name]

    def _class(self, name: str, bases: Sequence[str] = ()) -> type[Any]:
        if name not in self._classes:
            above = tuple(self._classes[base] for base in bases if base in self._classes)
            made = _ProgramClass(name, above or (_Known,), {"_link_of": self, "_name_of": name})
            self._classes[name] = made
        return self._classes[name]

    def attribute(self, owner: Any, name: str) -> Any:
        """An attribute of an object or a class; a method is asked for when it is called."""
        if name.startswith("__"):
            raise AttributeError(name)
        found = self.ask("get", owner, [name])
        if found is not _Method:
            return found
        return _function(name, lambda *a, **k: self.ask("method", owner, [name, *a], k))

    def _found(self, packed: dict[str, Any]) -> Any:
        ((tag, inner),) = packed.items()
        if tag == "k":
            return self._class(inner)
        if tag == "m":
            return _Method
        number, name = inner
        made: Any = object.__new__(self._class(name) if name else _Opaque)
        object.__setattr__(made, "_link", self)
        object.__setattr__(made, "_place", {"h": [int(number), name]})
        return made


class _Place:
    """Where an object lies, for `_named`."""

    def __init__(self, place: dict[str, Any]) -> None:
        self._place = place


class _Method:
    """What an attribute is that is called next."""


class _Opaque:
    """An object of the program's that the tests have no class for."""

    _link: Link
    _place: dict[str, Any]

    def __getattr__(self, name: str) -> Any:
        if name in ("_link", "_place") or name.startswith("__"):
            raise AttributeError(name)
        found = self._link.ask("get", self, [name])
        if found is _Method:
            raise AttributeError(f"{name} is a method of a class that the tests do not know")
        return found

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        return self._link.ask("method", self, ["__call__", *arguments], keywords)


class _ProgramClass(type):
    """The class of a class of the program's: making an object is asking for one."""

    _link_of: Link
    _name_of: str

    def __call__(cls, *arguments: Any, **keywords: Any) -> Any:
        return cls._link_of.ask("call", cls._name_of, list(arguments), keywords)

    def __getattr__(cls, name: str) -> Any:
        place = _Place({"k": cls._name_of})
        return cls._link_of.attribute(place, name)


class _Known(_Opaque):
    """An object of a class of the program's that the tests name, or that such an object gave."""

    def __getattr__(self, name: str) -> Any:
        if name in ("_link", "_place"):
            raise AttributeError(name)
        return self._link.attribute(self, name)

    def __enter__(self) -> Any:
        return self._link.ask("method", self, ["__enter__"])

    def __exit__(self, *_error: object) -> None:
        self._link.ask("method", self, ["__exit__", None, None, None])

    def __setattr__(self, name: str, value: Any) -> None:
        self._link.ask("set", self, [name, value])

    def __iter__(self) -> Iterator[Any]:
        return iter(self._link.ask("iter", self))

    def __eq__(self, other: object) -> bool:
        """Of two objects of the program's own the program decides."""
        if self is other:
            return True
        return isinstance(other, _Known) and self._link.ask("eq", self, [other]) is True

    def __hash__(self) -> int:
        return hash(str(self._place))


def _asked(what: str, of: _Known, arguments: list[Any]) -> Any:
    link: Link = object.__getattribute__(of, "_link")
    return link.ask(what, of, arguments)


def _forward(what: str) -> Callable[..., Any]:
    def method(self: _Known, *arguments: Any) -> Any:
        return _asked(what, self, list(arguments))

    return method


for _name in ("len", "str", "repr", "bool", "next", "contains", "getitem", "setitem", "delitem"):
    setattr(_Known, f"__{_name}__", _forward(_name))
for _name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "and", "or", "xor", "neg"):
    setattr(_Known, f"__{_name}__", _forward(f"{_name}_" if _name in ("and", "or") else _name))


def _compared(what: str) -> Callable[..., Any]:
    def method(self: _Known, other: object) -> Any:
        if not isinstance(other, _Known):
            return NotImplemented
        return _asked(what, self, [other]) is True

    return method


for _name in ("lt", "le", "gt", "ge"):
    setattr(_Known, f"__{_name}__", _compared(_name))


def _refill(mine: Any, its: Any) -> None:
    mine.clear()
    mine.update(its)


def _function(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
    call.__name__ = call.__qualname__ = name
    return call


def _named(value: Any) -> Any:
    """How an object of the program's is named to it."""
    if isinstance(value, _Opaque | _Place):
        return object.__getattribute__(value, "_place")
    if isinstance(value, type) and issubclass(cast("type[Any]", value), _Known):
        return {"k": value.__name__}
    raise Unplain(f"{cast('type[Any]', type(value)).__name__} is no plain value")
