"""What all runs of a pool have in common."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Tool:
    """A program of this host that children may become. All paths are absolute, and exist."""

    path: str
    loader: str
    """The dynamic loader that the kernel starts for it; empty: it needs none."""
    reads: tuple[str, ...]
    """Files and folders that it may read."""


@dataclass(frozen=True)
class Profile:
    """Set once for a pool; what differs from run to run is in `limits.Limits`."""

    name: str
    modules: tuple[str, ...] = ()
    """Imported before any run, so that no run pays for it."""
    guests: tuple[str, ...] = ()
    """The modules of `guest/` that may be run."""
    tools: tuple[Tool, ...] = ()
    """Programs of this host that a run may become."""
    scratch_mb: int = 16
    """Of /tmp, from NAMESPACED on; below, nothing can be written, and never in a session."""
    scratch_files: int = 1024
    recycle_runs: int = 2000
    """After so many runs a slot gets a new zygote,"""
    recycle_s: float = 600.0
    """and after so many seconds."""
