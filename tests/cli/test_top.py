"""`rewardplane top` shows what the gateways of a service counted, and says where it cannot look."""

from __future__ import annotations

import asyncio
import io
import math
from pathlib import Path

import pytest
from rewardplane.cli.commands import app
from rewardplane.cli.top import NotScraped, Snapshot, rows, scrape, watch
from rich.console import Console
from typer.testing import CliRunner

from ..support.rig import poison, rig


async def test_what_was_counted_between_two_looks_is_shown(free_port: int) -> None:
    async with rig({"one": poison(), "other": {"kind": "exact"}}) as it:
        stop = it.metrics.serve(free_port, "127.0.0.1")
        urls = [f"http://127.0.0.1:{free_port}/metrics"]
        try:
            await it.score("one", ["1"] * 5, job="before")
            old = await asyncio.to_thread(scrape, urls)
            await it.score("one", ["0.5", "-1.5", "raise it", "exit 3"], job="a")
            await it.score("one", ["0.25"], job="a")
            new = await asyncio.to_thread(scrape, urls)
            new.at_s = old.at_s + 2.0
            console = Console(file=io.StringIO(), width=160)
            await asyncio.to_thread(watch, urls, 0.1, console, once=True)
        finally:
            await asyncio.to_thread(stop)
    (one,) = [row for row in rows(old, new) if row.reward == "one"]
    assert (one.calls_s, one.items_s) == (1.0, 2.5)
    assert one.error_ratio == 2 / 5
    assert set(one.errors.split(", ")) == {"1 RAISED", "1 CRASHED"}
    assert math.isclose(one.mean, (0.5 - 1.5 + 0.25) / 3)
    assert 0 < one.p50_s <= one.p99_s < 60
    assert isinstance(console.file, io.StringIO)
    shown = console.file.getvalue()
    assert "in flight: 0 calls" in shown
    assert all(f" {job} " in shown for job in ("before", "a"))


def snapshot(at_s: float, *texts: str) -> Snapshot:
    made = Snapshot(at_s)
    for text in texts:
        made.add(text)
    return made


def counters(items: int, health: float = math.nan) -> str:
    return (
        "# TYPE rewardplane_groups counter\n"
        f'rewardplane_groups_total{{reward="r"}} {items}\n'
        "# TYPE rewardplane_items counter\n"
        f'rewardplane_items_total{{reason="SCORED",reward="r"}} {items}\n'
        "# TYPE rewardplane_health_mean gauge\n"
        f'rewardplane_health_mean{{training_job="j",reward="r"}} {health}\n'
    )


def test_gateways_are_added_up_and_their_means_are_not() -> None:
    new = snapshot(1.0, counters(30, 0.5), counters(40), counters(20, 0.7))
    (row,) = rows(snapshot(0.0, counters(10), counters(10), counters(0)), new)
    assert row.items_s == 70
    ((_, mean),) = new.values["rewardplane_health_mean"].items()
    assert math.isclose(mean, 0.6)


def test_a_gateway_that_was_started_anew_counts_from_0() -> None:
    (row,) = rows(snapshot(0.0, counters(1000)), snapshot(1.0, counters(5)))
    assert row.items_s == 0


def test_where_nobody_answers_or_something_else_does_is_said(tmp_path: Path) -> None:
    nobody = ["http://127.0.0.1:9/metrics"]
    with pytest.raises(NotScraped, match=r"127\.0\.0\.1:9"):
        scrape(nobody)
    other = tmp_path / "page.html"
    other.write_text("<html>{</html>")
    with pytest.raises(NotScraped, match="not the metrics of a gateway"):
        scrape([other.as_uri()])
    told = CliRunner().invoke(app, ["top", "--metrics", nobody[0], "--once", "--every-s", "0.1"])
    assert told.exit_code == 1
    assert "127.0.0.1:9" in told.output
