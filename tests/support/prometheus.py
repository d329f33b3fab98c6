"""A real Prometheus that scrapes ports of this machine, for tests."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import promql_parser
import yaml

PROMETHEUS, PROMTOOL = shutil.which("prometheus"), shutil.which("promtool")
MONITORING = Path(__file__).parents[2] / "deploy" / "monitoring"
SCRAPE_S = 0.5
ONLY_ON_RAY = (
    *("rewardplane_model_", "rewardplane_judge_model_changes"),
    *("rewardplane_replicas", "rewardplane_backlog_seconds"),
)
"""How names of metrics begin that a service without Ray has no data of: it has no models, and
scales nothing."""
_COMPARING = {"==", "!=", ">", "<", ">=", "<="}


def rules() -> Any:
    """The rules as a plain Prometheus loads them: what the operator makes of the file."""
    return yaml.safe_load((MONITORING / "alerts.yaml").read_text())["spec"]


def panels() -> list[tuple[str, str]]:
    """Each panel's title with each of its queries, for a quick scrape and all rewards."""
    board = json.loads((MONITORING / "dashboard.json").read_text())
    return [
        (panel["title"], target["expr"].replace("$__rate_interval", "1m").replace("$reward", ".*"))
        for panel in board["panels"]
        for target in panel["targets"]
    ]


def measured(expression: str) -> list[str]:
    """What an alert compares: its expression without thresholds, which has data at any time."""

    def parts(node: Any) -> Iterator[str]:
        if isinstance(node, promql_parser.BinaryExpr) and str(node.op) == "or":
            yield from parts(node.lhs)
            yield from parts(node.rhs)
        elif isinstance(node, promql_parser.BinaryExpr) and str(node.op) in _COMPARING:
            yield from parts(node.lhs)
        elif isinstance(node, promql_parser.ParenExpr):
            yield from parts(node.expr)
        elif isinstance(node, promql_parser.Call) and node.func.name == "absent":
            yield from parts(node.args[0])
        else:
            yield node.prettify()

    return list(parts(promql_parser.parse(expression)))


class Prometheus:
    """Asks a Prometheus by its HTTP API."""

    def __init__(self, url: str) -> None:
        self._url = url

    def get(self, path: str, **params: str) -> Any:
        """The data of an answer."""
        query = urllib.parse.urlencode(params)
        with urllib.request.urlopen(f"{self._url}/api/v1/{path}?{query}", timeout=30) as answer:  # noqa: S310 - ours
            told = json.load(answer)
        assert told["status"] == "success", told
        return told["data"]

    def query(self, expression: str) -> list[Any]:
        """The series of an expression now."""
        return self.get("query", query=expression)["result"]


@contextmanager
def prometheus(folder: Path, gateways: Mapping[str, int]) -> Iterator[Prometheus]:
    """Scrapes these metrics ports, each with the name of its pod, and evaluates the rules."""
    assert PROMETHEUS is not None
    config = {
        "global": {
            "scrape_interval": f"{SCRAPE_S * 1000:.0f}ms",
            "scrape_timeout": f"{SCRAPE_S * 1000:.0f}ms",
            "evaluation_interval": "1s",
        },
        "rule_files": ["rules.yaml"],
        "scrape_configs": [
            {
                "job_name": "rewardplane-metrics",
                "static_configs": [
                    {"targets": [f"127.0.0.1:{port}"], "labels": {"pod": pod}}
                    for pod, port in gateways.items()
                ],
            }
        ],
    }
    (folder / "prometheus.yaml").write_text(json.dumps(config))
    (folder / "rules.yaml").write_text(json.dumps(rules()))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    command = [
        *(PROMETHEUS, f"--config.file={folder / 'prometheus.yaml'}", "--log.level=warn"),
        *(f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address={address}"),
    ]
    with (folder / "prometheus.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            until_s = time.monotonic() + 60
            while True:
                try:
                    with urllib.request.urlopen(f"http://{address}/-/ready", timeout=5):
                        break
                except OSError:
                    assert process.poll() is None, (folder / "prometheus.log").read_text()
                    assert time.monotonic() < until_s, "Prometheus is not ready"
                    time.sleep(0.1)
            yield Prometheus(f"http://{address}")
        finally:
            process.terminate()
            process.wait(30)
