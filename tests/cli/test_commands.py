"""The command as a person runs it, without Ray: first steps, messages, reload, watch."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from rewardplane.cli.commands import app
from rewardplane.client.sync_client import SyncRewardClient
from typer.testing import CliRunner

REWARDPLANE = [sys.executable, "-m", "rewardplane.cli"]


def run(*arguments: str | Path, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """One command to its end; it shows no traceback, whatever happens."""
    done = subprocess.run(
        [*REWARDPLANE, *arguments],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
        cwd=folder,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Serving:
    """`rewardplane serve --no-ray`, until its "serving on"."""

    def __init__(self, config: Path, *flags: str) -> None:
        self.port = free_port()
        self.target = f"127.0.0.1:{self.port}"
        command = [*REWARDPLANE, "serve", str(config), "--no-ray", "--port", str(self.port)]
        self.process = subprocess.Popen(
            [*command, "--metrics-port", "0", *flags],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self.process.stdout is not None
        assert any(line.startswith("serving on") for line in self.process.stdout)

    def end(self) -> None:
        self.process.terminate()
        assert self.process.wait(timeout=60) == 0
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `init` writes."""
    folder = tmp_path_factory.mktemp("init") / "new"
    done = run("init", folder)
    assert done.returncode == 0, done.stderr
    assert "rewardplane score sample.jsonl --config rewards.yaml" in done.stdout
    return folder


@pytest.fixture(scope="module")
def serving(started: Path) -> Iterator[Serving]:
    made = Serving(started / "rewards.yaml", "--watch")
    yield made
    made.end()


def test_what_init_writes_is_scored_without_a_service(started: Path) -> None:
    """As it says; a second `init` touches nothing."""
    done = run(
        *("score", "sample.jsonl", "--config", "rewards.yaml"),
        *("--reward", "math", "--output", "out.jsonl"),
        folder=started,
    )
    assert done.returncode == 0, done.stderr
    outcomes = [
        [o["reward"] for o in json.loads(line)["outcomes"]]
        for line in (started / "out.jsonl").read_text().splitlines()
    ]
    assert outcomes == [[1.0, 0.0, 0.0], [1.0, 0.0]]
    first = json.loads((started / "out.jsonl").read_text().splitlines()[0])["outcomes"]
    assert [outcome["components"] for outcome in first] == [
        {"parsed": 1.0},
        {"parsed": 1.0},
        {"parsed": 0.0},
    ]
    before = (started / "rewards.yaml").read_text()
    again = run("init", started)
    assert again.returncode == 1
    assert "there already" in again.stderr
    assert (started / "rewards.yaml").read_text() == before


def test_a_score_says_why_items_have_none(started: Path, tmp_path: Path) -> None:
    data = tmp_path / "data.jsonl"
    data.write_text('{"prompt": "?", "responses": ["A: 1"]}\n')
    done = run("score", data, "--config", started / "rewards.yaml", "--reward", "math")
    assert done.returncode == 2
    assert "INVALID_REFERENCE: line 1, response 1: " in done.stderr


def test_it_serves_and_reloads_what_changes(serving: Serving, started: Path) -> None:
    with SyncRewardClient(serving.target) as client:
        columns = {"answer": ["1"]}
        assert client.rewards("math", ["?"], ["A: 1"], columns) == [1.0]
        assert client.rewards("brevity", ["?"], ["x" * 200], columns) == [0.5]
        mine = started / "my_rewards.py"
        mine.write_text(mine.read_text().replace("/ 400", "/ 800"))
        until_s = time.monotonic() + 60
        while client.rewards("brevity", ["?"], ["x" * 200], columns) != [0.75]:
            assert time.monotonic() < until_s
            time.sleep(0.1)
    listed = json.loads(run("list", "--json", "--target", serving.target).stdout)
    assert {row["reward"] for row in listed} == {"math", "brevity"}


def test_reload_tells_what_is_wrong(serving: Serving, started: Path) -> None:
    config = started / "rewards.yaml"
    good = config.read_text()
    config.write_text(good + "  more: {kind: exact, ray_actor_options: {num_cpu: 2}}\n")
    refused = run("reload", "--port", str(serving.port))
    config.write_text(good)
    assert refused.returncode == 1
    assert "rewards.more.ray_actor_options.num_cpu: unknown; did you mean 'num_cpus'?" in (
        refused.stderr
    )
    reloaded = run("reload", "--port", str(serving.port))
    assert reloaded.returncode == 0, reloaded.stderr


def test_a_taken_port_names_the_service_that_holds_it(serving: Serving, started: Path) -> None:
    done = run("serve", started / "rewards.yaml", "--no-ray", "--port", str(serving.port))
    assert done.returncode == 1
    assert f"held by `rewardplane serve`, pid {serving.process.pid}" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("list", "--target", "nonsense"), "has no port; want host:port"),
        (("list", "--target", "http://a:1"), "is a URL"),
        (("list", "--target", "127.0.0.1:99999"), "port '99999' is no number"),
        (("list", "--target", "127.0.0.1:1"), "is `rewardplane serve` running"),
        (("serve", "none.yaml"), "none.yaml: No such file"),
        (("serve", "none.yaml", "--port", "70000"), "65535"),
        (("check", "none.yaml"), "none.yaml: No such file"),
        (("reload", "--port", "1"), "no `rewardplane serve` is known for port 1"),
        (("score", "none.jsonl", "--reward", "a", "--target", "127.0.0.1:1"), "running there"),
    ],
)
def test_a_wrong_input_is_told_in_a_line(arguments: tuple[str, ...], told: str) -> None:
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code in (1, 2)
    assert isinstance(done.exception, SystemExit)
    # typer draws a box around what it finds itself
    assert told in " ".join(done.output.replace("│", " ").split())


def test_the_version() -> None:
    assert run("--version").stdout.startswith("rewardplane 0.")


def test_the_doctor_looks_at_the_host_and_at_the_rewards(tmp_path: Path) -> None:
    config = tmp_path / "rewards.yaml"
    config.write_text("rewards: {a: {kind: exact, replica: 2}}\n")
    done = run("doctor", "--json", "--config", config)
    assert done.returncode == 1
    found = {finding["what"]: finding for finding in json.loads(done.stdout)}
    assert {"rewardplane", "CPU", "memory", "door", "Ray", "sandbox"} <= set(found)
    fault = found[str(config)]
    assert fault["is_missing"]
    assert "replica: unknown; did you mean 'replicas'?" in fault["seen"]


def test_a_fault_of_its_own_is_told_in_a_line(tmp_path: Path) -> None:
    code = (
        "import rewardplane.cli.data_commands as c, rewardplane.cli.__main__ as m, sys\n"
        "def boom(_path): raise KeyError('nobody foresaw this')\n"
        "c.load = boom\n"
        "sys.argv = ['rewardplane', 'check', 'x.yaml']\n"
        "m.main()\n"
    )
    env = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=env, check=False
    )
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 2
    (file,) = tmp_path.glob("rewardplane-*.txt")
    assert "nobody foresaw this" in file.read_text()


def test_a_signal_before_it_serves_ends_it(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(
        "import time\nclass scorer:\n"
        "    def setup(self):\n        time.sleep(300)\n"
        "    def score(self, items):\n        return [0.0 for _ in items]\n"
    )
    config = tmp_path / "rewards.yaml"
    config.write_text("rewards: {slow: {kind: python, function: 'slow:scorer'}}\n")
    port = free_port()
    command = [*REWARDPLANE, "serve", str(config), "--no-ray", "--port", str(port)]
    with subprocess.Popen([*command, "--metrics-port", "0"], stderr=subprocess.DEVNULL) as process:
        state = Path(f"/tmp/rewardplane-{os.getuid()}/{port}.json")  # noqa: S108 - as it does
        while not state.exists():
            time.sleep(0.05)
        process.send_signal(signal.SIGHUP)
        process.terminate()
        assert process.wait(timeout=60) == 0
    assert not state.exists()
