"""The memory that this process may have with its children: what its cgroups and the host give."""

from __future__ import annotations

from pathlib import Path

_UNLIMITED_BYTES = 1 << 60
"""cgroup v1 writes a number near 2^63 where there is no limit."""


def limit_bytes(root: Path = Path("/")) -> int:
    """The least of the limits of its cgroups, those above them, and the host's memory.

    0: nobody knows. Of other cgroups than its own it sees those that the mount shows; in a pod that
    is the pod's.
    """
    limits = [*_of_cgroups(root), *_of_host(root)]
    return min(limits, default=0)


def fitting_slots(slots: int, memory_mb: int, root: Path = Path("/")) -> tuple[int, str]:
    """How many of the slots have room for a run of so much memory each; why, where not all do.

    0: not one has.
    """
    limit_mb = limit_bytes(root) >> 20
    if not limit_mb or slots * memory_mb <= limit_mb:
        return slots, ""
    fitting = limit_mb // memory_mb
    why = f"{slots} slots of {memory_mb} MB each want {slots * memory_mb} MB; there are {limit_mb}"
    return fitting, why


def _of_cgroups(root: Path) -> list[int]:
    found: list[int] = []
    for line in _read(root / "proc/self/cgroup").splitlines():
        _number, controllers, path = [*line.split(":", 2), "", ""][:3]
        if not controllers:
            base, name = root / "sys/fs/cgroup", "memory.max"
        elif "memory" in controllers.split(","):
            base, name = root / "sys/fs/cgroup/memory", "memory.limit_in_bytes"
        else:
            continue
        # In a cgroup namespace of its own the path may not lie below the mount: then its root does.
        parts = Path(path.lstrip("/")).parts
        for count in range(len(parts) + 1):
            text = _read(base.joinpath(*parts[:count]) / name).strip()
            if text.isdecimal() and int(text) < _UNLIMITED_BYTES:
                found.append(int(text))
    return found


def _of_host(root: Path) -> list[int]:
    for line in _read(root / "proc/meminfo").splitlines():
        name, _, value = line.partition(":")
        if name == "MemTotal":
            return [int(value.split()[0]) << 10]
    return []


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, ValueError):
        return ""
