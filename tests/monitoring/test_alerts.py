"""Each alert fires where it should and is silent where it should not, by `promtool test rules`."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from ..support.prometheus import PROMTOOL, rules

pytestmark = pytest.mark.skipif(PROMTOOL is None, reason="needs Debian's prometheus")

POD = '{pod="a"}'
UP = 'up{job="rewardplane-metrics",pod='
ITEMS = 'rewardplane_items_total{reward="r",reason='
CALLS = "rewardplane_requests_total{"
REFUSED = "rewardplane_refusals_total{"
WANTED = {"replicas_wanted": 3, "replicas": 2}


@dataclass(frozen=True)
class Case:
    """Series of samples, one a minute, under which an alert fires within `minutes`.

    `calm`: series under which it does not; they are alike, but for what matters.
    """

    fires: dict[str, str]
    calm: dict[str, str]
    minutes: int = 60


def counter(per_minute: float) -> str:
    """A counter that grows evenly."""
    return f"0+{per_minute:g}x120"


def level(value: float) -> str:
    """A gauge that stays."""
    return f"{value:g}x120"


def bins(name: str, slow: bool) -> dict[str, str]:
    """A histogram, all of it below 1 s or between 30 and 60 s."""
    return {
        f'{name}{{reward="r",le="{bound}"}}': counter(60 if not slow or bound != "1" else 0)
        for bound in ("1", "60", "+Inf")
    }


def gauge(name: str, fires: float, calm: float, limit: str = "", labels: str = POD) -> Case:
    """One gauge, perhaps against its limit of 100."""
    most = {f"{limit}{labels}": level(100)} if limit else {}
    return Case({name + labels: level(fires), **most}, {name + labels: level(calm), **most})


CASES: dict[str, Case] = {
    "RewardplaneDown": Case(
        {UP + '"a"}': level(0), UP + '"b"}': level(0)},
        {UP + '"a"}': level(1), UP + '"b"}': level(0)},
    ),
    "RewardplaneGatewayDown": Case(
        {UP + '"a"}': level(1), UP + '"b"}': level(0)},
        {UP + '"a"}': level(1), UP + '"b"}': "1 0 0 1x100"},  # a restart
    ),
    "RewardplaneConfigurationsDiffer": Case(
        {f'rewardplane_config_generation{{pod="{p}"}}': level(n) for p, n in (("a", 1), ("b", 2))},
        {f'rewardplane_config_generation{{pod="{p}"}}': level(2) for p in "ab"},
    ),
    "RewardplaneSandboxFails": Case(
        {'rewardplane_sandbox_faults_total{reward="r"}': counter(1)},
        {'rewardplane_sandbox_faults_total{reward="r"}': counter(0.2)},
    ),
    "RewardplaneItemsFail": Case(
        {ITEMS + '"SCORED"}': counter(90), ITEMS + '"TIMED_OUT"}': counter(10)},
        {
            ITEMS + '"SCORED"}': counter(99),
            ITEMS + '"TIMED_OUT"}': counter(1),
            ITEMS + '"NOT_APPLICABLE"}': counter(900),
        },
    ),
    "RewardplaneJobWithoutRewards": gauge(
        "rewardplane_health_error_ratio", 0.9, 0.5, labels='{reward="r",training_job="j"}'
    ),
    "RewardplaneNothingToLearn": gauge(
        "rewardplane_health_alike_ratio", 0.99, 0.9, labels='{reward="r",training_job="j"}'
    ),
    "RewardplaneCallsFail": Case(
        {CALLS + 'reward="r",code="INTERNAL"}': counter(1)},
        {
            CALLS + 'reward="r",code="INTERNAL"}': level(3),
            CALLS + 'reward="r",code="NOT_FOUND"}': counter(9),
        },
    ),
    "RewardplaneRefuses": Case(
        {CALLS + 'code="OK"}': counter(90), CALLS + 'code="RESOURCE_EXHAUSTED"}': counter(10)},
        {CALLS + 'code="OK"}': counter(999), CALLS + 'code="RESOURCE_EXHAUSTED"}': counter(1)},
    ),
    "RewardplaneQueues": Case(
        bins("rewardplane_queue_seconds_bucket", slow=True),
        bins("rewardplane_queue_seconds_bucket", slow=False),
    ),
    "RewardplaneNoRoomToScale": Case(
        {f'rewardplane_{n}{{reward="r",pod="a"}}': level(v) for n, v in WANTED.items()},
        {f'rewardplane_{n}{{reward="r",pod="a"}}': level(3) for n in WANTED},
    ),
    "RewardplaneWorkersDie": Case(
        {'rewardplane_worker_restarts_total{reward="r",cause="crashed"}': counter(2)},
        {'rewardplane_worker_restarts_total{reward="r",cause="crashed"}': counter(0.5)},
    ),
    "RewardplaneReplicasLost": Case(
        {'rewardplane_retries_total{reward="r"}': counter(1)},
        {'rewardplane_retries_total{reward="r"}': counter(0.1)},
    ),
    "RewardplaneModelChanged": Case(
        {'rewardplane_judge_model_changes_total{reward="r"}': counter(0.1)},
        {'rewardplane_judge_model_changes_total{reward="r"}': level(7)},
    ),
    "RewardplaneNoSignal": Case(
        {
            'rewardplane_groups_total{reward="r"}': counter(100),
            'rewardplane_zero_variance_groups_total{reward="r"}': counter(95),
        },
        {
            'rewardplane_groups_total{reward="r"}': counter(100),
            'rewardplane_zero_variance_groups_total{reward="r"}': counter(80),
        },
    ),
    "RewardplaneLoopHeld": gauge("rewardplane_loop_lag_seconds", 0.8, 0.2),
    "RewardplaneMemoryFills": gauge(
        "rewardplane_in_flight_bytes", 90, 70, "rewardplane_in_flight_bytes_limit"
    ),
    "RewardplaneMemoryFills by items": gauge(
        "rewardplane_in_flight_items", 90, 70, "rewardplane_in_flight_items_limit"
    ),
    "RewardplaneUnfinishedMessages": gauge(
        "rewardplane_unfinished_bytes", 60, 40, "rewardplane_in_flight_bytes_limit"
    ),
    "RewardplaneConnectionsCut": Case(
        {f"rewardplane_connections_cut{POD}": counter(1)},
        {f"rewardplane_connections_cut{POD}": level(12)},
    ),
    "RewardplaneDoorRefuses": Case(
        {f"rewardplane_refused_at_door{POD}": counter(1)},
        {f"rewardplane_refused_at_door{POD}": level(12)},
    ),
    "RewardplaneManyConnections": gauge("rewardplane_connections", 6000, 4000),
    "RewardplaneManyOpenCalls": gauge("rewardplane_open_calls", 60_000, 40_000),
    "RewardplaneGatewayLarge": gauge(
        "rewardplane_resident_bytes", 500, 300, "rewardplane_in_flight_bytes_limit"
    ),
    "RewardplaneStrangersCall": Case(
        {REFUSED + 'reason="UNKNOWN_TOKEN",caller=""}': counter(10)},
        {
            REFUSED + 'reason="OVERLOADED",caller=""}': counter(10),
            REFUSED + 'reason="REWARD",caller="a"}': counter(10),
        },
    ),
    "RewardplaneCallerRefused": Case(
        {REFUSED + 'reason="REWARD",caller="a"}': counter(10)},
        {
            REFUSED + 'reason="REWARD",caller=""}': counter(10),
            REFUSED + 'reason="items_per_s",caller="a"}': counter(10),
        },
    ),
    "RewardplaneCallerOverQuota": Case(
        {REFUSED + 'reason="items_per_s",caller="a"}': counter(1)},
        {
            REFUSED + 'reason="items_per_s",caller="a"}': "0 5x119",
            REFUSED + 'reason="REWARD",caller="a"}': counter(1),
        },
    ),
    # The tests' clock begins at 0.
    "RewardplaneCredentialExpires": Case(
        {'rewardplane_credential_expiry_timestamp_seconds{credential="token"}': level(3 * 86400)},
        {'rewardplane_credential_expiry_timestamp_seconds{credential="token"}': level(9 * 86400)},
        minutes=90,
    ),
    "RewardplaneAccessStale": gauge(
        "rewardplane_access_fault", 1, 0, labels='{what="files",pod="a"}'
    ),
}


def test_every_alert_has_a_case() -> None:
    alerts = {rule["alert"] for group in rules()["groups"] for rule in group["rules"]}
    assert {name.split()[0] for name in CASES} == alerts


def test_they_are_sound(tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text(json.dumps(rules()))
    done = subprocess.run(
        [str(PROMTOOL), "check", "rules", "--lint=all", "--lint-fatal", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_fires_where_it_should_and_nowhere_else(tmp_path: Path) -> None:
    """Of all alerts only the one of the case fires; in its calm, not even that."""
    tests: list[dict[str, object]] = []
    for name, case in CASES.items():
        alert = name.split()[0]
        for series, wanted in ((case.fires, 1), (case.calm, 0)):
            asked = f'count(ALERTS{{alertname="{alert}",alertstate="firing"}}) > 0 or vector(0)'
            tests.append(
                {
                    "name": f"{name} {'fires' if wanted else 'calm'}",
                    "interval": "1m",
                    "input_series": [{"series": s, "values": v} for s, v in series.items()],
                    "promql_expr_test": [
                        {
                            "expr": f"clamp_max({asked}, 1)",
                            "eval_time": f"{case.minutes}m",
                            "exp_samples": [{"labels": "{}", "value": wanted}],
                        }
                    ],
                }
            )
    done = promtool_test(tmp_path, tests)
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_they_say_can_be_read(tmp_path: Path) -> None:
    """The texts' templates: promtool tells what became of them where another text is expected."""
    tests = [
        {
            "name": name,
            "interval": "1m",
            "input_series": [{"series": s, "values": v} for s, v in case.fires.items()],
            "alert_rule_test": [
                {"alertname": name.split()[0], "eval_time": f"{case.minutes}m", "exp_alerts": []},
            ],
        }
        for name, case in CASES.items()
    ]
    done = promtool_test(tmp_path, tests)
    told = done.stdout + done.stderr
    assert done.returncode == 1
    assert told.count("summary=") >= len(CASES)
    assert "error expanding" not in told
    assert "NaN" not in told


def promtool_test(folder: Path, tests: list[dict[str, object]]) -> subprocess.CompletedProcess[str]:
    """What promtool says of tests of the rules."""
    (folder / "rules.yaml").write_text(json.dumps(rules()))
    (folder / "tests.yaml").write_text(
        json.dumps({"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": tests})
    )
    command = [str(PROMTOOL), "test", "rules", str(folder / "tests.yaml")]
    return subprocess.run(command, capture_output=True, text=True, check=False)
