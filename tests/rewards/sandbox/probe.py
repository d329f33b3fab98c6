"""Starts a sandbox and prints its report as JSON: `python probe.py`."""

from __future__ import annotations

import json

from rewardplane.rewards.sandbox.level import Level
from rewardplane.rewards.sandbox.pool import Profile, SandboxPool


def main() -> None:
    """The command."""
    pool = SandboxPool(Profile("probe"), slots=1, demand=Level.PROCESS)
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
