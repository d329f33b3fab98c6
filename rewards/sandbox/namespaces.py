"""Namespaces of a zygote's own, and a root folder in them with what Python needs and no more."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable
from pathlib import Path

from . import kernel
from .places import Places
from .protocol import OBJECT, PROGRAM

OTHERS = {
    "pid_namespace": kernel.CLONE_NEWPID,
    "net_namespace": kernel.CLONE_NEWNET,
    "ipc_namespace": kernel.CLONE_NEWIPC,
    "uts_namespace": kernel.CLONE_NEWUTS,
}
"""What is unshared once there is a user namespace, beside the mount namespace."""
NEEDS_USER = "needs a user namespace"
"""Why one is not held that was not tried."""
_QUIET = kernel.MS_NOSUID | kernel.MS_NODEV
_READ_ONLY = kernel.MS_REMOUNT | kernel.MS_BIND | kernel.MS_RDONLY | _QUIET
_COVERS = ("/tmp", "/var", "/srv", "/mnt", "/media", "/opt", "/home")  # noqa: S108 - covered, not written to


def enter_user(proc: int) -> None:
    """Enters a user namespace with one uid and one gid, those that this process has.

    `proc` is a descriptor of /proc. Raises OSError as it failed.
    """
    uid, gid = os.geteuid(), os.getegid()
    kernel.unshare(kernel.CLONE_NEWUSER)
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{uid} {uid} 1"),
        ("gid_map", f"{gid} {gid} 1"),
    ):
        descriptor = os.open(f"self/{name}", os.O_WRONLY, dir_fd=proc)
        try:
            os.write(descriptor, text.encode())
        finally:
            os.close(descriptor)


def enter_root(places: Places, bench_mb: int = 0) -> None:
    """Enters a mount namespace and a new root folder, that holds `places` and a scratch.

    `bench_mb`: the size of a folder that is mounted there, and stays; 0: none is.

    Raises:
        OSError: as it failed.
    """
    paths = sorted({*places.files, *places.hidden, *places.devices})
    kernel.unshare(kernel.CLONE_NEWNS)
    kernel.mount("none", "/", "none", kernel.MS_REC | kernel.MS_PRIVATE)
    # Opened here: what was opened before belongs to the other namespace, and cannot be bound.
    sources = {path: os.open(path, os.O_PATH | os.O_CLOEXEC) for path in paths}
    new = _cover(paths)
    kernel.mount("tmpfs", new, "tmpfs", _QUIET, "size=1m,nr_inodes=4096,mode=755")
    try:
        for path in paths:  # in order: a folder before what lies in it
            if path in places.hidden:
                kernel.mount("tmpfs", _made(path, new), "tmpfs", _QUIET, "size=1m,mode=755")
            else:
                _bind(sources[path], Path(_made(path, new)), device=path in places.devices)
    finally:
        for source in sources.values():
            os.close(source)
    for folder in (places.scratch, "/.old"):
        Path(new + folder).mkdir(parents=True, exist_ok=True)
    if bench_mb:
        mount_scratch(new + places.scratch, bench_mb, len((OBJECT, PROGRAM)) + 2)
    os.chdir(new)
    kernel.call("pivot_root", b".", b".old")
    os.chdir("/")
    kernel.unmount("/.old")
    Path("/.old").rmdir()
    for folder in ("/", *places.hidden):
        kernel.mount("none", folder, "none", _READ_ONLY)


def own_root() -> None:
    """Makes the mounts of a root folder that was entered as root those of the user namespace."""
    kernel.unshare(kernel.CLONE_NEWNS)


def mount_scratch(path: str, size_mb: int, inodes: int) -> None:
    """Mounts an empty folder. Raises OSError as it failed."""
    flags = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC
    kernel.mount("tmpfs", path, "tmpfs", flags, f"size={size_mb}m,nr_inodes={inodes},mode=777")


def _cover(paths: Iterable[str]) -> str:
    """An existing folder to build the new root over, which holds nothing that it needs."""
    for folder in _COVERS:
        exists = Path(folder).is_dir() and not Path(folder).is_symlink()
        if exists and not any(path.startswith(f"{folder}/") for path in paths):
            return folder
    raise FileNotFoundError(errno.ENOENT, f"none of {', '.join(_COVERS)} can be built over")


def _bind(source: int, target: Path, *, device: bool) -> None:
    host = f"/proc/self/fd/{source}"
    if stat.S_ISDIR(os.fstat(source).st_mode):
        target.mkdir(parents=True, exist_ok=True)
    elif not target.exists():  # it may lie in a folder that is bound already, to be read only
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
    kernel.mount(host, str(target), "none", kernel.MS_BIND | kernel.MS_REC)
    # What the host's mount forbids is locked: a remount that left it out would be refused.
    kept = os.statvfs(target).f_flag & (kernel.MS_RDONLY | kernel.MS_NODEV | kernel.MS_NOEXEC)
    flags = kernel.MS_REMOUNT | kernel.MS_BIND | kernel.MS_NOSUID if device else _READ_ONLY
    kernel.mount("none", str(target), "none", flags | kept)


def _made(path: str, new: str) -> str:
    """Where a path of the host lies below the new root; makes the symbolic links on the way."""
    made = ""
    parts = list(Path(path).parts[1:])
    for _step in range(200):
        if not parts:
            return new + made
        name = parts.pop(0)
        here = Path(f"{made}/{name}")
        if not here.is_symlink():
            made = str(here)
            continue
        link = Path(new + str(here))
        aim = str(here.readlink())
        if not link.is_symlink():
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(aim)
        base = Path(aim) if aim.startswith("/") else Path(made or "/") / aim
        parts = list(Path(os.path.normpath(base)).parts[1:]) + parts
        made = ""
    raise OSError(f"{path} goes through too many symbolic links")
