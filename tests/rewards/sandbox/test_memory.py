"""The memory that there is for slots, from the files of a host, and what a sandbox does without."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from rewardplane.rewards.kinds.program_run import ProgramRun
from rewardplane.rewards.sandbox.memory import fitting_slots, limit_bytes

GB = 1 << 30
MEMINFO = {"proc/meminfo": "MemTotal:        8388608 kB\nMemFree: 1 kB\n"}
V1 = {"proc/self/cgroup": "5:cpu,cpuacct:/x\n4:memory:/kube/pod\n0::/\n"}
V2 = {"proc/self/cgroup": "0::/kube/pod\n"}


def host(folder: Path, *files: dict[str, str]) -> Path:
    for name, text in {k: v for part in files for k, v in part.items()}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


@pytest.mark.parametrize(
    ("files", "limit"),
    [
        (({},), 0),
        ((MEMINFO,), 8 * GB),
        ((MEMINFO, V2, {"sys/fs/cgroup/kube/pod/memory.max": "max\n"}), 8 * GB),
        ((MEMINFO, V2, {"sys/fs/cgroup/kube/pod/memory.max": f"{GB}\n"}), GB),
        ((MEMINFO, V2, {"sys/fs/cgroup/kube/memory.max": f"{2 * GB}\n"}), 2 * GB),
        ((MEMINFO, V2, {"sys/fs/cgroup/memory.max": f"{3 * GB}\n"}), 3 * GB),
        ((MEMINFO, V1, {"sys/fs/cgroup/memory/memory.limit_in_bytes": f"{2**63 - 4096}"}), 8 * GB),
        ((MEMINFO, V1, {"sys/fs/cgroup/memory/kube/pod/memory.limit_in_bytes": f"{GB}"}), GB),
    ],
)
def test_the_least_limit_counts(
    tmp_path: Path, files: tuple[dict[str, str], ...], limit: int
) -> None:
    assert limit_bytes(host(tmp_path, *files)) == limit


@pytest.mark.parametrize(("slots", "fitting"), [(1, 1), (8, 8), (9, 8), (100, 8)])
def test_slots_are_as_many_as_have_memory(tmp_path: Path, slots: int, fitting: int) -> None:
    found, why = fitting_slots(slots, 1024, host(tmp_path, MEMINFO))
    assert found == fitting
    assert bool(why) == (slots > fitting)
    assert fitting_slots(1, 10_000, tmp_path)[0] == 0


def test_this_host_has_memory() -> None:
    assert limit_bytes() > GB // 8


def test_a_sandbox_without_the_memory_starts_fewer_slots_or_none(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    where = "rewardplane.rewards.code.sandboxed.fitting_slots"
    monkeypatch.setattr(where, lambda slots, memory_mb: (2, f"{slots} of {memory_mb}"))
    reward = ProgramRun(slots=3, memory_mb=128)
    with caplog.at_level(logging.WARNING):
        reward.setup()
    try:
        assert len(reward.pool.zygote_pids()) == 2
        assert "kind program_run: 3 of 128; it starts 2 slots" in caplog.text
    finally:
        reward.kill()
    monkeypatch.setattr(where, lambda slots, memory_mb: (0, "too much"))
    with pytest.raises(MemoryError, match="kind program_run: too much; lower memory_mb"):
        reward.setup()
