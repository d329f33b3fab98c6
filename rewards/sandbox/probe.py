"""What each control is for, what to change where it is missing, and which kernel this is."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from pathlib import Path

from .level import Control, Level
from .namespaces import NEEDS_USER

_PROFILE = (
    "allow it in the pod's seccomp profile (deploy/sandbox/seccomp-namespaced.json as Localhost), "
    "by AppArmor (appArmorProfile) and by sysctl user.max_user_namespaces and "
    "kernel.apparmor_restrict_unprivileged_userns"
)
_NEEDED: dict[str, tuple[Level, str]] = {
    "no_new_privs": (Level.CONFINED, "the kernel has none: use Linux 3.5 or later"),
    "seccomp": (Level.CONFINED, "allow seccomp(2), on a kernel with CONFIG_SECCOMP_FILTER"),
    "files": (Level.CONFINED, "use a kernel with Landlock (5.13 or later, in lsm=), or namespaces"),
    "uid": (Level.CONFINED, "run as a user that is not root, or add CAP_SETUID and CAP_SETGID"),
    "user_namespace": (Level.NAMESPACED, _PROFILE),
    "pid_namespace": (Level.NAMESPACED, _PROFILE),
    "net_namespace": (Level.NAMESPACED, _PROFILE),
    "ipc_namespace": (Level.NAMESPACED, _PROFILE),
    "uts_namespace": (Level.NAMESPACED, _PROFILE),
    "private_root": (Level.NAMESPACED, f"for mount, umount2 and pivot_root: {_PROFILE}"),
}
KERNELS = ("gvisor", "kata", "firecracker")


def controls_of(level: Level, told: Mapping[str, str] | None, failure: str) -> tuple[Control, ...]:
    """The controls of a level, by what a zygote told of them; None: it told nothing and failed."""
    if told is None:
        return (Control("zygote", level, held=False, why=failure),)
    failed = told.get("zygote", "")
    controls = [Control("zygote", Level.PROCESS if not failed else level, not failed, failed)]
    for name, (needed, remedy) in _NEEDED.items():
        if needed <= level:
            why = told.get(name, "it was not tried")
            if why and why != NEEDS_USER:
                why = f"{why}; {remedy}"
            controls.append(Control(name, needed, held=not why, why=why))
    return tuple(controls)


def guest_kernel(declared: str, proc: Path = Path("/proc")) -> Control:
    """Whether code runs on a kernel of its own: what the operator declares and the host shows.

    A virtual machine looks the same from within whether or not it holds but one pod, so that the
    declaration is needed; what can be seen only refutes it.
    """
    name, level = "guest_kernel", Level.GUEST_KERNEL
    if not declared:
        why = "not declared; under gVisor, Kata or Firecracker set REWARDPLANE_GUEST_KERNEL"
        return Control(name, level, held=False, why=why)
    if declared not in KERNELS:
        why = f"{declared!r} is declared, which is none of {', '.join(KERNELS)}"
        return Control(name, level, held=False, why=why)
    seen = _gvisor(proc) if declared == "gvisor" else _virtual(proc)
    why = "" if seen else f"{declared} is declared, but nothing here looks like it"
    return Control(name, level, held=seen, why=why)


def _gvisor(proc: Path) -> bool:
    """Its kernel says so where it can, and has always been built on one day in 2016."""
    version = _read(proc / "version")
    return "gVisor" in version or "Sun Jan 10 15:06:54 PST 2016" in version


def _virtual(proc: Path) -> bool:
    if platform.machine() == "x86_64":
        return any(
            "hypervisor" in line.split()
            for line in _read(proc / "cpuinfo").splitlines()
            if line.startswith("flags")
        )
    return bool(_read(proc / "device-tree/hypervisor/compatible")) or "linux,dummy-virt" in _read(
        proc / "device-tree/compatible"
    )


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
