"""Runs the attacks of a level and prints each row as JSON: `python suite.py LEVEL [--bare]`.

--bare: those that must fail at higher levels only, to see that they are attacks. What is missing
for the level goes to stderr, with 3 as the exit status.
"""

from __future__ import annotations

import asyncio
import json
import sys

from rewardplane.rewards.sandbox.attacks.catalog import CASES
from rewardplane.rewards.sandbox.attacks.runner import Suite
from rewardplane.rewards.sandbox.level import IsolationUnavailable, Level


def main() -> None:
    """The command."""
    level = Level[sys.argv[1]]
    if "--bare" in sys.argv:
        cases = [case for case in CASES if case.bare and case.fails_from > level]
    else:
        cases = [case for case in CASES if case.fails_from <= level]
    try:
        rows = asyncio.run(Suite(level).run(cases))
    except IsolationUnavailable as error:
        print(error, file=sys.stderr)
        sys.exit(3)
    for row in rows:
        print(json.dumps([row.case.id, row.verdict.name, row.got, round(row.wall_s, 3)]))


if __name__ == "__main__":
    main()
