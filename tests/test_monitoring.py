"""Dashboard and alerts ask for what the service exposes, and for all of it."""

from __future__ import annotations

import asyncio
import json
import re
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import promql_parser
import pytest
import yaml
from rewardplane.config.settings import Limits
from rewardplane.gateway.admission import Admission
from rewardplane.gateway.gauges import gauges
from rewardplane.gateway.metrics import Metrics

from .support.rig import rig

ROOT = Path(__file__).parents[1]
MONITORING = ROOT / "deploy" / "monitoring"
GAUGES = set(gauges(Admission(Limits()), cast("Any", SimpleNamespace(connections=None))))
GENERATION = "rewardplane_config_generation"
"""The front's own gauge: it knows what is served."""
LABELS = {
    "reward",
    "model",
    "training_job",
    "quantile",
    "code",
    "reason",
    "cause",
    "source",
    "verdict",
    "caller",
    "credential",
    "what",
    "le",
    "pod",
}  # `pod` is the scraper's


def expressions() -> list[tuple[str, str]]:
    """Where each query stands, and the query."""
    rules = yaml.safe_load((MONITORING / "alerts.yaml").read_text())["spec"]["groups"]
    found = [(rule["alert"], rule["expr"]) for group in rules for rule in group["rules"]]
    board = json.loads((MONITORING / "dashboard.json").read_text())
    for panel in board["panels"]:
        found += [(panel["title"], target["expr"]) for target in panel["targets"]]
    return [(where, query.replace("$__rate_interval", "5m")) for where, query in found]


def families() -> dict[str, set[str]]:
    """The metrics that a gateway exposes, each with the names of its series."""
    suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}
    found = {
        family.name: {family.name + suffix for suffix in suffixes[family.type]}
        for family in Metrics().registry.collect()
    }
    return found | {name: {name} for name in (*GAUGES, GENERATION)}


async def test_the_gauges_are_those_that_the_gateway_sets() -> None:
    async with rig({"exact": {"kind": "exact"}}, {"max_in_flight_bytes": 2**21}) as it:
        it.metrics.gauges |= gauges(it.admission, it.server)
        await it.score("exact", ["1"], references={"answer": "1"})
        deadline_s = time.monotonic() + 10
        while not it.server.connections.count and time.monotonic() < deadline_s:
            await asyncio.sleep(0.05)
        time.sleep(0.3)  # noqa: ASYNC251 - the loop is held
        await asyncio.sleep(0.1)
        values = {
            family.name: family.samples[0].value
            for family in it.metrics.registry.collect()
            if family.name in GAUGES
        }
    assert set(values) == GAUGES
    assert values["rewardplane_connections"] == 1
    assert values["rewardplane_loop_lag_seconds"] >= 0.2
    assert values["rewardplane_in_flight_bytes_limit"] == 2**21
    assert values["rewardplane_resident_bytes"] > 2**24
    assert values["rewardplane_open_calls"] == values["rewardplane_connections_cut"] == 0


@pytest.mark.parametrize(
    "gauge", sorted(name for name in GAUGES if not name.endswith(("_calls", "_limit")))
)
def test_each_bound_has_an_alert(gauge: str) -> None:
    rules = yaml.safe_load((MONITORING / "alerts.yaml").read_text())["spec"]["groups"]
    asked = [rule["expr"] for group in rules for rule in group["rules"]]
    assert any(re.search(rf"\b{gauge}\b", expression) for expression in asked)


@pytest.mark.parametrize(("where", "expression"), expressions())
def test_a_query_asks_for_what_is_exposed(where: str, expression: str) -> None:
    known = {"up", *(name for names in families().values() for name in names)}

    def look(node: promql_parser.Expr) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            assert node.name in known, where
            asked = {matcher.name for matcher in node.matchers.matchers}
            assert asked <= (LABELS if node.name != "up" else {"job"}), where
        if isinstance(node, promql_parser.AggregateExpr) and node.modifier:
            assert set(node.modifier.labels) <= LABELS, where

    promql_parser.walk(promql_parser.parse(expression), look)


def test_every_metric_is_on_the_dashboard_or_in_an_alert() -> None:
    asked = " ".join(query for _where, query in expressions())
    unseen = {name for name, series in families().items() if not any(s in asked for s in series)}
    assert unseen == set()
