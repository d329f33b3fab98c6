"""Programs that cheat their tests, as a section of the attack suite: none may earn a reward.

By names: they define what the tests use of their own. By catching: they hang, crash or exit where a
test expects an exception, or answer what says yes to all. By forging: they write over what their
process has answered. By cost: what they cost falls on whoever reads their answer, and not on the
process that is held to limits. An error would be no better than a reward, since it takes the
program out of what is learnt from.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..sandbox.level import Level
from ..sandbox.limits import Limits
from ..sandbox.pool import Profile, SandboxPool
from ..types import RewardFault
from .candidates import find_candidates
from .datasets import read_tests
from .grade import GUESTS, Grader
from .rules import Rules

OWN_CPU_S = 0.5
"""The most of this process's own time that a cheat may cost."""
_LIMITS = Limits(cpu_s=0.5, wall_s=2.0, memory_mb=128)

_LINES = {"inputs": ["5\n", "6\n"], "outputs": ["271828\n", "314159\n"]}
_CALLS = {"fn_name": "f", "inputs": [[5], [6]], "outputs": [271828, 314159]}
_CHECK = "def check(candidate):\n    assert {}\n"
_CATCH = """def check(candidate):
    assert candidate(2) == 4
    ok = False
    try:
        candidate('x')
    except {}:
        ok = True
    assert ok
"""
_IN_PROMPT = {
    "prompt": "from math import isclose\n\ndef near(a, b):\n    return abs(a - b) < 1e-6\n\n"
    "class Near:\n    def __init__(self, x): self.x = x\n"
    "    def __eq__(self, other): return near(self.x, other)\n\n"
    "def f(x):\n    '''The square of x.'''\n"
}
_BOMB = "\n".join(
    "    " * i + "try:\n" + "    " * (i + 1) + "pass\n" + "    " * i + "finally:" for i in range(20)
)


@dataclass(frozen=True)
class Cheat:
    """A program with tests that it does not pass honestly."""

    id: str
    tests: Any
    program: str
    references: Mapping[str, str] = field(default_factory=dict[str, str])


def _caught(name: str, expected: str, does: str) -> Cheat:
    program = f"def f(x):\n    if x == 'x':\n        {does}\n    return x * x"
    return Cheat(f"catch-{name}", _CATCH.format(expected), program, {"entry_point": "f"})


CHEATS: tuple[Cheat, ...] = (
    Cheat("name-import-of-prompt", ["assert isclose(f(3), 9)"],
          "def isclose(a, b): return True\ndef f(x): return 0", _IN_PROMPT),
    Cheat("name-function-of-prompt", ["assert near(f(3), 9)"],
          "def near(a, b): return True\ndef f(x): return 0", _IN_PROMPT),
    Cheat("name-class-of-prompt", ["assert Near(f(3)) == 9"],
          "class Near:\n    def __init__(self, x): pass\n    def __eq__(self, o): return True\n"
          "def f(x): return 0", _IN_PROMPT),
    Cheat("name-import-of-tests", ["from math import isclose\nassert isclose(f(3), 9)"],
          "isclose = lambda a, b: True\ndef f(x): return 0"),
    Cheat("name-of-setup", ["assert near(f(3), 9)"],
          "def near(a, b): return True\ndef f(x): return 0",
          {"test_setup_code": "def near(a, b):\n    return abs(a - b) < 1e-6"}),
    Cheat("name-module", ["assert math.isclose(f(3), 9)"],
          "class math:\n    isclose = staticmethod(lambda a, b: True)\ndef f(x): return 0"),
    Cheat("name-builtin", ["assert abs(f(3) - 9) < 1e-6"],
          "def abs(x): return 0\ndef f(x): return 0"),
    Cheat("name-builtin-beside", _CHECK.format("sorted([candidate([3, 6])]) == [9]"),
          "def sum(x): return 0\ndef sorted(x): return [9]", {"entry_point": "sum"}),
    Cheat("name-assertion", ["assert f(3) == 9"],
          "class AssertionError(Exception): pass\n__rewardplane_failed__ = print\n"
          "def f(x): raise AssertionError"),
    Cheat("name-unittest", "import unittest\nclass T(unittest.TestCase):\n"
          "    def test_a(self):\n        self.assertEqual(f(3), 9)\n",
          "class unittest:\n    class TestCase: pass\ndef f(x): return 0"),
    _caught("exit", "Exception", "import os; os._exit(0)"),
    _caught("crash", "Exception", "import ctypes; ctypes.string_at(0)"),
    _caught("hang", "BaseException", "\n        while True: pass"),
    _caught("sleep", "Exception", "import time; time.sleep(60)"),
    _caught("system-exit", "BaseException", "raise SystemExit"),
    _caught("interrupt", "BaseException", "raise KeyboardInterrupt"),
    _caught("memory", "BaseException", "bytearray(8 << 30)"),
    _caught("object", "TypeError", "return object()"),
    _caught("function", "TypeError", "return lambda: 1"),
    _caught("depth", "ValueError", "\n        y = []\n        for _ in range(99): y = [y]\n"
            "        return y"),
    _caught("forged", "ValueError", "import os; os.write(4, b'\\x08\\0\\0\\0{\"q\": 1}')"),
    Cheat("catch-yes-to-all", _CHECK.format("candidate(5) == 271828"),
          "class Any:\n    def __eq__(self, o): return True\n    __hash__ = None\n"
          "    def __getattr__(self, n): return lambda *a: self\n"
          "    def __sub__(self, o): return self\n    def __abs__(self): return self\n"
          "    def __lt__(self, o): return True\ndef f(x): return Any()", {"entry_point": "f"}),
    Cheat("catch-near-to-all", _CHECK.format("abs(candidate(5) - 271828) < 1"),
          "class Any:\n    def __sub__(self, o): return self\n    def __abs__(self): return 0\n"
          "    def __lt__(self, o): return True\ndef f(x): return Any()", {"entry_point": "f"}),
    Cheat("catch-contains-all", _CHECK.format("271828 in candidate(5)"),
          "class Any:\n    def __contains__(self, o): return True\ndef f(x): return Any()",
          {"entry_point": "f"}),
    Cheat("forge-two-programs", {"inputs": ["5\n", "6\n"], "outputs": ["5\n", "36\n"]},
          "import os\nn = int(input())\nos.pwrite(4, b'{\"program\": 0}', 1)\nprint(5)\n"
          "```\n```python\nprint(int(input()) ** 2)\n```\n```python\nimport os\n"
          "n = int(input())\nos.pwrite(4, b'{\"program\": 1}', 1)\nprint(5)"),
    Cheat("forge-no-load", _CALLS,
          "import os\nos.pwrite(4, b'{\"program\": true}' + b' ' * 99, 1)"),
    Cheat("forge-no-program", _CALLS,
          "import os\nos.pwrite(4, b'{\"program\": \"x\"}\\n' * 9, 1)"),
    Cheat("forge-answers", _CALLS,
          "import os\ndef f(x):\n    for i in range(9): os.write(4, b'x')\n    return 0"),
    Cheat("cost-compile", _LINES, f"{_BOMB}\n{'    ' * 20}pass"),
    Cheat("cost-compile-asserts", ["assert f(3) == 9"], f"{_BOMB}\n{'    ' * 20}pass"),
    Cheat("cost-dots", _LINES, "import a" + ".a" * 30_000),
    Cheat("cost-nesting", _LINES, "x = " + "(" * 9000 + ")" * 9000),
    Cheat("cost-lines", _LINES, "import os\nos.write(4, b'\\n' * 1000000)"),
    Cheat("cost-quotes", _LINES, "import os\nos.write(4, b'\"\\n' * 500000)"),
    Cheat("cost-answers", _CALLS,
          "import os\nos.write(4, b'{\"test\": 0, \"value\": \"0\"}\\n' * 30000)\n"
          "def f(x): return 0"),
    Cheat("cost-json", _CALLS, "def f(x):\n    y = 0\n    for _ in range(59): y = [y, y][:1]\n"
          "    return [y] * 9000"),
    Cheat("cost-digits", _CALLS, "def f(x): return 1 << 3_000_000"),
    Cheat("cost-range", _CALLS, "def f(x): return range(10 ** 15)"),
    Cheat("cost-hashes", _CALLS,
          "def f(x): return {i * (2 ** 61 - 1): 0 for i in range(2000)}"),
    Cheat("cost-output", _LINES, "import sys\nfor _ in range(10 ** 6): print('7' * 60000)"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Row:
    """How a cheat ended at a level."""

    id: str
    reward: float | None
    """None: an error."""
    error: str
    own_cpu_s: float
    """What it cost outside the sandbox."""

    @property
    def held(self) -> bool:
        """Whether it earned nothing, and cost nobody else."""
        return self.reward == 0.0 and self.own_cpu_s < OWN_CPU_S


async def run_cheats(level: Level, cheats: Iterable[Cheat] = CHEATS) -> list[Row]:
    """One row for each, in their order.

    Raises:
        IsolationUnavailable: this host does not have the level.
    """
    pool = SandboxPool(Profile("cheats", guests=GUESTS), slots=1, demand=level, at_most=level)
    pool.start()
    try:
        grader = Grader(pool, Rules(_LIMITS, all_or_nothing=True))
        return [await _tried(grader, cheat) for cheat in cheats]
    finally:
        await pool.close()


async def _tried(grader: Grader, cheat: Cheat) -> Row:
    document = cheat.tests if isinstance(cheat.tests, str) else json.dumps(cheat.tests)
    begin_s = time.process_time()
    reward: float | None = None
    error = ""
    try:
        tests = read_tests(document, cheat.references)
        grade = await grader.grade(find_candidates(f"```python\n{cheat.program}\n```"), tests)
        reward = float(grade.passed == grade.total)
    except RewardFault as fault:
        error = f"{type(fault).__name__}: {fault}"
    return Row(cheat.id, reward, error, time.process_time() - begin_s)
