"""deploy/base/head.sh: what the head pod runs, with stand-ins for the two commands it starts."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

FAKE_RAY = """#!/bin/bash
case $1 in
  start) echo "$*" >>said; touch up; exec sleep 30;;
  health-check) test -e up;;
esac
"""
FAKE_SERVICE = """#!/bin/bash
echo "rewardplane $*" >>said
trap 'echo drained >>said; exit 0' TERM
while true; do sleep 0.05; done
"""


@pytest.fixture
def head(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """head.sh as it runs in the pod, with a stand-in for the two commands that it starts."""
    for name, text in (("ray", FAKE_RAY), ("rewardplane", FAKE_SERVICE)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    env = {
        "PATH": f"{tmp_path}:/usr/bin:/bin",
        "KUBERAY_GEN_RAY_START_CMD": "ray start --head --resources='{\"a\":1}'",
        "ACCESS": "--access /etc/access.yaml",
        "SERVE_FLAGS": "--autoscaled",
    }
    command = ["bash", ROOT / "deploy" / "base" / "head.sh"]
    process = subprocess.Popen(command, cwd=tmp_path, env=env, start_new_session=True)
    said = tmp_path / "said"
    deadline_s = time.monotonic() + 20
    while not (said.exists() and "rewardplane" in said.read_text()):
        assert time.monotonic() < deadline_s
        time.sleep(0.05)
    yield process
    subprocess.run(["pkill", "-KILL", "-s", str(process.pid)], check=False)
    process.wait()


def test_the_head_drains_the_service_when_the_pod_ends(
    head: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    started, served = (tmp_path / "said").read_text().splitlines()
    assert started == 'start --head --resources={"a":1}'
    assert served.endswith("--address auto --keep --access /etc/access.yaml --autoscaled")
    head.send_signal(signal.SIGTERM)
    assert head.wait(timeout=10) == 0
    assert (tmp_path / "said").read_text().splitlines()[-1] == "drained"


@pytest.mark.parametrize("who", ["sleep 30", "rewardplane"])
def test_the_head_ends_when_one_of_its_two_parts_ends(
    head: subprocess.Popen[bytes], who: str
) -> None:
    subprocess.run(["pkill", "-KILL", "-s", str(head.pid), "-f", who], check=True)
    assert head.wait(timeout=10) == 1
