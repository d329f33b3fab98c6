"""Dashboard and alerts ask for what the service exposes, and for all of it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import promql_parser
import pytest
import yaml
from rewardplane.gateway.metrics import Metrics

ROOT = Path(__file__).parents[1]
MONITORING = ROOT / "deploy" / "monitoring"
GAUGES = {f"rewardplane_in_flight_{what}" for what in ("items", "bytes", "calls")}
LABELS = {
    "reward",
    "job",
    "code",
    "reason",
    "cause",
    "source",
    "verdict",
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
    return found | {name: {name} for name in GAUGES}


def test_the_gauges_are_those_that_the_gateway_sets() -> None:
    source = (ROOT / "service" / "cluster" / "gateway.py").read_text()
    assert set(re.findall(r'"(rewardplane_in_\w+)"', source)) == GAUGES


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
