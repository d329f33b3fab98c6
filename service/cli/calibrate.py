"""`rewardplane calibrate`: values with labels in, a calibration for a panel's member out."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast, get_args

from rewardplane.rewards.compose.calibration import Method, fit

METHODS = get_args(Method)


class BadData(ValueError):
    """The data cannot be fitted; the message says where or why."""


def calibrate_file(
    data: Path, output: Path, method: str, value: str, label: str, reward: str
) -> str:
    """Fits and writes the calibration; returns what is to be told of it.

    A line is an object with `value` and `label`, which may be paths (`components.judge`), or a line
    of `rewardplane score --output` with a list of labels beside its `outcomes`. Rows without a
    value, as those of errors, are left out and counted.

    Raises:
        BadData: a line is no such object, has a value and no label, or nothing can be fitted.
        OSError: a file cannot be read or written.
    """
    if method not in METHODS:
        raise BadData(f"--method: want one of {', '.join(METHODS)}")
    values: list[float] = []
    labels: list[float] = []
    without = 0
    for number, row in _rows(data, label):
        found = _number(_at(row, value))
        if found is None:
            without += 1
            continue
        target = _number(_at(row, label)) if method != "standard" else 0.0
        if target is None:
            raise BadData(f"{data}: line {number}: no number at {label!r}")
        values.append(found)
        labels.append(target)
    try:
        made = fit(cast("Method", method), values, labels)
    except ValueError as error:
        raise BadData(f"{data}: {error} ({without} rows have no number at {value!r})") from None
    made = made.model_copy(update={"reward": reward})
    output.write_text(made.model_dump_json(indent=1) + "\n", encoding="utf-8")
    told = f"{made.rows} rows"
    if without:
        told += f", {without} without a value left out"
    if method != "standard":
        told += f"; root mean square error {made.error:.4g}"
    return f"{told}; written to {output}"


def _rows(data: Path, label: str) -> Iterator[tuple[int, dict[str, Any]]]:
    with data.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise BadData(f"{data}: line {number}: is no JSON: {error}") from None
            if not isinstance(row, dict):
                raise BadData(f"{data}: line {number}: want an object")
            row = cast("dict[str, Any]", row)
            outcomes = row.get("outcomes")
            if not isinstance(outcomes, list):
                yield number, row
                continue
            outcomes = cast("list[Any]", outcomes)
            labels = row.get(label)
            if isinstance(labels, list) and len(cast("list[Any]", labels)) != len(outcomes):
                raise BadData(f"{data}: line {number}: not one label for each outcome")
            for index, outcome in enumerate(outcomes):
                own = cast("list[Any]", labels)[index] if isinstance(labels, list) else labels
                merged = cast("dict[str, Any]", outcome) if isinstance(outcome, dict) else {}
                yield number, {**merged, label: own}


def _at(row: dict[str, Any], path: str) -> Any:
    """What stands at a path; a name with dots is found as it is, too."""
    if path in row:
        return row[path]
    found: Any = row
    rest = path
    while rest:
        if not isinstance(found, dict):
            return None
        known = cast("dict[str, Any]", found)
        if rest in known:
            return known[rest]
        first, _dot, rest = rest.partition(".")
        found = known.get(first)
    return found


def _number(value: Any) -> float | None:
    if isinstance(value, int | float) and math.isfinite(value):
        return float(value)
    return None
