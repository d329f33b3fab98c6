"""`rewardplane doctor`: what a host has and lacks, with what to do about it."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import resource
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
from rewardplane.config.load import ConfigError, load
from rewardplane.config.replicas import most_of
from rewardplane.gateway.doors.door import DoorKind, DoorUnavailable, door_class
from rewardplane.host.options import Options

from . import sandbox_report

MIN_FILES = 4096
MIN_SHM_BYTES = 256 * 2**20
MIN_MEMORY_BYTES = 2 * 2**30


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `is_missing`: it is needed and not there."""

    what: str
    seen: str
    advice: str = ""
    is_missing: bool = False

    @property
    def mark(self) -> str:
        """For a table: what is well, what could be better, what is missing."""
        if self.is_missing:
            return "[red]missing[/red]"
        return "[yellow]note[/yellow]" if self.advice else "[green]ok[/green]"

    def as_dict(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


def findings(config: Path | None) -> list[Finding]:
    """What this host has and lacks; with `config` also what its rewards want."""
    found = [*_versions(), *_resources(), *_ports(), _door(), _ray(), _sandbox()]
    return found + list(_config(config)) if config is not None else found


def _versions() -> Iterator[Finding]:
    ours = importlib.metadata.version("rewardplane")
    where = f"Python {platform.python_version()} at {sys.prefix}, {platform.platform()}"
    yield Finding("rewardplane", f"{ours}; {where}")


def _resources() -> Iterator[Finding]:
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    limit = _cgroup_cpus()
    told = f"{cpus} CPUs" + (f", of which the container may use {limit:g}" if limit else "")
    yield Finding("CPU", told)
    free = min(psutil.virtual_memory().available, _cgroup_memory_left())
    lacks = free < MIN_MEMORY_BYTES
    advice = "a replica's worker may take memory_limit_mb (2048) each" if lacks else ""
    yield Finding("memory", f"{free / 2**30:.1f} GiB free", advice)
    files, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    advice = f"each client's connection is one: ulimit -n 65536 (now {files})"
    yield Finding("open files", str(files), advice if files < MIN_FILES else "")
    shm = Path("/dev/shm")  # noqa: S108 - its size is asked for
    if shm.is_dir():
        left = shutil.disk_usage(shm).free
        advice = "Ray and the workers share memory there: docker run --shm-size=1g"
        yield Finding(
            str(shm), f"{left / 2**20:,.0f} MiB free", advice if left < MIN_SHM_BYTES else ""
        )
    temporary = tempfile.gettempdir()
    writable = os.access(temporary, os.W_OK)
    yield Finding(
        "temporary files",
        f"{temporary}, {shutil.disk_usage(temporary).free / 2**30:.1f} GiB free",
        "" if writable else "it cannot be written: set TMPDIR",
        is_missing=not writable,
    )
    home = Path.home()
    if not os.access(home, os.W_OK):
        yield Finding(
            "home", str(home), "Ray writes its token there: set HOME to a writable folder"
        )


def _ports() -> Iterator[Finding]:
    options = Options()
    for what, port in (("gRPC", options.port), ("metrics", options.metrics_port)):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((options.host, port))
            except OSError as error:
                flag = "--port" if what == "gRPC" else "--metrics-port"
                yield Finding(
                    f"port {port}", f"{what}: {error.strerror}", f"serve with another {flag}"
                )
            else:
                yield Finding(f"port {port}", f"{what}: free")


def _door() -> Finding:
    try:
        door_class(DoorKind.NATIVE)
    except DoorUnavailable:
        return Finding("door", "native: not installed", "serve --door grpc, at 6 times the CPU")
    return Finding("door", f"native: pygrpc-native {importlib.metadata.version('pygrpc-native')}")


def _ray() -> Finding:
    try:
        version = importlib.metadata.version("ray")
    except importlib.metadata.PackageNotFoundError:
        return Finding(
            "Ray", "not installed", "only `serve --no-ray` works: pip install '.[serve]'"
        )
    running = Path(tempfile.gettempdir()) / "ray" / "ray_current_cluster"
    there = f"; a cluster at {running.read_text().strip()}" if running.exists() else ""
    return Finding("Ray", f"{version}{there}")


def _sandbox() -> Finding:
    try:
        report = sandbox_report.probe()
    except Exception as error:  # noqa: BLE001 - whatever keeps it from starting is what is asked for
        return Finding("sandbox", f"does not start: {error}", "see docs/sandbox.md")
    above, *lacks = sandbox_report.next_level(report) or [""]
    advice = f"{above} {'; '.join(line.removeprefix('- ') for line in lacks)}".strip()
    return Finding("sandbox", f"level {report.level.name}", advice)


def _config(path: Path) -> Iterator[Finding]:
    try:
        served = load(path)
    except ConfigError as error:
        for fault in error.faults:
            yield Finding(str(path), fault, "see `rewardplane check`", is_missing=True)
        return
    cpus = sum(
        model.settings.cpus * most_of(model.settings.replicas) for model in served.asked_models()
    )
    for model in served.asked_models():
        yield from _key(f"models.{model.name}", model.settings.endpoint)
    for name, reward in served.rewards.items():
        default = 0.0 if reward.lane == "inline" else 1.0
        each = float(reward.settings.ray_actor_options.get("num_cpus", default))
        cpus += each * most_of(reward.settings.replicas) * reward.has_replicas
        built = reward.build()
        for warning in built.warnings:
            yield Finding(f"rewards.{name}", warning, "see docs/rewards.md")
        yield from _key(f"rewards.{name}", reward.params)
    have = os.cpu_count() or 1
    advice = f"its replicas compete for {have} CPUs" if cpus > have else ""
    yield Finding(str(path), f"{len(served.rewards)} rewards, {cpus:g} CPUs in all", advice)


def _key(place: str, settings: Mapping[str, Any]) -> Iterator[Finding]:
    """The key of an endpoint that the environment should have and has not."""
    key = str(settings.get("api_key_env") or "")
    if key and not os.environ.get(key):
        yield Finding(place, f"{key} is not set", f"export {key}=…", is_missing=True)


def _cgroup_cpus() -> float | None:
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
    except (OSError, ValueError):
        return None
    return None if quota == "max" else int(quota) / int(period)


def _cgroup_memory_left() -> int:
    folder = Path("/sys/fs/cgroup")
    try:
        limit = (folder / "memory.max").read_text().strip()
        used = int((folder / "memory.current").read_text())
    except (OSError, ValueError):
        return 2**63
    return 2**63 if limit == "max" else int(limit) - used
