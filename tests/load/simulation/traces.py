"""What jobs do: batches, and how long a job takes from an answer to its next batch.

A trace is a file of JSON lines, one a batch, the batches of a job in their order:

    {"job": "a", "wait_s": 95.2, "items": 1024, "cost": "code_tests"}

- `job`: who sends it.
- `wait_s`: from the answer to the job's batch before (its first: from time 0) until it comes.
- `items`: how many; with `item_s` each takes so long; with `cost` as measured (`costs.json`).
- `spread_s` (0): over how long its items come, in equal calls, as a trainer's that sends rollouts
  as they end. `calls` (16 where they are spread, else 1): how many calls they are.
- `timeout_s` (300): until when each call must be answered.

So a job that gets its rewards late comes late with its next batch, as a trainer does.
"""

from __future__ import annotations

import json
import random
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

COSTS: dict[str, Any] = json.loads((Path(__file__).parent / "costs.json").read_text())
"""Measured: quantiles of an item's seconds for each kind, and how they were measured."""
_LOGGED = re.compile(r": (\d+) items of reward (.+) in ([\d.]+) s$")


@dataclass(frozen=True, slots=True)
class Batch:
    """A line of a trace."""

    job: str
    wait_s: float
    items: int
    cost: str = ""
    item_s: float = 0.0
    spread_s: float = 0.0
    calls: int = 1
    timeout_s: float = 300.0

    def costs_s(self, chance: random.Random) -> list[float]:
        """What its items take."""
        if not self.cost:
            return [self.item_s] * self.items
        quantiles = COSTS[self.cost]["item_s"]
        found: list[float] = []
        for _ in range(self.items):
            at = chance.random() * (len(quantiles) - 1)
            low = int(at)
            found.append(quantiles[low] + (at - low) * (quantiles[low + 1] - quantiles[low]))
        return found


def read(lines: Iterable[str]) -> list[Batch]:
    """The batches of a trace.

    Raises:
        ValueError: a line is none; with its number.
    """
    batches: list[Batch] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            given = dict(json.loads(line))
            if given.get("spread_s"):
                given.setdefault("calls", 16)
            batch = Batch(**given)
        except (ValueError, TypeError) as error:
            raise ValueError(f"line {number}: {error}") from None
        if batch.items < 1 or batch.wait_s < 0 or not (batch.cost in COSTS or batch.item_s > 0):
            raise ValueError(
                f"line {number}: want items >= 1, wait_s >= 0, and item_s > 0 or a cost of "
                f"{', '.join(COSTS)}"
            )
        batches.append(batch)
    return batches


def from_log(lines: Iterable[str], cost: str) -> Iterator[Batch]:
    """The batches in a service's log (`--log-format json --log-level info`), each call as one.

    A job's calls that overlap are one batch. What an item costs is not in the log: `cost` says it.
    """
    calls: dict[tuple[str, str], list[tuple[float, float, int]]] = defaultdict(list)
    for line in lines:
        try:
            record = json.loads(line)
        except ValueError:
            continue
        found = _LOGGED.search(record.get("message", ""))
        if found is not None:
            end_s = datetime.fromisoformat(record["time"]).timestamp()
            took_s = float(found[3])
            calls[record.get("job", ""), found[2]].append((end_s - took_s, end_s, int(found[1])))
    first_s = min((begin for made in calls.values() for begin, _, _ in made), default=0.0)
    for (job, _reward), made in sorted(calls.items()):
        end_s, open_s, items = first_s, 0.0, 0
        begin_s = first_s
        for start_s, stop_s, count in sorted(made):
            if items and start_s > open_s:
                yield Batch(job, begin_s - end_s, items, cost)
                end_s, items = open_s, 0
            if not items:
                begin_s = start_s
            items += count
            open_s = max(open_s, stop_s)
        if items:
            yield Batch(job, begin_s - end_s, items, cost)


def steps(
    chance: random.Random,
    job: str,
    *,
    hours: tuple[float, float],
    think_s: float,
    jitter: float,
    items: int,
    cost: str,
    pause_every: int = 0,
    pause_s: float = 0.0,
) -> Iterator[Batch]:
    """A job that works in steps: batches, and `think_s` of sampling and training between them.

    `jitter` is the standard deviation of that time as a share of it. After `pause_every` steps the
    job stops for `pause_s`, for an evaluation or a checkpoint.
    """
    at_s, number = hours[0] * 3600, 0
    wait_s = at_s
    while at_s < hours[1] * 3600:
        yield Batch(job, wait_s, int(items * chance.uniform(0.9, 1.1)), cost)
        number += 1
        wait_s = max(1.0, chance.gauss(think_s, jitter * think_s))
        if pause_every and number % pause_every == 0:
            wait_s += pause_s
        at_s += wait_s


def day(seed: int, jitter: float) -> list[Batch]:
    """A day of four jobs: steps of 1 to 5 minutes, of two kinds, that come and go."""
    chance = random.Random(seed)
    return [
        *steps(chance, "night", hours=(0.0, 7.0), think_s=300, jitter=jitter, items=1024,
               cost="code_tests", pause_every=20, pause_s=400),
        *steps(chance, "grpo", hours=(9.0, 17.0), think_s=110, jitter=jitter, items=1024,
               cost="code_tests", pause_every=10, pause_s=240),
        *steps(chance, "small", hours=(10.0, 13.0), think_s=60, jitter=jitter, items=256,
               cost="code_tests"),
        *steps(chance, "math", hours=(14.0, 22.0), think_s=180, jitter=jitter, items=2048,
               cost="math", pause_every=25, pause_s=300),
    ]  # fmt: skip


EVEN_S = 0.1


def flooded(seed: int, hours: float, cost: str, *, flood: bool) -> list[Batch]:
    """Two jobs that work in steps, and one that floods: calls without end, many at once.

    30 s of work and 60 s of it in a step, and 1,200 s in the flood; no `cost`: 0.1 s an item.
    """
    chance = random.Random(seed)
    mean_s = COSTS[cost]["mean_s"] if cost else EVEN_S
    small, large = round(30 / mean_s), round(60 / mean_s)
    batches = [
        *steps(chance, "a", hours=(0.0, hours), think_s=90, jitter=0.1, items=large, cost=cost),
        *steps(chance, "b", hours=(0.0, hours), think_s=60, jitter=0.1, items=small, cost=cost),
    ]
    if flood:
        # 20 trainers under one name, each with its next batch as soon as it has the last.
        for k in range(20):
            batches += [Batch(f"flood/{k}", 0.0, large, cost) for _ in range(40)]
    return batches if cost else [replace(batch, item_s=EVEN_S) for batch in batches]
