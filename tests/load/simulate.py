"""Replica-seconds and step times of jobs, under policies, in simulated time.

    python -m tests.load.simulate [day|tenants|all] [--trace FILE] [--log FILE --cost KIND]
        [--max 16] [--start-s 3.5] [--jitter 0.03 0.06 0.1] [--seed 1] [--measure]

The policy is that of `cluster/scaling.py`, the order that of `gateway/batch_queue.py`, Serve's
default its own function; what items cost was measured (`simulation/costs.json`, made by
`--measure`). `--trace` replays a file in the format of `simulation/traces.py`, `--log` a service's
own log. `day`: four jobs of a day; `tenants`: two jobs in steps beside one that floods.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from rewardplane.cluster.scaling import Bounds
from rewardplane.gateway.batch_queue import BatchQueue
from rich.console import Console
from rich.table import Table

from .simulation.scalers import Backlog, Fifo, ServeDefault, Static
from .simulation.traces import Batch, day, flooded, from_log, read
from .simulation.world import Result, Scaler, World

DAY_S = 86_400.0
START_S = 3.5
"""From the decision to a replica that runs, of a pool, on a machine with CPUs to spare: assumed."""
MAX = 16
SHARD_S = 0.25
"""The shards of a day, larger than the real ones, for the time it takes."""
OUT = Console(width=120)


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table: what a policy took, and what it did to steps."""

    name: str
    replica_s: float
    added: float
    """How much longer the steps took in the mean than with static replicas, as a share."""
    starts: int
    late: int


def scalers(most: int, start_s: float) -> dict[str, Scaler]:
    """Those that are compared; the first is the measure of the others."""
    serve = {"min_replicas": 1, "max_replicas": most}
    quick = {"upscale_delay_s": 0, "downscale_delay_s": 5, "look_back_period_s": 10.5}
    return {
        "static": Static(most),
        "Serve's default": ServeDefault(**serve),
        "Serve's default, quick": ServeDefault(**serve, **quick),
        "backlog, min 1": Backlog(Bounds(1, most), start_s),
        "backlog, min 0": Backlog(Bounds(0, most), start_s),
    }


def compare(
    batches: Sequence[Batch], most: int, start_s: float, until_s: float, shard_s: float = SHARD_S
) -> list[Row]:
    """A trace under each policy."""
    rows: list[Row] = []
    static: Result | None = None
    for name, scaler in scalers(most, start_s).items():
        first = most if static is None else 1
        world = World(
            batches, scaler, first=first, start_s=start_s, until_s=until_s, shard_s=shard_s
        )
        result = world.run()
        static = static or result
        rows.append(Row(name, result.replica_s, added(result, static), result.starts, result.late))
    return rows


def added(result: Result, static: Result) -> float:
    """How much longer a step takes in the mean, each job by the steps that both have done."""
    more_s = whole_s = 0.0
    for job, took_s in static.batch_s.items():
        n = min(len(took_s), len(result.batch_s[job]))
        more_s += sum(result.batch_s[job][:n]) - sum(took_s[:n])
        whole_s += static.steps_s[job] * n / max(1, len(took_s))
    return more_s / whole_s if whole_s else 0.0


def table(title: str, rows: Sequence[Row]) -> Table:
    """For a terminal."""
    made = Table("policy", "replica-seconds", "static is", "added step time", "starts", title=title)
    for row in rows:
        times = f"{rows[0].replica_s / row.replica_s:.1f}x"
        made.add_row(row.name, f"{row.replica_s:,.0f}", times, f"{row.added:+.2%}", str(row.starts))
    return made


def tenants(
    replicas: int, seed: int, cost: str = "", hours: float = 0.5
) -> dict[str, dict[str, float]]:
    """The mean seconds of a batch of each job, without and with a flood, by order.

    Without the first batch of each, at which it is not known what an item costs.
    """
    found: dict[str, dict[str, float]] = {}
    for name, flood, queue in (
        ("alone", False, BatchQueue),
        ("flood, by arrival", True, Fifo),
        ("flood, by batch and job", True, BatchQueue),
    ):
        world = World(
            flooded(seed, hours, cost, flood=flood),
            Static(replicas),
            first=replicas,
            start_s=START_S,
            until_s=3600 * hours,
            queue=queue,
        )
        took_s = world.run().batch_s
        found[name] = {
            job: mean(times_s[1:]) for job, times_s in took_s.items() if not job.startswith("flood")
        }
    return found


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("what", nargs="?", choices=("day", "tenants", "all"), default="all")
    parser.add_argument("--trace", type=Path)
    parser.add_argument("--log", type=Path)
    parser.add_argument("--cost", default="code_tests")
    parser.add_argument("--max", type=int, default=MAX)
    parser.add_argument("--start-s", type=float, default=START_S)
    parser.add_argument("--jitter", type=float, nargs="+", default=[0.03, 0.06, 0.1])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--measure", action="store_true")
    args = parser.parse_args()
    begin_s = time.monotonic()
    if args.measure:
        from .simulation.measure import measure

        measure()
        return
    if args.trace or args.log:
        lines = (args.trace or args.log).read_text().splitlines()
        batches = read(lines) if args.trace else list(from_log(lines, args.cost))
        until_s = 1.1 * max(sum(b.wait_s + 1 for b in batches if b.job == j) for j in jobs(batches))
        title = f"{args.trace or args.log}: {len(batches)} batches"
        OUT.print(table(title, compare(batches, args.max, args.start_s, until_s)))
        return
    if args.what in ("day", "all"):
        for jitter in args.jitter:
            batches = day(args.seed, jitter)
            title = f"a day of {len(batches)} steps, jitter {jitter:.0%}, 0 to {args.max} replicas"
            OUT.print(table(title, compare(batches, args.max, args.start_s, DAY_S)))
    if args.what in ("tenants", "all"):
        for cost in ("", "code_tests"):
            found = tenants(args.max, args.seed, cost)
            names = (f"job {job}, s a batch" for job in sorted(found["alone"]))
            made = Table("", *names, title=f"{args.max} replicas, {cost or 'items alike'}")
            for name, jobs_s in found.items():
                cells = (
                    f"{s:.1f} ({s / found['alone'][j]:.2f}x)" for j, s in sorted(jobs_s.items())
                )
                made.add_row(name, *cells)
            OUT.print(made)
    OUT.print(f"{time.monotonic() - begin_s:.0f} s")


def jobs(batches: Sequence[Batch]) -> set[str]:
    """Whose batches they are."""
    return {batch.job for batch in batches}


if __name__ == "__main__":
    main()
