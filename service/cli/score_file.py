"""`rewardplane score`: a file of responses in, a file of outcomes and a summary out."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from rewardplane.client.client import RewardClient
from rewardplane.client.endpoint import Credentials
from rewardplane.rewards.types import Outcome, Score
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from .dataset import Line, read
from .records import Item, items_of, line_of
from .report import Gathered
from .rows import Columns

CALL_ITEMS = 256
CALLS_AT_ONCE = 8
SHOWN = 3
"""Messages of each reason that are shown; the file of outcomes has all."""


@dataclass(slots=True)
class Summary:
    """What came of a file."""

    rewards: list[float] = field(default_factory=list[float])
    reasons: Counter[str] = field(default_factory=Counter[str])
    messages: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    """Some of what the errors say, by reason, each with its line."""
    call_s: list[float] = field(default_factory=list[float])
    elapsed_s: float = 0.0

    @property
    def errors(self) -> int:
        """Items without a reward."""
        return self.reasons.total()

    def table(self) -> Table:
        """For a terminal."""
        table = Table("", "", show_header=False)
        count = len(self.rewards)
        table.add_row("items", str(count + self.errors))
        table.add_row("scored", str(count))
        for reason, times in self.reasons.most_common():
            table.add_row(f"  {reason}", str(times))
        if count:
            mean = sum(self.rewards) / count
            table.add_row("mean reward", f"{mean:.4f}")
        if self.elapsed_s:
            table.add_row("items/s", f"{(count + self.errors) / self.elapsed_s:,.0f}")
        for share in (50, 90, 99):
            if self.call_s:
                table.add_row(f"call latency p{share}", f"{percentile(self.call_s, share):.3f} s")
        return table


def items_in(file: Path, columns: Columns = Columns()) -> int:  # noqa: B008 - frozen
    """How many responses a file has.

    Raises:
        BadLine: a line is no example with responses.
        OSError: the file cannot be read.
    """
    return sum(len(line.group.responses) for line in read(file, columns))


def score_file(
    file: Path,
    reward: str,
    target: str,
    output: Path | None,
    timeout_s: float,
    console: Console,
    columns: Columns = Columns(),  # noqa: B008 - frozen
    found: Gathered | None = None,
    *,
    credentials: Credentials | None = None,
    total: int | None = None,
) -> Summary:
    """Scores every response of a file with progress on `console`; `found` takes the items in.

    `total` is what `items_in` says, where it is known.

    Raises:
        BadLine: a line is no example with responses.
        OSError: a file cannot be read or written.
        CallError: a call was refused as a whole.
    """
    with ExitStack() as stack:
        total = items_in(file, columns) if total is None else total
        sink = stack.enter_context(output.open("w")) if output is not None else None
        bar = stack.enter_context(_progress(console))
        lines = read(file, columns)
        client = RewardClient(target, credentials=credentials)
        return asyncio.run(_score(lines, total, reward, client, sink, found, timeout_s, bar))


async def _score(
    lines: Iterator[Line],
    total: int,
    reward: str,
    service: RewardClient,
    sink: IO[str] | None,
    found: Gathered | None,
    timeout_s: float,
    bar: Progress,
) -> Summary:
    summary = Summary()
    task = bar.add_task(reward, total=total, rate=0.0, errors=0)
    begin_s = time.perf_counter()
    places = asyncio.Semaphore(CALLS_AT_ONCE)
    batches = _batches(lines)
    done: dict[int, list[list[Item]]] = {}
    written = 0

    async def call(client: RewardClient, number: int, batch: Sequence[Line]) -> None:
        nonlocal written
        call_s = time.perf_counter()
        groups = [line.group for line in batch]
        outcomes = await client.score(
            reward,
            groups,
            include_components=sink is not None or found is not None,
            include_explanations=found is not None,
            timeout_s=timeout_s,
        )
        places.release()
        now_s = time.perf_counter()
        summary.call_s.append(now_s - call_s)
        for line, group in zip(batch, outcomes, strict=True):
            _count(line, group, summary)
        wanted = sink is not None or found is not None
        done[number] = [
            list(items_of(line.group.example, line.group.responses, group))
            for line, group in zip(batch, outcomes, strict=True)
            if wanted
        ]
        while written in done:
            for items in done.pop(written):
                if sink is not None:
                    sink.write(line_of(items))
                if found is not None:
                    for item in items:
                        found.add(item)
            written += 1
        bar.update(
            task,
            advance=sum(len(line.group.responses) for line in batch),
            rate=(len(summary.rewards) + summary.errors) / (now_s - begin_s),
            errors=summary.errors,
        )

    async with service as client:
        try:
            async with asyncio.TaskGroup() as calls:
                for number, batch in enumerate(batches):
                    await places.acquire()
                    calls.create_task(call(client, number, batch))
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None
    summary.elapsed_s = time.perf_counter() - begin_s
    return summary


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` percent of `values` lie (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share / 100))]


def _count(line: Line, outcomes: Sequence[Outcome], summary: Summary) -> None:
    for index, outcome in enumerate(outcomes):
        if isinstance(outcome, Score):
            summary.rewards.append(outcome.reward)
            continue
        name = outcome.reason.name
        summary.reasons[name] += 1
        shown = summary.messages.setdefault(name, [])
        if len(shown) < SHOWN:
            shown.append(f"line {line.number}, response {index + 1}: {outcome.message}")


def _batches(lines: Iterator[Line]) -> Iterator[list[Line]]:
    """Lines of about `CALL_ITEMS` items together."""
    batch: list[Line] = []
    items = 0
    for line in lines:
        batch.append(line)
        items += len(line.group.responses)
        if items >= CALL_ITEMS:
            yield batch
            batch, items = [], 0
    if batch:
        yield batch


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]:,.0f} items/s"),
        TextColumn("{task.fields[errors]} errors", style="red"),
        TimeElapsedColumn(),
        console=console,
    )
