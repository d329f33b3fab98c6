"""What a zygote gives up before it works, by the level that it was asked for."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import resource
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from . import kernel, landlock, namespaces, places
from .child import Confinement
from .headcount import Headcount
from .level import Level
from .profile import Tool
from .protocol import FIRST_TOOL, GIVEN_PROGRAM
from .scratch import Scratch
from .seccomp import Filter

_TO_EXECUTE = os.O_RDONLY | os.O_CLOEXEC
_BENCH_MB = 128
_OPEN_FILES = 256
_NICE = 5
_OOM_SCORE = 1000
_LOST_CHILD = {"seccomp": "a child that tried it died"}


class Settlement:
    """The way of a zygote from its fork to where it can have children.

    `held` has each control with "" or with why it is not held.
    """

    def __init__(self, asked: dict[str, Any]) -> None:
        """Goes it. Afterwards this may be another process.

        Raises:
            OSError: what every level needs is refused.
        """
        self.confinement = Confinement()
        self.held: dict[str, str] = {}
        self.scratch: Scratch | None = None
        level = Level(asked["level"])
        _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        most = min(_OPEN_FILES, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        with contextlib.suppress(OSError):  # a read-only /proc: the kernel then chooses by size
            Path("/proc/self/oom_score_adj").write_text(str(_OOM_SCORE))
        os.nice(_NICE)
        pages = [int(n) for n in Path("/proc/self/statm").read_text().split()]
        self.confinement.space_bytes = pages[0] * resource.getpagesize()
        self.confinement.data_bytes = pages[5] * resource.getpagesize()
        if level > Level.PROCESS:
            self.confinement.confined = True
            self._confine(level, asked)
        else:
            for tool in asked["tools"]:
                self.confinement.tools.append(os.open(tool["path"], _TO_EXECUTE))

    def _confine(self, level: Level, asked: dict[str, Any]) -> None:
        tools = [Tool(**tool) for tool in asked["tools"]]
        found = places.find(path for tool in tools for path in tool.reads)
        proc = os.open("/proc", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        was_root = os.geteuid() == 0
        # As root first: the folders above the interpreter may be closed to the uid to come.
        bench_mb = _BENCH_MB if tools and level < Level.NAMESPACED else 0
        rooted = was_root and self._try("private_root", namespaces.enter_root, found, bench_mb)
        self.confinement.bench = found.scratch if rooted and bench_mb else ""
        self.held["uid"] = ""
        if was_root:
            self._try("uid", _drop_root, int(asked["uid"]))
        # So that the maps of ids can be written, by an open descriptor of /proc.
        kernel.prctl(kernel.PR_SET_DUMPABLE, 1)()
        if level >= Level.NAMESPACED:
            rooted = self._enter_namespaces(proc, found, rooted=rooted)
        os.close(proc)
        kernel.prctl(kernel.PR_SET_DUMPABLE, 0)()
        own_uid = was_root and not self.held["uid"]
        self.confinement.own_uid = own_uid or self.held.get("user_namespace") == ""
        if not was_root and not self.confinement.own_uid:
            self.confinement.headcount = Headcount()
        os.chdir("/")
        self._make_rules(found, rooted=rooted)
        if tools and self.confinement.landlock is None:
            # What may be executed is bounded by nothing else.
            self.held["files"] = self.held["files"] or "compilers want Landlock"
        if rooted and level >= Level.NAMESPACED and self.confinement.landlock is not None:
            self.confinement.scratch = found.scratch
            self.scratch = Scratch(
                found.scratch,
                landlock.version(),
                int(asked["scratch_mb"]),
                int(asked["scratch_files"]),
                self.confinement,
            )
        if self.held.get("user_namespace") == "":
            self.confinement.own_users = _works_in_child(kernel.unshare, kernel.CLONE_NEWUSER)
        self._take_tools(tools, found, rooted=rooted)
        try:
            self.confinement.seccomp = Filter()
            self.confinement.executing = Filter(executes=True)
        except NotImplementedError as error:
            self.held["seccomp"] = str(error)
        self._try_child()

    def _take_tools(self, tools: Sequence[Tool], found: places.Places, *, rooted: bool) -> None:
        """Makes ready what children need that become other programs: these, or one they are given.

        Rules are made in the child: few need them, and they cost some tens of microseconds.
        """
        self.confinement.tools += [os.open(tool.path, _TO_EXECUTE) for tool in tools]
        if self.confinement.landlock is None:
            return
        abi = landlock.version()

        def rules(program: int) -> kernel.Prepared:
            folder = self.confinement.scratch
            if program != GIVEN_PROGRAM:
                folder = folder or self.confinement.bench
            writable = [folder] if folder else []
            if program >= FIRST_TOOL:
                tool = tools[program - FIRST_TOOL]
                run = [path for path in (tool.path, tool.loader) if path]
                made = landlock.ruleset(abi, tool.reads, writable=writable, executable=run)
            else:
                files = ["/"] if rooted else found.unhidden()
                reads = () if program == GIVEN_PROGRAM else files
                made = landlock.ruleset(abi, reads, writable=writable, devices=found.devices)
            return landlock.restrict(made)

        self.confinement.program_rules = rules

    def _enter_namespaces(self, proc: int, found: places.Places, *, rooted: bool) -> bool:
        if not self._try("user_namespace", namespaces.enter_user, proc):
            self.held.update(dict.fromkeys(namespaces.OTHERS, namespaces.NEEDS_USER))
            self.held["private_root"] = namespaces.NEEDS_USER
            return rooted
        for control, flag in namespaces.OTHERS.items():
            self._try(control, kernel.unshare, flag)
        if rooted:
            rooted = self._try("private_root", namespaces.own_root)
        else:
            rooted = self._try("private_root", namespaces.enter_root, found)
        if not self.held["pid_namespace"]:
            _become_first()
        return rooted

    def _make_rules(self, found: places.Places, *, rooted: bool) -> None:
        """Landlock, and where there is none the private root alone."""
        try:
            abi = landlock.version()
            whole = rooted and not self.confinement.bench  # which is for no other child to read
            files = ["/"] if whole else found.unhidden()
            listings = () if whole else found.listings
            rules = landlock.ruleset(abi, files, listings, devices=found.devices)
        except OSError as error:
            self.held["files"] = "" if rooted else _shown(error)
        else:
            self.held["files"] = ""
            self.confinement.landlock = landlock.restrict(rules)
            self.confinement.landlock_with_scratch = self.confinement.landlock

    def _try_child(self) -> None:
        """Tries in a child of its own what only a child does."""
        told, tells = os.pipe()
        pid = os.fork()
        if pid == 0:
            steps: dict[str, Callable[[], Any]] = {}
            if self.confinement.own_scratch is not None:
                steps["private_root"] = self.confinement.own_scratch
            steps["no_new_privs"] = kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
            seccomp = self.confinement.seccomp
            if self.confinement.landlock is not None:
                steps["files"] = self.confinement.landlock
            if seccomp is not None:
                steps["seccomp"] = lambda: seccomp.install(os.getpid())
            for control, step in steps.items():
                self._try(control, step)
            os.write(tells, json.dumps(self.held).encode())
            os._exit(0)
        os.close(tells)
        with open(told, "rb") as stream:  # noqa: PTH123 - a descriptor, not a path
            said = stream.read()
        self.held = json.loads(said) if said else self.held | _LOST_CHILD
        os.waitpid(pid, 0)

    def _try(self, control: str, step: Callable[..., Any], *given: Any) -> bool:
        try:
            step(*given)
        except OSError as error:
            self.held[control] = _shown(error)
        else:
            self.held[control] = ""
        return not self.held[control]


def _shown(error: OSError) -> str:
    return f"{errno.errorcode.get(error.errno or 0, '?')} ({error})"


def _drop_root(uid: int) -> None:
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


def _works_in_child(step: Callable[..., Any], *given: Any) -> bool:
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            step(*given)
            status = 0
        except OSError:
            pass
        finally:
            os._exit(status)
    return os.waitpid(pid, 0)[1] == 0


def _become_first() -> None:
    """Goes on as the first process of the new pid namespace, which the seed will reap."""
    if os.fork():
        os._exit(0)
    os.setsid()
