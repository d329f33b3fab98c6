"""`make audit`: looks every dependency of the service up in PyPI's advisories, by pip-audit.

Ends with 1 where one has a known vulnerability, and where only some could be looked up. Where none
could, as behind a mirror that has no advisories, it says so and ends with 0.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

LOCK = "requirements.hashed.lock"
NOT_HERE = "supply chain: NOT AUDITED, since advisories cannot be had here"


def main() -> int:
    """Returns the exit code."""
    tool = Path(sys.executable).with_name("pip-audit")
    command = [tool, "-r", LOCK, "--require-hashes", "--disable-pip", "-f", "json"]
    command += ["--progress-spinner", "off", "--timeout", "15"]
    try:
        ran = subprocess.run(  # noqa: S603 - a tool of one's own
            command, capture_output=True, text=True, check=False, timeout=600
        )
    except subprocess.TimeoutExpired:
        print(f"{NOT_HERE}: no answer within 600 s")  # noqa: T201
        return 0
    try:
        found: list[dict[str, Any]] = json.loads(ran.stdout)["dependencies"]
    except (ValueError, KeyError):
        print(f"{NOT_HERE}: {ran.stderr.strip().splitlines()[-1:]}")  # noqa: T201
        # Without a connection there is nothing to look at; any other failure is one.
        return 0 if "onnection" in ran.stderr or "imeout" in ran.stderr else 1
    skipped = [entry for entry in found if "skip_reason" in entry]
    if skipped and len(skipped) == len(found):
        print(f"{NOT_HERE}: {skipped[0]['skip_reason']}")  # noqa: T201
        return 0
    faults = [f"{entry['name']}: not looked up: {entry['skip_reason']}" for entry in skipped]
    for entry in found:
        for known in entry.get("vulns", []):
            fixed = ", ".join(known["fix_versions"]) or "nowhere yet"
            faults.append(f"{entry['name']} {entry['version']}: {known['id']}, fixed in {fixed}")
    print("\n".join(faults) or f"{len(found)} dependencies, no known vulnerability")  # noqa: T201
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
