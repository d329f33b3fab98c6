"""Starts a sandbox and prints its report as JSON: `python probe.py [--compilers]`."""

from __future__ import annotations

import json
import sys

from rewardplane.rewards.sandbox import toolchain
from rewardplane.rewards.sandbox.level import Level
from rewardplane.rewards.sandbox.pool import Profile, SandboxPool


def main() -> None:
    """The command."""
    tools = toolchain.find("cpp").tools if "--compilers" in sys.argv else ()
    pool = SandboxPool(Profile("probe", tools=tools), slots=1, demand=Level.PROCESS)
    try:
        report = pool.start()
    finally:
        pool.kill()
    print(
        json.dumps(
            {
                "level": report.level.name,
                "missing": {c.name: c.why for c in report.controls if not c.held},
                "through": {c.name: c.seen for c in report.canaries if not c.stopped},
            }
        )
    )


if __name__ == "__main__":
    main()
