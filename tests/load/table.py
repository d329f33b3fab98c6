"""The benchmark's table, and the floors that the service is held to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median


@dataclass(frozen=True, slots=True)
class Cell:
    """One window of load: rates, latencies of a call, CPU time an item, and what disturbed it."""

    calls_per_s: float
    items_per_s: float
    p50_ms: float
    p99_ms: float
    cpu_us_per_item: float
    generator_us_per_item: float
    others_share: float
    """The share of the machine that neither the server nor the load generator used, but others."""
    reference_ms: float
    """How long a fixed loop took just before the window: the machine's own speed."""
    faults: int

    def __str__(self) -> str:
        return (
            f"{self.calls_per_s:9,.0f} calls/s {self.items_per_s:9,.0f} items/s "
            f"p50 {self.p50_ms:8.2f} ms  p99 {self.p99_ms:8.2f} ms  "
            f"{self.cpu_us_per_item:8.1f} µs/item  "
            f"others {self.others_share:4.0%}  reference {self.reference_ms:3.0f} ms"
        )


@dataclass(frozen=True, slots=True)
class Floor:
    """`peer` must do at least `factor` times what `other` does, in a measure at one shape."""

    peer: str
    shape: str
    factor: float
    other: str


FLOORS = (
    Floor("pool", "1x32", 12.0, "proxy"),
    Floor("pool", "1x32", 2.0, "haproxy"),
    Floor("pool", "16x16", 1.5, "haproxy"),
    Floor("pool", "128x8", 1.0, "haproxy"),
    Floor("pool", "1024x4", 0.9, "haproxy"),
)
CPU_CEILINGS = {
    ("pool", "1x32"): 0.75,
    ("pool", "16x16"): 0.9,
    ("pool", "128x8"): 1.5,
    ("pool", "1024x4"): 1.6,
    ("inline", "1x32"): 0.6,
    ("inline", "16x16"): 0.8,
    ("inline", "128x8"): 1.0,
    ("inline", "1024x4"): 1.2,
}
"""The most CPU per item that a peer may take, as a multiple of the bare server's."""
REPLICAS = ("pool-1", "pool", "pool-4")

Cells = Mapping[tuple[str, str], Sequence[Cell]]


def middle(runs: Sequence[Cell], measure: str) -> float:
    """The median of a measure over the rounds."""
    return median(getattr(run, measure) for run in runs)


def report(peers: Sequence[str], shapes: Sequence[str], cells: Cells) -> str:
    """The medians per shape and peer as a Markdown table, and the verdicts below it."""
    lines = [
        "",
        "| items x calls in flight | peer | calls/s | items/s | p50 ms | p99 ms "
        "| server CPU µs/item | spread of items/s |",
        "|---|---|--:|--:|--:|--:|--:|--:|",
    ]
    for shape in shapes:
        for peer in peers:
            runs = cells[peer, shape]
            rates = sorted(run.items_per_s for run in runs)
            lines.append(
                f"| {shape} | {peer} | {middle(runs, 'calls_per_s'):,.0f} "
                f"| {middle(runs, 'items_per_s'):,.0f} | {middle(runs, 'p50_ms'):.2f} "
                f"| {middle(runs, 'p99_ms'):.2f} | {middle(runs, 'cpu_us_per_item'):.1f} "
                f"| {rates[0]:,.0f} to {rates[-1]:,.0f} |"
            )
    worst = max((run.others_share for runs in cells.values() for run in runs), default=0.0)
    speeds = sorted(run.reference_ms for runs in cells.values() for run in runs)
    lines += [
        "",
        f"others used at most {worst:.0%} of the machine during a window; a fixed loop before each "
        f"window took {speeds[0]:.0f} to {speeds[-1]:.0f} ms, median {median(speeds):.0f}",
        "",
    ]
    return "\n".join(lines + _verdicts(shapes, cells))


def _verdicts(shapes: Sequence[str], cells: Cells) -> list[str]:
    said: list[str] = []
    for floor in FLOORS:
        ratio = _ratio(cells, floor.peer, floor.other, floor.shape, "items_per_s")
        if ratio is not None:
            verdict = "ok" if ratio >= floor.factor else "MISSED"
            said.append(
                f"{floor.peer} / {floor.other} at {floor.shape}: {ratio:.2f} "
                f"(at least {floor.factor:g}) {verdict}"
            )
    for (peer, shape), most in CPU_CEILINGS.items():
        ratio = _ratio(cells, peer, "bare", shape, "cpu_us_per_item")
        if ratio is not None:
            verdict = "ok" if ratio <= most else "MISSED"
            said.append(
                f"{peer} / bare CPU per item at {shape}: {ratio:.2f} (at most {most:g}) {verdict}"
            )
    for fewer, more in pairwise(REPLICAS):
        for shape in shapes:
            ratio = _ratio(cells, more, fewer, shape, "items_per_s")
            if ratio is not None:
                said.append(f"{more} / {fewer} items/s at {shape}: {ratio:.2f}")
    return said


def _ratio(cells: Cells, peer: str, other: str, shape: str, measure: str) -> float | None:
    mine, theirs = cells.get((peer, shape)), cells.get((other, shape))
    if not mine or not theirs:
        return None
    pairs = zip(mine, theirs, strict=True)
    return median(getattr(one, measure) / getattr(two, measure) for one, two in pairs)
