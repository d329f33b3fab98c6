"""What the sandbox is measured against: how trainers run a model's code without one."""

from __future__ import annotations

import builtins
import faulthandler
import io
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from typing import Any

TIMEOUT_S = 10

# The modules that LiveCodeBench puts before each solution.
IMPORTS = (
    "string, re, datetime, collections, heapq, bisect, copy, math, random, statistics, itertools, "
    "functools, operator, io, sys, json"
)
_DRIVER = f"""
import {IMPORTS}
from io import StringIO
request = json.load(sys.stdin)
code = compile(request["source"], "<solution>", "exec")
outputs = []
for stdin in request["stdins"]:
    sys.stdin, kept = StringIO(stdin), sys.stdout
    sys.stdout = StringIO()
    try:
        exec(code, {{"__name__": "__main__"}})
    finally:
        outputs.append(sys.stdout.getvalue())
        sys.stdout = kept
json.dump(outputs, sys.stdout)
"""


def by_subprocess(source: str, stdins: Sequence[str], expected: Sequence[str]) -> float:
    """The share of tests passed, by a fresh interpreter with the usual imports."""
    done = subprocess.run(
        [sys.executable, "-c", _DRIVER],
        input=json.dumps({"source": source, "stdins": stdins}).encode(),
        capture_output=True,
        timeout=TIMEOUT_S,
        check=True,
    )
    return _passed(json.loads(done.stdout), expected)


def by_guarded_process(source: str, stdins: Sequence[str], expected: Sequence[str]) -> float:
    """The same in a process of an executor that `guard` was called in."""
    signal.setitimer(signal.ITIMER_REAL, TIMEOUT_S)
    code = compile(source, "<solution>", "exec")
    outputs: list[str] = []
    for stdin in stdins:
        sys.stdin = io.StringIO(stdin)
        out = io.StringIO()
        with redirect_stdout(out):
            exec(code, {"__name__": "__main__"})  # noqa: S102 - that is what is compared
        outputs.append(out.getvalue())
    signal.setitimer(signal.ITIMER_REAL, 0)
    return _passed(outputs, expected)


def guard() -> None:
    """What HumanEval's `reliability_guard` does: limits, and None in place of what might hurt.

    Its authors say of it that it is no sandbox. As in the original, only names are taken away.
    """
    memory = 4 << 30
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    faulthandler.disable()
    taken: dict[Any, str] = {
        os: "kill system putenv remove removedirs rmdir fchdir setuid fork forkpty killpg rename "
        "renames truncate replace unlink fchmod fchown chmod chown chroot lchown chdir",
        shutil: "rmtree move chown",
        subprocess: "Popen",
        builtins: "exit quit",
    }
    for module, names in taken.items():
        for name in names.split():
            setattr(module, name, None)


def _passed(outputs: Sequence[str], expected: Sequence[str]) -> float:
    pairs = zip(outputs, expected, strict=True)
    return sum(out.strip() == want.strip() for out, want in pairs) / len(expected)
