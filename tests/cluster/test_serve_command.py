"""`rewardplane serve` as a process: ready, reload by signal, refusal of a taken port, clean end."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = [pytest.mark.ray, pytest.mark.timeout(180)]

REWARDPLANE = [sys.executable, "-m", "rewardplane.cli"]


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of rewards."""
    path = tmp_path_factory.mktemp("serve") / "rewards.yaml"
    path.write_text("rewards: {one: {kind: exact}}\n")
    return path


@pytest.fixture(scope="module")
def serving(config: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """The command, serving on a port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = [*REWARDPLANE, "serve", str(config), "--port", str(port), "--metrics-port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("serving on"):
                break
        yield process, port
        process.kill()


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """One command to its end."""
    return subprocess.run(
        [*REWARDPLANE, *arguments], capture_output=True, text=True, timeout=90, check=False
    )


def test_a_taken_port_names_its_owner(
    serving: tuple[subprocess.Popen[str], int], config: Path
) -> None:
    process, port = serving
    refused = run("serve", str(config), "--port", str(port), "--metrics-port", "0")
    assert refused.returncode == 1
    assert f"held by `rewardplane serve`, pid {process.pid}" in refused.stderr


def test_reload_tells_what_changed_and_what_is_wrong(
    serving: tuple[subprocess.Popen[str], int], config: Path
) -> None:
    _process, port = serving
    config.write_text("rewards: {one: {kind: exact, version: two}}\n")
    reloaded = run("reload", "--port", str(port))
    assert reloaded.returncode == 0, reloaded.stderr
    assert "changed: one" in reloaded.stdout.replace("\n", " ")
    assert "two" in run("list", "--target", f"127.0.0.1:{port}").stdout
    config.write_text("rewards: {one: {kind: exakt}}\n")
    refused = run("reload", "--port", str(port))
    assert refused.returncode == 1
    assert "did you mean 'exact'" in refused.stderr


def test_sigterm_ends_it_cleanly(serving: tuple[subprocess.Popen[str], int]) -> None:
    process, port = serving
    begin_s = time.monotonic()
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait(timeout=30) == 0
    assert time.monotonic() - begin_s < 15
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=1)
