"""The level that is claimed, what is said of what is missing, and the refusal below a demand."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from rewardplane.rewards.sandbox.level import Canary, Control, IsolationUnavailable, Level, Report
from rewardplane.rewards.sandbox.limits import Limits
from rewardplane.rewards.sandbox.pool import SandboxPool
from rewardplane.rewards.sandbox.probe import controls_of, guest_kernel
from rewardplane.rewards.sandbox.seed import SeedFailed

from .pools import PROFILE, gone, started


@pytest.mark.parametrize("level", [Level.PROCESS, Level.CONFINED, Level.NAMESPACED])
async def test_a_level_is_proven(level: Level) -> None:
    async with started(level) as pool:
        report = pool.report
        assert report.level == level
        assert report.missing(level) == []
        names = {c.name for c in report.canaries}
        assert len(names) == len(report.canaries)
        assert {"late_import", "memory", "loop", "flood"} <= names
        assert ("fork" in names) == (level >= Level.CONFINED)
        assert ("stat_file" in names) == (level >= Level.NAMESPACED)
        assert all(c.seen for c in report.canaries)


async def test_below_the_demand_it_does_not_start() -> None:
    pool = SandboxPool(PROFILE, slots=1, demand=Level.GUEST_KERNEL, declared_kernel="")
    with pytest.raises(IsolationUnavailable, match="guest_kernel: not declared") as caught:
        pool.start()
    await gone(pool.zygote_pids())
    again = pickle.loads(pickle.dumps(caught.value))  # noqa: S301 - our own
    assert str(again) == str(caught.value)


async def test_a_pool_that_is_told_to_go_no_higher_says_so() -> None:
    pool = SandboxPool(PROFILE, slots=1, demand=Level.NAMESPACED, at_most=Level.CONFINED)
    with pytest.raises(IsolationUnavailable, match="no higher than CONFINED"):
        pool.start()


async def test_a_module_that_cannot_be_imported_is_named() -> None:
    pool = SandboxPool(
        type(PROFILE)("test", modules=("no_such_module",)), slots=1, demand=Level.PROCESS
    )
    with pytest.raises(SeedFailed, match="no_such_module"):
        pool.start()


async def test_a_declared_kernel_counts_where_it_is_not_refuted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """By a faked /proc: there is no gVisor here."""
    (tmp_path / "version").write_text("Linux version 4.4.0 #1 SMP Sun Jan 10 15:06:54 PST 2016")
    monkeypatch.setattr(
        "rewardplane.rewards.sandbox.pool.guest_kernel", lambda d: guest_kernel(d, tmp_path)
    )
    async with started(Level.GUEST_KERNEL, declared_kernel="gvisor") as pool:
        assert pool.report.level == Level.GUEST_KERNEL
    monkeypatch.setenv("REWARDPLANE_GUEST_KERNEL", "gvisor")
    async with started(Level.GUEST_KERNEL) as pool:
        assert pool.report.level == Level.GUEST_KERNEL


def test_a_declared_kernel_is_refuted_by_what_is_seen(tmp_path: Path) -> None:
    (tmp_path / "version").write_text("Linux version 6.1.0-18-amd64")
    (tmp_path / "cpuinfo").write_text("flags\t\t: fpu vme sse2\n")
    assert not guest_kernel("gvisor", tmp_path).held
    assert not guest_kernel("firecracker", tmp_path).held
    assert not guest_kernel("vmware", tmp_path).held
    assert not guest_kernel("", tmp_path).held


def test_what_is_missing_has_a_reason_and_a_remedy() -> None:
    told = {"no_new_privs": "", "seccomp": "", "files": "", "uid": "EPERM (setgroups)"}
    by_name = {c.name: c for c in controls_of(Level.NAMESPACED, told, "")}
    assert by_name["seccomp"].held
    assert not by_name["uid"].held
    assert "EPERM (setgroups)" in by_name["uid"].why
    assert "CAP_SETUID" in by_name["uid"].why
    assert "seccomp-namespaced.json" in by_name["user_namespace"].why
    assert not controls_of(Level.CONFINED, None, "the zygote died")[0].held


def test_a_canary_that_got_through_is_missing() -> None:
    canary = Canary("fork", Level.CONFINED, stopped=False, seen="it got through")
    report = Report(Level.PROCESS, (Control("uid", Level.CONFINED, held=True),), (canary,))
    assert report.missing(Level.PROCESS) == []
    assert report.missing(Level.CONFINED) == ["canary fork got through: it got through"]


def test_limits_are_cut_to_the_most() -> None:
    cut = Limits(cpu_s=100, memory_mb=64).within(Limits(cpu_s=2, memory_mb=512))
    assert cut == Limits(cpu_s=2, memory_mb=64)
