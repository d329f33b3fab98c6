"""The zygote of a slot: forks a child for each order, and tells how it ended.

It is forked from the seed, gives up what it can, and reads nothing but orders of fixed length.
"""

from __future__ import annotations

import errno
import json
import os
import resource
import select
import signal
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from . import child, kernel, landlock, namespaces, places
from .child import Confinement, Guest
from .level import Level
from .protocol import MESSAGE, ORDER, Message, Op, Order, Told
from .seccomp import Filter

_OPEN_FILES = 256
_NICE = 5
_OOM_SCORE = 1000


def main(control: socket.socket, asked: dict[str, Any], guests: Sequence[Guest]) -> NoReturn:
    """Becomes a zygote. `asked`: level, uid (0: keep), scratch_mb, scratch_files.

    Ends at the end of `control`, and with it all children.
    """
    control = _lifted(control)
    zygote = _Zygote(control, guests)
    try:
        try:
            held = zygote.settle(asked)
        except (OSError, ValueError) as error:
            held = {"zygote": f"{type(error).__name__}: {error}"}
        told = MESSAGE.pack(*Message(Told.READY, 0)) + json.dumps(held).encode()
        pidfd = os.pidfd_open(os.getpid())
        socket.send_fds(control, [told], [pidfd])
        os.close(pidfd)
        zygote.serve()
    except BrokenPipeError:  # the pool is gone
        os._exit(0)
    os._exit(0)


class _Zygote:
    def __init__(self, control: socket.socket, guests: Sequence[Guest]) -> None:
        self._control = control
        self._guests = guests
        self._confinement = Confinement()
        self._held: dict[str, str] = {}
        self._scratch: tuple[int, int] | None = None
        self._empty: tuple[int, int] = (0, 0)
        self._null = -1
        self._abi = 0

    def settle(self, asked: dict[str, Any]) -> dict[str, str]:
        """Gives up all that the level asks for: each control with "" or with why it is not held."""
        level = Level(asked["level"])
        self._null = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
        proc = os.open("/proc", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        resource.setrlimit(resource.RLIMIT_NOFILE, (_OPEN_FILES, _OPEN_FILES))
        Path("/proc/self/oom_score_adj").write_text(str(_OOM_SCORE))
        os.nice(_NICE)
        pages = Path("/proc/self/statm").read_text().split()
        statm = [int(n) * resource.getpagesize() for n in pages]
        self._confinement.space_bytes, self._confinement.data_bytes = statm[0], statm[5]
        if level == Level.PROCESS:
            os.close(proc)
            return self._held
        self._confinement.confined = True
        found = places.find()
        was_root = os.geteuid() == 0
        # As root first: the folders above the interpreter may be closed to the uid to come.
        rooted = was_root and self._try("private_root", namespaces.enter_root, found)
        if was_root:
            self._try("uid", _drop_root, int(asked["uid"]))
        else:
            self._held["uid"] = ""
        # So that the maps of ids can be written, by an open descriptor of /proc.
        kernel.prctl(kernel.PR_SET_DUMPABLE, 1)
        if level >= Level.NAMESPACED:
            rooted = self._enter_namespaces(proc, found, rooted=rooted)
        else:
            self._held.pop("private_root", None)
        os.close(proc)
        own_uid = was_root and not self._held["uid"]
        self._confinement.own_uid = own_uid or self._held.get("user_namespace") == ""
        os.chdir("/")
        if rooted and level >= Level.NAMESPACED:
            self._scratch = int(asked["scratch_mb"]), int(asked["scratch_files"])
        self._restrict(found, rooted=rooted)
        kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
        self._try_child()
        return self._held

    def serve(self) -> None:
        """Works until the pool hangs up."""
        children: dict[int, tuple[int, int]] = {}  # pidfd: number, pid
        poller = select.poll()
        poller.register(self._control, select.POLLIN)
        while True:
            for descriptor, _event in poller.poll():
                if descriptor in children:
                    poller.unregister(descriptor)
                    self._reap(descriptor, *children.pop(descriptor))
                    continue
                data, descriptors, _flags, _address = socket.recv_fds(self._control, ORDER.size, 4)
                if len(data) != ORDER.size:
                    for pid in [pid for _number, pid in children.values()]:
                        os.kill(pid, signal.SIGKILL)
                    return
                order = Order(*ORDER.unpack(data))
                if order.op in (Op.RUN, Op.SESSION):
                    pidfd, pid = self._fork(order, descriptors)
                    if pidfd >= 0:
                        children[pidfd] = order.number, pid
                        poller.register(pidfd, select.POLLIN)
                    continue
                for pidfd, (number, pid) in children.items():
                    if number != order.number:
                        continue
                    if order.op == Op.KILL:
                        os.kill(pid, signal.SIGKILL)
                    else:
                        socket.send_fds(
                            self._control, [MESSAGE.pack(*Message(Told.PIDFD, number))], [pidfd]
                        )

    def _fork(self, order: Order, descriptors: list[int]) -> tuple[int, int]:
        request, answer, out, err = descriptors
        try:
            pid = os.fork()
        except OSError as error:
            self._tell(Message(Told.REFUSED, order.number, error.errno or errno.EAGAIN))
            pid = -1
        if pid == 0:
            given = [self._null, out, err, request, answer]
            child.run(self._guests[order.entry], order, given, self._confinement)
        for descriptor in descriptors:
            os.close(descriptor)
        return (os.pidfd_open(pid), pid) if pid > 0 else (-1, -1)

    def _reap(self, pidfd: int, number: int, pid: int) -> None:
        _pid, status, usage = os.wait4(pid, 0)
        os.close(pidfd)
        cpu_us = int((usage.ru_utime + usage.ru_stime) * 1e6)
        if self._scratch is not None and _use(places.SCRATCH) != self._empty:
            # Unmounted, not emptied: its names are not for this process to read.
            kernel.unmount(places.SCRATCH)
            self._make_scratch(*self._scratch)
        self._tell(Message(Told.ENDED, number, status, cpu_us))

    def _tell(self, message: Message) -> None:
        self._control.send(MESSAGE.pack(*message))

    def _try(self, control: str, step: Callable[..., None], *given: Any) -> bool:
        try:
            step(*given)
        except OSError as error:
            self._held[control] = f"{errno.errorcode.get(error.errno or 0, '?')} ({error})"
        else:
            self._held[control] = ""
        return not self._held[control]

    def _enter_namespaces(self, proc: int, found: places.Places, *, rooted: bool) -> bool:
        if not self._try("user_namespace", namespaces.enter_user, proc):
            for control in namespaces.OTHERS:
                self._held[control] = "needs a user namespace"
            if not rooted:
                self._held["private_root"] = "needs a user namespace"
            return rooted
        for control, flag in namespaces.OTHERS.items():
            self._try(control, kernel.unshare, flag)
        if rooted:
            rooted = self._try("private_root", namespaces.own_root)
        else:
            rooted = self._try("private_root", namespaces.enter_root, found)
        if not self._held["pid_namespace"]:
            _become_first()
        return rooted

    def _restrict(self, found: places.Places, *, rooted: bool) -> None:
        """Makes ready what the children hold themselves to."""
        self._try("files", self._make_rules, found, rooted)
        if self._held["files"] and rooted and self._confinement.rules < 0:
            self._held["files"] = ""  # the root folder alone will do
        if self._scratch is not None and self._confinement.rules < 0:
            self._scratch = None  # a session must not reach the scratch of a run
        if self._scratch is not None:
            self._make_scratch(*self._scratch)
        try:
            self._confinement.seccomp = Filter()
        except NotImplementedError as error:
            self._held["seccomp"] = str(error)

    def _make_rules(self, found: places.Places, rooted: bool) -> None:
        self._abi = landlock.version()
        files = ["/"] if rooted else found.unhidden()
        listings = () if rooted else found.listings
        rules = landlock.ruleset(self._abi, files, listings, devices=found.devices)
        self._confinement.rules = self._confinement.rules_with_scratch = rules

    def _make_scratch(self, size_mb: int, files: int) -> None:
        namespaces.mount_scratch(size_mb, files)
        self._empty = _use(places.SCRATCH)
        # A rule is for one mount: it does not outlive it.
        if self._confinement.rules_with_scratch != self._confinement.rules:
            os.close(self._confinement.rules_with_scratch)
        self._confinement.rules_with_scratch = landlock.ruleset(
            self._abi, ["/"], writable=[places.SCRATCH], devices=places.DEVICES
        )

    def _try_child(self) -> None:
        """Tries in a child of its own what only a child does."""
        told, tells = os.pipe()
        pid = os.fork()
        if pid == 0:
            steps: dict[str, Callable[[], None]] = {
                "no_new_privs": lambda: kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
            }
            rules, seccomp = self._confinement.rules, self._confinement.seccomp
            if rules >= 0:
                steps["files"] = lambda: landlock.restrict(rules)
            if seccomp is not None:
                steps["seccomp"] = lambda: seccomp.install(os.getpid())
            for control, step in steps.items():
                self._try(control, step)
            os.write(tells, json.dumps(self._held).encode())
            os._exit(0)
        os.close(tells)
        with open(told, "rb") as stream:  # noqa: PTH123 - a descriptor, not a path
            self._held = json.loads(stream.read() or b'{"seccomp": "a child that tried it died"}')
        os.waitpid(pid, 0)


def _use(folder: str) -> tuple[int, int]:
    state = os.statvfs(folder)
    return state.f_bfree, state.f_ffree


def _drop_root(uid: int) -> None:
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


def _become_first() -> None:
    """Goes on as the first process of the new pid namespace, which the seed will reap."""
    if os.fork():
        os._exit(0)
    os.setsid()


def _lifted(control: socket.socket) -> socket.socket:
    """The same above the descriptors of a child, which this fills so that none of its own are."""
    descriptor = os.dup(control.detach())
    spare = [os.open("/dev/null", os.O_RDONLY)]
    while spare[-1] < child.RESERVED - 1:
        spare.append(os.dup(spare[0]))
    lifted = os.dup(descriptor)
    os.close(descriptor)
    for each in spare:
        if each >= child.RESERVED:
            os.close(each)
    os.set_inheritable(lifted, False)
    return socket.socket(fileno=lifted)
