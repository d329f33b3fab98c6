"""The file by which `rewardplane reload` finds its service: nothing of others is used."""

from __future__ import annotations

import errno
import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from rewardplane.host import state as told
from rewardplane.host.options import Options
from rewardplane.host.serving import PortTaken, check_ports
from rewardplane.host.state import NotServing, State
from rewardplane.replica.own_folder import own_folder, read_own, write_own

from ..load.peer import free_port


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    return tmp_path / f"rewardplane-{os.geteuid()}"


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        yield process
        process.kill()


def test_what_was_told_is_read(home: Path) -> None:
    me = psutil.Process()
    State(me.pid, "c.yaml", me.create_time(), 3).write(50051)
    assert State.read(50051).reloads == 3
    assert stat.S_IMODE((home / "50051.json").stat().st_mode) == 0o600
    assert stat.S_IMODE(home.stat().st_mode) == 0o700


def test_a_number_that_somebody_else_has_now_gets_no_signal(
    home: Path, stranger: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    State(stranger.pid, "c.yaml", psutil.Process(stranger.pid).create_time() - 100).write(1)
    sent: list[int] = []
    sent_texts: list[str] = []
    # What an older version wrote, or anybody: no start at all.
    write_own(home / "2.json", json.dumps({"pid": stranger.pid, "config": ""}))
    with monkeypatch.context() as patched:
        patched.setattr("os.kill", lambda pid, _number: sent.append(pid))
        for port in (1, 2):
            with pytest.raises(NotServing, match="is gone"):
                told.reload(port, sent_texts.append)
    assert not sent


def test_a_folder_that_others_made_or_enter_is_not_used(home: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    home.symlink_to(elsewhere)
    me = psutil.Process()
    state = State(me.pid, "c.yaml", me.create_time())
    state.write(1)
    assert not list(elsewhere.iterdir())
    home.unlink()
    home.mkdir(mode=0o777)
    home.chmod(0o777)
    state.write(1)
    (home / "1.json").write_text(json.dumps({"pid": 1, "config": ""}))
    with pytest.raises(NotServing):
        State.read(1)


def test_links_are_not_followed(home: Path, tmp_path: Path) -> None:
    folder = own_folder()
    assert folder == home
    victim = tmp_path / "victim"
    victim.write_text("kept")
    (home / f".1.json.{os.getpid()}").symlink_to(victim)
    (home / "1.json").symlink_to(victim)
    write_own(home / "1.json", "{}")
    assert victim.read_text() == "kept"
    assert read_own(home / "1.json") == "{}"
    (home / "2.json").symlink_to(victim)
    with pytest.raises(OSError, match="symbolic"):
        read_own(home / "2.json")
    os.mkfifo(home / "3.json")
    with pytest.raises(PermissionError):
        read_own(home / "3.json")


def test_the_port_is_checked_for_gateways_that_share_it_too() -> None:
    import socket

    with socket.socket() as owner:
        owner.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        owner.bind(("127.0.0.1", 0))
        owner.listen()
        port = owner.getsockname()[1]
        with pytest.raises(PortTaken):
            check_ports(Options(port=port, metrics_port=0, gateways_per_node=2))
    check_ports(Options(port=free_port(), metrics_port=0, gateways_per_node=2))


@pytest.mark.usefixtures("home")
def test_a_disk_that_is_full_ends_no_service(monkeypatch: pytest.MonkeyPatch) -> None:

    def full(path: Path, text: str) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    state = State(os.getpid(), "rewards.yaml", psutil.Process().create_time())
    state.write(1)
    with monkeypatch.context() as patch:
        patch.setattr("rewardplane.host.state.write_own", full)
        state.reloads = 1
        state.write(1)
        assert state.is_late
        assert State.read(1).reloads == 0
    state.write(1)
    assert not state.is_late
    assert State.read(1).reloads == 1
