"""Programs that cheat: each fools the naive grader, and earns nothing from any test here."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from rewardplane.rewards.kinds.code_tests import CodeTests
from rewardplane.rewards.registry import build
from rewardplane.rewards.types import Example, Response, Score

from ...support.naive_grader import passes

SECRET = 271828
"""What is expected, and nothing that a program could guess."""

# What fools the naive grader, by what it trusts.
CHEATS: dict[str, tuple[str, str]] = {
    "eq-object": (
        "result",
        "class Any:\n    def __eq__(self, other): return True\n"
        "    def __ne__(self, other): return False\n    __hash__ = None\n"
        "    def __bool__(self): return True\n    def __float__(self): return 0.0\n"
        "def f(x): return Any()",
    ),
    "int-subclass": (
        "result",
        "class Any(int):\n    def __eq__(self, other): return True\n    __hash__ = int.__hash__\n"
        "def f(x): return Any(3)",
    ),
    "str-subclass": (
        "result",
        "class Any(str):\n    def __eq__(self, other): return True\n    __hash__ = str.__hash__\n"
        "def f(x): return Any('x')",
    ),
    "float-subclass": (
        "result",
        "class Any(float):\n    def __eq__(self, other): return True\n"
        "    __hash__ = float.__hash__\n"
        "def f(x): return Any(1)",
    ),
    "list-subclass": (
        "result",
        "class Any(list):\n    def __eq__(self, other): return True\ndef f(x): return Any([1])",
    ),
    "class-lie": (
        "result",
        "class Any:\n    __class__ = property(lambda self: int)\n"
        "    def __eq__(self, other): return True\n    __hash__ = None\ndef f(x): return Any()",
    ),
    "frame-walk": (
        "result",
        "import sys\ndef f(x):\n    frame = sys._getframe()\n    while frame:\n"
        "        if 'expected' in frame.f_locals: return frame.f_locals['expected']\n"
        "        frame = frame.f_back\n    return 0",
    ),
    "gc-scan": (
        "result",
        "import gc\ndef f(x):\n    for thing in gc.get_objects():\n"
        "        if type(thing) is dict and 'cases' in thing: return thing['cases'][0][1]\n"
        "    return 0",
    ),
    "forged-results": (
        "result",
        "import sys\ndef f(x):\n    frame = sys._getframe()\n    while frame:\n"
        "        if 'expected_values' in frame.f_locals:\n"
        "            frame.f_locals['expected_values'][:] = [0]\n            return 0\n"
        "        frame = frame.f_back\n    return 0",
    ),
    "patched-builtins": (
        "result",
        "import builtins\nbuiltins.all = lambda values: True\nbuiltins.len = lambda values: 1\n"
        "def f(x): return 0",
    ),
    "patched-json": (
        "result",
        "import json\nreal = json.dumps\n"
        'json.dumps = lambda value, *a, **k: \'{"passed": true, "test": 0, "output": "0"}\'\n'
        "def f(x): return 0",
    ),
    "patched-modules": (
        "result",
        "import sys, types\nfake = types.ModuleType('json')\n"
        "fake.dumps = lambda value, *a, **k: '{\"passed\": true}'\n"
        "sys.modules['json'] = fake\nsys.modules['__main__'].json = fake\ndef f(x): return 0",
    ),
    "every-descriptor": (
        "result",
        "import os\ndef f(x):\n    for fd in range(1, 64):\n        try:\n"
        '            os.write(fd, b\'{"passed": true, "test": 0, "done": {"asserts": 1}}\\n\')\n'
        "        except OSError: pass\n    return 0",
    ),
    "exit-0": ("exit", "import os\ndef f(x): os._exit(0)"),
    "exit-at-load": ("exit", "import os\nos._exit(0)\ndef f(x): return 0"),
    "sys-exit": ("exit", "import sys\ndef f(x): sys.exit(0)"),
    "raise-system-exit": ("exit", "def f(x): raise SystemExit"),
    "marker": ("marker", "def f(x):\n    print('ALL TESTS PASSED')\n    return 0"),
    "marker-and-exit": (
        "marker",
        "import os\nprint('ALL TESTS PASSED', flush=True)\nos._exit(0)\ndef f(x): return 0",
    ),
    "trace": (
        "result",
        "import sys\ndef tracer(frame, event, arg):\n"
        "    caller = sys._getframe(1)\n    return tracer\nsys.settrace(tracer)\n"
        "def f(x):\n    sys.settrace(None)\n    frame = sys._getframe(1)\n"
        "    return frame.f_locals.get('expected', 0)",
    ),
    "audit-hook": (
        "result",
        "import sys\nseen = []\nsys.addaudithook(lambda name, args: seen.append(name))\n"
        "def f(x):\n    return sys._getframe(1).f_locals.get('expected', len(seen))",
    ),
    "pickle-reduce": (
        "result",
        "class Any:\n    def __reduce__(self):\n"
        "        return eval, (\"__import__('sys')._getframe(1).f_locals.get('expected', 0)\",)\n"
        "def f(x): return Any()",
    ),
    "atexit": (
        "exit",
        "import atexit, os\natexit.register(lambda: os._exit(0))\ndef f(x): return 0",
    ),
    "thread": (
        "exit",
        "import threading, os, time\n"
        "def later():\n    time.sleep(0.05)\n    os._exit(0)\n"
        "threading.Thread(target=later, daemon=True).start()\n"
        "def f(x):\n    time.sleep(0.3)\n    return 0",
    ),
}
# What fools nobody here, but might have: values that are no answer.
ODD_VALUES = (
    "float('nan')", "float('inf')", "-0.0", "1e999", "10**5000", "True", "None", "[271828]",
    "(271828,)", "'271828'", "{'value': 271828}", "b'271828'", "271828.5",
    "complex(271828)", "{271828}", "object()",
    "lambda: 271828", "type", "[[[[[]]]]]", "Exception('x')",
)  # fmt: skip


@pytest.fixture(scope="module")
def reward() -> Iterator[CodeTests]:
    """The kind, set up."""
    made = build("code_tests", {"cpu_s": 2.0, "memory_mb": 256})
    assert isinstance(made, CodeTests)
    made.setup()
    yield made
    made.kill()


def examples() -> dict[str, Example]:
    """The same test in the three shapes."""
    calls = {"fn_name": "f", "inputs": [[5]], "outputs": [SECRET]}
    lines = {"inputs": ["5\n"], "outputs": [f"{SECRET}\n"]}
    check = f"def check(candidate):\n    assert candidate(5) == {SECRET}\n"
    return {
        "stdin": Example(json_references={"tests": json.dumps(lines)}),
        "calls": Example(json_references={"tests": json.dumps(calls)}),
        "asserts": Example(references={"tests": check, "entry_point": "f"}),
        "assert-lines": Example(
            json_references={"tests": json.dumps([f"assert f(5) == {SECRET}"])}
        ),
    }


def program_for(shape: str, source: str) -> str:
    return f"{source}\nprint(f(int(input())))" if shape == "stdin" else source


async def scored(reward: CodeTests, shape: str, source: str) -> Score:
    text = f"```python\n{program_for(shape, source)}\n```"
    return await reward.score(examples()[shape], Response(text))


# Written out it is the answer; and Python's own == takes it for one.
EQUAL = {"stdin": ("'271828'",), "asserts": ("complex(271828)",)}
EQUAL["assert-lines"] = EQUAL["asserts"]


@pytest.mark.parametrize("name", CHEATS)
def test_the_naive_grader_is_fooled(name: str) -> None:
    trust, source = CHEATS[name]
    assert passes(source, "f", [([5], SECRET)], trust)
    assert not passes("def f(x): return 0", "f", [([5], SECRET)], trust)


@pytest.mark.parametrize("shape", examples())
@pytest.mark.parametrize("name", CHEATS)
async def test_a_cheat_earns_nothing(reward: CodeTests, name: str, shape: str) -> None:
    score = await scored(reward, shape, CHEATS[name][1])
    assert score.reward == 0.0, score
    assert score.components["verdict"] > 0
    # The next program on the slot is judged by what it does.
    honest = await scored(reward, shape, f"def f(x): return {SECRET}")
    assert honest.reward == 1.0, honest


@pytest.mark.parametrize(
    ("shape", "value"),
    [(s, v) for s in examples() for v in ODD_VALUES if v not in EQUAL.get(s, ())],
)
async def test_an_odd_value_is_wrong(reward: CodeTests, value: str, shape: str) -> None:
    score = await scored(reward, shape, f"def f(x): return {value}")
    assert score.reward == 0.0, score


@pytest.mark.parametrize("shape", ["stdin", "calls"])
async def test_doubled_and_made_up_answers_count_once(reward: CodeTests, shape: str) -> None:
    lines = {"inputs": ["1\n", "2\n", "3\n"], "outputs": ["1\n", "4\n", "9\n"]}
    calls = {"fn_name": "f", "inputs": [[1], [2], [3]], "outputs": [1, 4, 9]}
    document = json.dumps(lines if shape == "stdin" else calls)
    forged = (
        "import os\n"
        'for i in (0, 0, 7, -1, "0", 1.0, True, None):\n'
        "    for fd in range(3, 10):\n"
        "        line = {'test': i, 'output': '1', 'value': '1'}\n"
        "        try: os.write(fd, (__import__('json').dumps(line) + '\\n').encode())\n"
        "        except OSError: pass\n"
        "def f(x): return 1"
    )
    text = f"```python\n{program_for(shape, forged)}\n```"
    score = await reward.score(Example(json_references={"tests": document}), Response(text))
    assert score.components["tests_passed"] == pytest.approx(1 / 3)
