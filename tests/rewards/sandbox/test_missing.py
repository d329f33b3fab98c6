"""Where the kernel lacks a primitive, or only says that it has it, the level drops and says why."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
UID = "54321"
USERS = ["0", UID] if os.geteuid() == 0 else ["self"]


def report(user: str, *denied: tuple[str, str], compilers: bool = False) -> dict[str, Any]:
    """What a sandbox reports where the kernel answers so to calls, each an errno and names."""
    command = [str(HERE / "probe.py"), *(["--compilers"] if compilers else [])]
    for error, calls in denied:
        command = [str(HERE / "deny.py"), error, calls, *command]
    if user != "self":
        # Root too: what it drops to must be able to read the interpreter.
        command = [str(HERE / "as_user.py"), user, *command]
    done = subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


@pytest.mark.parametrize("user", USERS)
def test_no_user_namespaces(user: str) -> None:
    found = report(user, ("EPERM", "unshare"))
    assert found["level"] == "CONFINED"
    assert "EPERM" in found["missing"]["user_namespace"]


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("error", ["ENOSYS", "ENOTSUP"])  # not built, and not in lsm=
def test_no_landlock_where_a_private_root_cannot_stand_for_it(user: str, error: str) -> None:
    found = report(user, (error, "landlock_create_ruleset"), ("EPERM", "unshare"))
    assert found["level"] == "PROCESS"
    assert error in found["missing"]["files"]


@pytest.mark.parametrize("user", USERS)
def test_compilers_want_landlock_where_a_private_root_can_stand_for_it_else(user: str) -> None:
    denied = ("ENOSYS", "landlock_create_ruleset")
    assert report(user, denied)["missing"].get("files") is None
    found = report(user, denied, compilers=True)
    assert found["level"] == "PROCESS"
    assert "compilers want Landlock" in found["missing"]["files"]


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("error", ["ENOSYS", "EPERM"])
def test_no_seccomp(user: str, error: str) -> None:
    found = report(user, (error, "seccomp"))
    assert found["level"] == "PROCESS"
    assert error in found["missing"]["seccomp"]


@pytest.mark.parametrize("user", USERS)
def test_canaries_notice_a_landlock_that_does_nothing(user: str) -> None:
    found = report(user, ("0", "landlock_restrict_self"), ("EPERM", "unshare"))
    assert found["level"] == "PROCESS"
    assert "files" not in found["missing"]
    assert found["through"]


@pytest.mark.parametrize("user", USERS)
def test_canaries_notice_a_seccomp_that_does_nothing(user: str) -> None:
    found = report(user, ("0", "seccomp"))
    assert found["level"] == "PROCESS"
    assert "seccomp" not in found["missing"]
    assert found["through"]


@pytest.mark.parametrize("user", USERS)
def test_a_host_without_any_of_it_can_run_trusted_code_alone(user: str) -> None:
    denied = "unshare,seccomp,landlock_create_ruleset"
    assert report(user, ("ENOSYS", denied))["level"] == "PROCESS"
