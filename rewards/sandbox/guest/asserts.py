"""Runs assert statements on a program that lies in another sandbox.

The test code is the data set's, and the expected values stand in it; the program's functions are
here by name only. Each call of one goes out as an answer, `{"call": [name, arguments, keywords]}`,
whose question in return is what came of it. The last answer counts the assert statements: which
passed, which failed, and whether the test code ran to its end.
"""

from __future__ import annotations

import ast
import builtins
import io
import json
import random
import sys
from typing import Any, cast

from .channel import Channel
from .stdin_cases import said
from .values import MAX_DEPTH, Unplain, dump, load

_NOT_THEIRS = (StopIteration, StopAsyncIteration, ImportError)
"""What a program may not raise in the tests: these steer the tests' own code."""
_PASSED, _FAILED = "__rewardplane_passed__", "__rewardplane_failed__"


class SolutionFault(Exception):
    """What the program raised, where it is no exception of Python's own."""


class _Asserts(ast.NodeTransformer):
    """Has each assert statement noted, passed or failed, and the next ones run all the same."""

    def __init__(self) -> None:
        self.count = 0

    def visit_Assert(self, node: ast.Assert) -> ast.AST:
        if isinstance(node.test, ast.Constant):  # HumanEval's: they say nothing of the program
            return node
        number = self.count
        self.count += 1
        template = (
            f"try:\n pass\n {_PASSED}({number})\n"
            f"except BaseException as __fault__:\n {_FAILED}({number}, __fault__)"
        )
        noted = cast("ast.Try", ast.parse(template).body[0])
        noted.body[0] = node
        for inner in ast.walk(noted):
            if not hasattr(inner, "lineno"):
                continue
            ast.copy_location(inner, node)
        return noted


class _Tests:
    def __init__(self, channel: Channel, order: dict[str, Any]) -> None:
        self._channel = channel
        self._order = order
        self.passed: set[int] = set()
        self.failed: dict[int, str] = {}
        self.uncrossed = ""

    def run(self) -> dict[str, Any]:
        tree = ast.parse(self._order["tests"], "<tests>")
        transformer = _Asserts()
        code = compile(transformer.visit(tree), "<tests>", "exec", dont_inherit=True)
        names: dict[str, Any] = {"__name__": "tests", "__builtins__": __builtins__}
        ended = True
        try:
            exec(self._order["prompt"], names)  # noqa: S102 - the data set's
        except Exception:  # noqa: BLE001 - a prompt need not be a program
            names = {"__name__": "tests", "__builtins__": __builtins__}
        for name in self._order["functions"]:
            names[name] = self._proxy(name)
        names[_PASSED], names[_FAILED] = self.passed.add, self._note
        try:
            exec(code, names)  # noqa: S102 - the data set's
            if self._order["entry_point"]:
                names["check"](names[self._order["entry_point"]])
        except ImportError:
            raise  # the tests want a package that is not here: no fault of the program
        except BaseException as error:  # noqa: BLE001 - what the program returned may break it
            ended = False
            self.failed.setdefault(-1, said(error))
        return {
            "asserts": transformer.count,
            "passed": sorted(self.passed - self.failed.keys()),
            "failed": {str(number): why for number, why in self.failed.items()},
            "ended": ended,
            "uncrossed": self.uncrossed,
        }

    def _note(self, number: int, error: BaseException) -> None:
        self.failed.setdefault(number, said(error))

    def _proxy(self, name: str) -> Any:
        def call(*arguments: Any, **keywords: Any) -> Any:
            try:
                question = dump([name, list(arguments), keywords])
            except Unplain as error:
                self.uncrossed = f"{name} is called with what cannot cross: {error}"
                raise
            self._channel.send(json.dumps({"call": question}).encode())
            answer = json.loads(self._channel.receive() or b"{}")
            if "value" in answer:
                # Half as deep as may cross: the tests may hand it back, within something else.
                return load(answer["value"], MAX_DEPTH // 2)
            kind, text = answer["raised"]
            known = getattr(builtins, kind, None)
            if (
                isinstance(known, type)
                and issubclass(known, Exception)
                and not issubclass(known, _NOT_THEIRS)
            ):
                raise known(text)
            raise SolutionFault(f"{kind}: {text}")

        call.__name__ = name
        return call


def main(request: bytes, channel: Channel) -> None:
    """`request`: JSON with `tests`, `prompt`, `functions` and `entry_point`.

    The first question is empty: it starts the tests.
    """
    order = json.loads(request)
    if channel.receive() is None:
        return
    random.seed(0)
    sys.stdin = io.StringIO()
    try:
        told = _Tests(channel, order).run()
    except BaseException as error:  # noqa: BLE001 - test code that is none
        told = {"broken": said(error)}
    channel.send(json.dumps({"done": told}).encode())
