"""Runs test code on a program that lies in another sandbox.

The test code is the data set's, and the expected values stand in it. What it does to the program
goes out as an answer, C and JSON, whose question in return is what came of it. The first question
is P: its answer, N, says which names the program owes. Then G with what the program defines and a
test's number runs that test; its answer, D, says what came of it.
"""

from __future__ import annotations

import ast
import importlib
import io
import json
import random
import sys
import unittest
from typing import Any, cast

from . import pytest_names
from .channel import Channel
from .remote import Link, ProgramEnded
from .source import said
from .test_code import FAILED, PASSED, Plan, Unit, plan


def main(request: bytes, channel: Channel) -> None:
    """`request`: JSON with `cases`, `setup`, `prompt` and `entry_point`."""
    order: dict[str, Any] = json.loads(request)
    entry_point: str = order["entry_point"]
    if channel.receive() is None:
        return
    sys.stdin = io.StringIO()
    sys.modules["pytest"] = pytest_names.module()
    unittest.main = unittest.TestProgram = cast("Any", _no_main)
    try:
        found = plan(order)
    except (SyntaxError, ValueError, RecursionError) as error:
        channel.send(b"N" + json.dumps({"broken": said(error)}).encode())
        return
    told = {
        "wanted": found.wanted,
        "shared": found.shared,
        "places": found.places,
        "asserts": [unit.asserts for unit in found.units],
        "constants": [[n for n in found.constants if n in unit.read] for unit in found.units],
        "tested": [[n for n in found.constants if n in unit.tested] for unit in found.units],
    }
    channel.send(b"N" + json.dumps(told).encode())
    while (question := channel.receive()) is not None:
        asked: dict[str, Any] = json.loads(question[1:])
        unit: int = asked["unit"]
        run = _Run(channel, found, asked["names"], entry_point)
        channel.send(b"D" + json.dumps(run.result(found.units[unit])).encode())


def _no_main(*_arguments: Any, **_keywords: Any) -> None:
    """In place of unittest.main: the tests are run one by one."""


class _Run:
    """One test, with names of its own."""

    def __init__(
        self, channel: Channel, found: Plan, defined: dict[str, Any], entry_point: str
    ) -> None:
        self._plan = found
        self._defined = defined
        self._entry_point = entry_point
        self._passed: set[int] = set()
        self._failed: dict[int, str] = {}
        self._missing = ""
        self._raised = False
        self._names: dict[str, Any] = {"__name__": "tests", "__builtins__": __builtins__}
        self._broken = ""
        if found.prompt is not None:
            try:
                exec(found.prompt, self._names)  # noqa: S102 - the data set's
            except Exception:  # noqa: BLE001 - a prompt need not be a program
                self._names = {"__name__": "tests", "__builtins__": __builtins__}
        shared = {n: self._names[n] for n in found.shared if isinstance(self._names.get(n), type)}
        self._link = Link(channel, shared)

    def result(self, unit: Unit) -> dict[str, Any]:
        """Runs it."""
        random.seed(0)
        ended = True
        try:
            self._bind()
            self._go(unit)
        except BaseException as error:  # noqa: BLE001 - the data set's, and what the program gave it
            ended = False
            self._note(-1, error)
        if self._link.ended:
            ended = False
        return {
            "passed": sorted(self._passed - self._failed.keys()),
            "failed": {str(number): why for number, why in self._failed.items()},
            "ended": ended,
            "program_ended": self._link.ended,
            "uncrossed": self._link.uncrossed,
            "broken": self._broken,
            "missing": self._missing,
            "raised": self._raised,
            "calls": self._link.calls,
        }

    def _bind(self) -> None:
        for name, module in self._plan.imports.items():
            self._names[name] = importlib.import_module(module)
        for name, kind in self._defined.items():
            self._names[name] = self._link.bind(name, kind)
        self._names[PASSED], self._names[FAILED] = self._note_passed, self._note
        exec(self._plan.setup, self._names)  # noqa: S102 - the data set's

    def _go(self, unit: Unit) -> None:
        exec(unit.code, self._names)  # noqa: S102 - the data set's
        if len(unit.entry) == 1:
            pytest_names.run(unit.entry[0], self._names)
        elif unit.entry:
            self._run_method(*unit.entry)
        elif self._entry_point and "check" in self._names:
            tree = ast.parse(self._entry_point, mode="eval")
            candidate = eval(compile(tree, "<tests>", "eval"), self._names)  # noqa: S307 - the data set's
            self._names["check"](candidate)

    def _run_method(self, owner: str, method: str) -> None:
        result = unittest.TestResult()
        unittest.TestSuite([self._names[owner](method)]).run(result)
        for _test, why in (*result.errors, *result.failures):
            self._note(-1, AssertionError(why.strip().splitlines()[-1]))
            for line in why.splitlines():
                if line.startswith("NameError: name '"):
                    self._missing = line.split("'")[1]

    def _note_passed(self, number: int) -> None:
        if not self._link.ended:
            self._passed.add(number)

    def _note(self, number: int, error: BaseException) -> None:
        if not self._failed:
            self._raised = error is self._link.last_error
        self._failed.setdefault(number, said(error))
        if isinstance(error, NameError) and error.name:
            self._missing = error.name
        if isinstance(error, MemoryError):
            self._broken = "MemoryError"
        elif self._link.ended:
            if number >= 0:
                raise error
        elif isinstance(error, ImportError) or not isinstance(error, Exception):
            # Neither is of the program's making: what it raises comes as something else.
            self._broken = said(error)


__all__ = ["ProgramEnded", "main"]
