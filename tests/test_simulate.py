"""The simulator: what it replays, and that policy and order keep what they promise, in short."""

from __future__ import annotations

import json
import random
from itertools import chain

import pytest
from rewardplane.cluster.scaling import Bounds

from .load.simulate import added, tenants
from .load.simulation.scalers import Backlog, Static
from .load.simulation.traces import Batch, from_log, read, steps
from .load.simulation.world import Result, Scaler, World

MOST = 16


def run(batches: list[Batch], scaler: Scaler, first: int, hours: float) -> Result:
    """A trace in large shards, for the time it takes."""
    world = World(batches, scaler, first=first, start_s=3.5, until_s=3600 * hours, shard_s=1.0)
    return world.run()


def test_scaling_takes_a_quarter_of_static_replicas_at_one_percent_of_the_steps() -> None:
    chance = random.Random(7)
    made = [
        steps(
            chance, "a", hours=(0.0, 1.5), think_s=110, jitter=0.05, items=512, cost="code_tests"
        ),
        steps(chance, "b", hours=(1.0, 2.5), think_s=200, jitter=0.05, items=512, cost="math"),
    ]
    batches = list(chain(*made))
    static = run(batches, Static(MOST), MOST, 2.5)
    ours = run(batches, Backlog(Bounds(0, MOST), 3.5), 1, 2.5)
    assert static.replica_s == pytest.approx(MOST * 2.5 * 3600)
    assert ours.replica_s <= static.replica_s / 4
    assert added(ours, static) <= 0.01
    assert not ours.late


def test_a_flood_delays_others_by_a_fifth_at_the_most() -> None:
    found = tenants(MOST, seed=1, hours=0.2)
    alone, ours = found["alone"], found["flood, by batch and job"]
    for job, mean_s in alone.items():
        assert ours[job] <= 1.2 * mean_s
        assert found["flood, by arrival"][job] > 2 * mean_s, "the flood is one"


def test_a_trace_is_read() -> None:
    lines = [
        '{"job": "a", "wait_s": 5, "items": 10, "cost": "math"}',
        "",
        '{"job": "a", "wait_s": 1, "items": 4, "item_s": 0.5, "spread_s": 8}',
    ]
    first, second = read(lines)
    assert first == Batch("a", 5, 10, "math")
    assert second.costs_s(random.Random(1)) == [0.5] * 4
    assert second.calls == 16
    assert all(0 < cost_s < 1 for cost_s in first.costs_s(random.Random(1)))


@pytest.mark.parametrize(
    "line",
    [
        "no JSON",
        "[]",
        '{"job": "a", "wait_s": 1, "items": 0, "item_s": 1}',
        '{"job": "a", "wait_s": -1, "items": 1, "item_s": 1}',
        '{"job": "a", "wait_s": 1, "items": 1}',
        '{"job": "a", "wait_s": 1, "items": 1, "cost": "none such"}',
        '{"job": "a", "wait_s": 1, "items": 1, "item_s": 1, "colour": "red"}',
    ],
)
def test_what_is_no_trace_is_told_by_its_line(line: str) -> None:
    with pytest.raises(ValueError, match=r"^line 2: "):
        read(['{"job": "a", "wait_s": 5, "items": 10, "cost": "math"}', line])


def test_a_service_log_becomes_a_trace() -> None:
    def line(second: float, items: int, took_s: float, job: str = "a") -> str:
        message = f"request_id=x: {items} items of reward math in {took_s:.3f} s"
        time = f"2026-11-28T10:00:{second:06.3f}+00:00"
        return json.dumps({"time": time, "level": "info", "message": message, "job": job})

    log = [
        line(12, 8, 2.0),  # 10 to 12
        line(14, 8, 3.0),  # 11 to 14: the same batch
        line(34, 4, 4.0),  # 30 to 34
        line(20, 2, 5.0, "b"),
        json.dumps({"time": "2026-11-28T10:00:01+00:00", "message": "something else"}),
        "no JSON",
    ]
    batches = list(from_log(log, "math"))
    assert batches == [
        Batch("a", 0.0, 16, "math"),
        Batch("a", 16.0, 4, "math"),
        Batch("b", 5.0, 2, "math"),
    ]


def test_the_simulated_time_is_that_of_the_work() -> None:
    batches = [
        Batch("a", 10.0, 8, item_s=1.0, calls=8),
        Batch("a", 5.0, 4, item_s=2.0, calls=4, timeout_s=3.0),
    ]
    result = run(batches, Static(4), 4, 0.1)
    assert result.batch_s["a"] == [pytest.approx(2.0), pytest.approx(2.0)]
    assert result.steps_s["a"] == pytest.approx(10 + 2 + 5 + 2)
    assert result.replica_s == pytest.approx(4 * 360)
    assert not result.late
    slow = run(batches, Static(1), 1, 0.1)
    assert slow.batch_s["a"] == [pytest.approx(8.0), pytest.approx(8.0)]
    assert slow.late == 3
