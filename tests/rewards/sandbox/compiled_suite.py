"""Runs the attacks in C++ of a level and prints each row as JSON: `python compiled_suite.py LEVEL`.

--bare: those that must fail at higher levels only, to see that they are attacks. What is missing
for the level goes to stderr, with 3 as the exit status.
"""

from __future__ import annotations

import asyncio
import json
import sys

from rewardplane.rewards.sandbox.attacks.compiled import CASES, READING
from rewardplane.rewards.sandbox.attacks.compiled_runner import CompiledAttacks
from rewardplane.rewards.sandbox.level import IsolationUnavailable, Level
from rewardplane.rewards.sandbox.toolchain import CompilerMissing


def main() -> None:
    """The command."""
    level = Level[sys.argv[1]]
    try:
        suite = CompiledAttacks(level)
        cases = suite.cases()
        if "--bare" in sys.argv:
            above = [case for case in CASES if case.bare and case.fails_from > level]
            cases = [*above, *(case for case in READING if case.bare)]
        rows = asyncio.run(suite.run(cases))
    except (IsolationUnavailable, CompilerMissing) as error:
        print(error, file=sys.stderr)
        sys.exit(3)
    for row in rows:
        print(json.dumps([row.id, row.verdict.name, row.got, round(row.wall_s, 3)]))


if __name__ == "__main__":
    main()
