"""A grader as they are mostly written: program, expected values and verdict in one process.

    python naive_grader.py TRUST < JSON

TRUST is what it takes for a pass: `result` (a line on a pipe), `exit` (exit code 0) or `marker` (a
word in the output). It is here to be fooled: what fools it must not fool the sandbox's graders.
"""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path


def passes(
    program: str, function: str, cases: list[tuple[list[object], object]], trust: str
) -> bool:
    """Whether the naive grader says that the program passes."""
    reader, writer = os.pipe()
    done = subprocess.run(
        [sys.executable, str(Path(__file__)), str(writer)],
        input=json.dumps({"program": program, "function": function, "cases": cases}),
        capture_output=True,
        text=True,
        timeout=30,
        pass_fds=[writer],
        check=False,
    )
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        first = pipe.readline()
    if trust == "exit":
        return done.returncode == 0
    if trust == "marker":
        return "ALL TESTS PASSED" in done.stdout
    try:
        return json.loads(first)["passed"] is True
    except (ValueError, KeyError, TypeError):
        return False


def main() -> None:
    """Runs the program on its cases."""
    order = json.load(sys.stdin)
    results = []
    expected_values = [expected for _, expected in order["cases"]]
    names: dict[str, object] = {"__name__": "program"}
    exec(order["program"], names)  # noqa: S102 - which is what is wrong with it
    for (arguments, _), expected in zip(order["cases"], expected_values, strict=True):
        value = names[order["function"]](*arguments)
        # As it comes back from a worker process of multiprocessing.
        value = pickle.loads(pickle.dumps(value)) if _is_pickled(value) else value  # noqa: S301
        results.append(value)
        print(f"got {value!r}, want {expected!r}")
    right = [value == expected for value, expected in zip(results, expected_values, strict=True)]
    passed = all(right) and len(results) == len(expected_values)
    os.write(int(sys.argv[1]), json.dumps({"passed": passed}).encode() + b"\n")
    if passed:
        print("ALL TESTS PASSED")
    sys.exit(0 if passed else 1)


def _is_pickled(value: object) -> bool:
    return "__reduce__" in type(value).__dict__


if __name__ == "__main__":
    main()
