"""Holds a program for tests that run in a sandbox of their own, and does to it what they do.

Each question is a number of 8 bytes, a letter and JSON; each answer has the number again. The first
question, L, has the candidates; its answer says which is the program and what it defines of the
names that the tests want, or that it raised. Each further one, C, is what the tests do: call a
function, make an object, use one. Objects of the program's own classes stay here, and are named by
numbers.
"""

from __future__ import annotations

import io
import json
import operator
import struct
import sys
from collections.abc import Callable
from typing import Any, cast

from .call_cases import program_names
from .channel import Channel
from .source import RECURSION_LIMIT, choose, said
from .streams import drop_output
from .values import Packer, Unpacker, Unplain

NUMBER = struct.Struct("<Q")
MAX_VALUE_CHARS = 100_000
_MISSING = object()
_OPERATIONS: dict[str, Callable[..., Any]] = {
    "len": len,
    "iter": list,
    "str": str,
    "repr": repr,
    "bool": bool,
    "next": next,
    "contains": operator.contains,
    "getitem": operator.getitem,
    "setitem": operator.setitem,
    "delitem": operator.delitem,
    "get": getattr,
    "set": setattr,
    **{
        name: getattr(operator, name)
        for name in ("eq", "ne", "lt", "le", "gt", "ge", "add", "sub", "mul", "truediv", "neg")
    },
    **{name: getattr(operator, name) for name in ("floordiv", "mod", "pow", "and_", "or_", "xor")},
}


def main(request: bytes, channel: Channel) -> None:
    """`request`: nothing. The program comes as the first question, whose time is limited."""
    del request
    question = channel.receive()
    if question is None:
        return
    number, order = question[: NUMBER.size], json.loads(question[NUMBER.size + 1 :])
    wanted: list[str] = order["wanted"]
    program = choose(order["candidates"], prompt=order["prompt"], wanted=wanted)
    if program is None:
        channel.send(number + b'N{"program": null}')
        return
    drop_output()
    sys.setrecursionlimit(RECURSION_LIMIT)
    sys.stdin = io.StringIO()
    names = program_names()
    try:
        exec(program.code, names)  # noqa: S102 - this is what it is for
    except BaseException as error:  # noqa: BLE001 - foreign code
        channel.send(number + _raised(error))
        return
    holder = _Holder(names, wanted, order["shared"])
    told = {"program": program.number, "names": holder.told()}
    channel.send(number + b"L" + json.dumps(told).encode())
    while (question := channel.receive()) is not None:
        number, asked = question[: NUMBER.size], question[NUMBER.size + 1 :]
        try:
            answer = b"V" + holder.do(asked).encode()
        except Unplain as error:
            answer = b"X" + f"it returned what is no plain value: {error}".encode()
        except BaseException as error:  # noqa: BLE001 - foreign code
            answer = _raised(error)
        channel.send(number + answer)


class _Holder:
    def __init__(self, names: dict[str, Any], wanted: list[str], shared: list[str]) -> None:
        self._names = names
        self._wanted = wanted
        self._held: list[Any] = []
        self._numbers: dict[int, int] = {}
        self._known: set[int] = set()
        self._gives = False
        classes = {n: names[n] for n in shared if isinstance(names.get(n), type)}
        self._classes: tuple[type[Any], ...] = tuple(classes.values())
        self._packer = Packer(classes, self._hold)
        self._unpacker = Unpacker(classes, self._found)

    def told(self) -> dict[str, Any]:
        """What it has of the wanted names: how each can be used."""
        found = {name: self._names.get(name, _MISSING) for name in self._wanted}
        here = {name: value for name, value in found.items() if value is not _MISSING}
        # A class behind those that it is derived from.
        depth = {n: len(v.__mro__) if isinstance(v, type) else 0 for n, v in here.items()}
        return {name: self._kind(here[name]) for name in sorted(here, key=depth.__getitem__)}

    def do(self, asked: bytes) -> str:
        """Does what the tests ask for; its result and, where they changed, the arguments."""
        what, target, arguments, keywords = self._unpacker.load(asked)
        # What an object gives that the tests know, they may know too.
        self._gives = id(target) in self._known
        if what == "name":
            return self._packer.dump([self._names[target], None])
        if what in _OPERATIONS:
            result = _OPERATIONS[what](target, *arguments)
            is_method = what == "get" and callable(result) and not isinstance(result, type)
            return '[{"m": 0}, null]' if is_method else self._packer.dump([result, None])
        function = self._names[target] if what == "call" else target
        if what == "method":
            function = getattr(target, arguments.pop(0))
        mutable = any(isinstance(a, (list, dict, set, *self._classes)) for a in arguments)
        before = self._packer.dump(arguments) if mutable else ""
        result = function(*arguments, **keywords)
        after = self._after(arguments) if mutable else ""
        changed = after if after and after != before else "null"
        return f"[{self._inner(result)}, {changed}]"

    def _inner(self, result: Any) -> str:
        text = self._packer.dump(result)
        # Objects stand at the top of a document only.
        return text if not text.startswith('{"O"') else json.dumps({"T": text})

    def _after(self, arguments: list[Any]) -> str:
        try:
            text = self._packer.dump(arguments)
        except Unplain:
            return ""
        return text if not text.startswith('{"O"') else json.dumps({"T": text})

    def _kind(self, value: Any) -> list[Any]:
        if isinstance(value, type):
            if issubclass(value, BaseException):
                return ["exception", _base(cast("type[Any]", value))]
            above = [c.__name__ for c in cast("type[Any]", value).__mro__[1:]]
            return ["class", [n for n in above if n in self._wanted]]
        if callable(value):
            return ["call"]
        try:
            packed = self._packer.dump(value)
        except Unplain:
            return ["held"]
        return ["value", packed] if len(packed) <= MAX_VALUE_CHARS else ["held"]

    def _hold(self, value: Any) -> Any:
        if isinstance(value, type):
            name = value.__name__
            if self._names.get(name) is not value:
                raise Unplain(f"the class {name}")
            return {"k": name}
        name = type(value).__name__
        named = name in self._wanted and self._names.get(name) is type(value)
        known = named or (self._gives and hasattr(value, "__dict__") and not callable(value))
        if known:
            self._known.add(id(value))
        number = self._numbers.setdefault(id(value), len(self._held))
        if number == len(self._held):
            self._held.append(value)
        return {"h": [number, name if known else ""]}

    def _found(self, packed: Any) -> Any:
        ((tag, inner),) = packed.items()
        if tag == "h":
            return self._held[inner[0]]
        if tag == "k":
            return self._names[inner]
        raise KeyError(tag)


def _raised(error: BaseException) -> bytes:
    if isinstance(error, MemoryError) or not isinstance(error, Exception):
        return b"X" + said(error).encode("utf-8", "replace")
    return b"R" + json.dumps(_told_of(error, _base(type(error)))).encode()


def _told_of(error: Exception, base: str) -> dict[str, Any]:
    """By the name of Python's own that it is derived from: the tests may catch that."""
    text = said(error)
    try:
        arguments = Packer().dump(list(error.args))
    except BaseException:  # noqa: BLE001 - arguments that do not cross, or are not there
        arguments = json.dumps([text.partition(": ")[2]])
    return {"type": type(error).__name__[:200], "base": base, "args": arguments, "said": text}


def _base(kind: type[Any]) -> str:
    return next(c.__name__ for c in kind.__mro__ if c.__module__ == "builtins")
