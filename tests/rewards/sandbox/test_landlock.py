"""Landlock rules, each tried by a process that holds itself to them."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from rewardplane.rewards.sandbox import kernel, landlock


@pytest.fixture(autouse=True)
def _has_landlock() -> None:
    try:
        landlock.version()
    except OSError as error:
        pytest.skip(f"this kernel has no Landlock: {error}")


def confined(rules: int, act: Callable[[], object]) -> int:
    """The errno that an act meets in a process held to rules; 0: none."""
    pid = os.fork()
    if pid == 0:
        code = 255
        try:
            kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)()
            landlock.restrict(rules)()
            act()
            code = 0
        except OSError as error:
            code = error.errno or 255
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def opened(path: Path, flags: int = os.O_RDONLY) -> Callable[[], None]:
    return lambda: os.close(os.open(path, flags))


def run_true() -> None:
    os.execv("/bin/true", ["true"])  # noqa: S606 - it must not come to that


@pytest.mark.parametrize("abi", [1, 2, 3, 4, 5, 6, 7])
def test_only_what_is_named_may_be_read(tmp_path: Path, abi: int) -> None:
    if abi > landlock.version():
        pytest.skip("newer than this kernel's")
    for name in ("open", "shut", "listed", "scratch"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("x")
    rules = landlock.ruleset(
        abi,
        [str(tmp_path / "open")],
        [str(tmp_path / "listed")],
        [str(tmp_path / "scratch")],
        ["/dev/null"],
    )
    try:
        assert confined(rules, opened(tmp_path / "open/file")) == 0
        assert confined(rules, opened(tmp_path / "open/file", os.O_WRONLY)) == errno.EACCES
        assert confined(rules, opened(tmp_path / "open/new", os.O_CREAT)) == errno.EACCES
        assert confined(rules, opened(tmp_path / "shut/file")) == errno.EACCES
        assert confined(rules, opened(tmp_path / "listed/file")) == errno.EACCES
        assert confined(rules, lambda: list((tmp_path / "listed").iterdir())) == 0
        assert confined(rules, lambda: list(tmp_path.iterdir())) == errno.EACCES
        assert confined(rules, lambda: (tmp_path / "scratch/new").write_text("y")) == 0
        assert confined(rules, opened(Path("/dev/null"), os.O_WRONLY)) == 0
        assert confined(rules, run_true) == errno.EACCES
    finally:
        os.close(rules)


def test_a_rule_for_a_path_that_is_not_there_is_an_error() -> None:
    with pytest.raises(FileNotFoundError):
        landlock.ruleset(1, ["/no/such/path"])
