"""One child as the pool sees it: its limits watched, and how it ended."""

from __future__ import annotations

import asyncio
import fcntl
import math
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from .limits import Limits
from .process_clock import ProcessClock
from .protocol import CONFINED, MEMORY_EXIT, Op, Order
from .verdict import Run, Verdict

_GRACE_S = 2.0
"""How soon a killed child must be gone."""
_MIN_LOOK_S = 0.005
_WORTH_A_LOOK_US = 100_000
"""Wall time below which nobody asks how much of it was a wait for a CPU."""


class Fault(Exception):
    """The sandbox failed, not the code. The message says how."""


class Paper:
    """A file in memory for what one child writes.

    Not a pipe: it is bounded by the size of a file, needs no reader while the child runs, and
    nobody can hold it open.
    """

    def __init__(self, name: str, *, only_grows: bool = False) -> None:
        """Makes it, empty. `only_grows`: nobody can take back that anything was written."""
        sealing = os.MFD_ALLOW_SEALING if only_grows else 0
        self.fd = os.memfd_create(name, os.MFD_CLOEXEC | sealing)
        os.fchmod(self.fd, 0o666)  # not to be executed, whatever is written there
        if only_grows:
            fcntl.fcntl(self.fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL)

    def read(self, most: int) -> tuple[bytes, int]:
        """What was written, up to a length, and how long it was."""
        size = os.fstat(self.fd).st_size
        return (os.pread(self.fd, min(size, most), 0) if size else b""), size

    def take(self, most: int) -> bytes:
        """What was written, up to a length; empties it, for the same child to go on."""
        content, size = self.read(most)
        if size:
            os.ftruncate(self.fd, 0)
            os.lseek(self.fd, 0, os.SEEK_SET)  # the child's descriptor shares the place
        return content

    def close(self) -> None:
        """Lets go of it."""
        os.close(self.fd)


def request_file(request: bytes, mode: int = 0o444) -> int:
    """A file in memory that nobody can change, for children to read from its beginning."""
    descriptor = os.memfd_create("request", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    view = memoryview(request)
    while view:
        view = view[os.write(descriptor, view) :]
    os.fchmod(descriptor, mode)
    seals = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


class Errand:
    """A child that runs. `ended` has how it ended, or raises a Fault."""

    def __init__(
        self,
        number: int,
        limits: Limits,
        send: Callable[[Op, int], None],
        overdue: Callable[[str], None],
        conclude: Callable[[Errand, int, int], Run],
    ) -> None:
        """Knows the child by the number that the zygote knows it by.

        `send` gives the zygote an order; `overdue` is called when a killed child does not end;
        `conclude` makes of its wait status and its CPU time in microseconds how it ended.
        """
        self._loop = asyncio.get_running_loop()
        self.number = number
        self.limits = limits
        self.is_session = False
        """Its limits are those of one question, not of its life."""
        self.ended: asyncio.Future[Run] = self._loop.create_future()
        self.cause: Verdict | None = None
        """Why it was killed."""
        self._send = send
        self._overdue = overdue
        self._conclude = conclude
        self._clock: ProcessClock | None = None
        self._looked_ns = 0
        self._began_ns = time.monotonic_ns()
        self._cpu_before_us = 0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def wall_us(self) -> int:
        """Since its start, or since it was asked last."""
        return (time.monotonic_ns() - self._began_ns) // 1000

    def cpu_us(self) -> int:
        """CPU time since its start; 0: not yet known."""
        return 0 if self._clock is None else self._clock.cpu_us()

    def active_us(self) -> int:
        """Wall time since its start, or since it was asked last, but for waits for a CPU."""
        wall_us = self.wall_us
        if wall_us < _WORTH_A_LOOK_US:
            return wall_us
        return wall_us if self._clock is None else wall_us - self._clock.waited_us(wall_us)

    def watch(self, limits: Limits) -> None:
        """Holds it to limits from now on."""
        self.limits = limits
        self._began_ns = time.monotonic_ns()
        self._cpu_before_us = self.cpu_us()
        if self._clock is not None:
            self._clock.restart()
        self._arm(min(limits.cpu_s, limits.wall_s))

    def rest(self) -> None:
        """Stops watching: it waits to be asked."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def kill(self, cause: Verdict) -> None:
        """Ends it. The first cause stays."""
        if self.ended.done() or self.cause is not None:
            return
        self.cause = cause
        self._send(Op.KILL, self.number)
        if not self.ended.done():
            late = f"a child that was killed is still there after {_GRACE_S} s"
            self.rest()
            self._timer = self._loop.call_later(_GRACE_S, self._overdue, late)

    def seen(self, pidfd: int) -> None:
        """The zygote sent its pidfd, as LOOK wants."""
        pid = pid_of(pidfd)
        os.close(pidfd)
        if pid and self._clock is None and not self.ended.done():
            self._clock = ProcessClock(pid)
        if self._timer is not None and self.cause is None:
            self._check()

    def end(self, status: int, cpu_us: int) -> None:
        """The zygote told its end."""
        self._stop()
        try:
            run = self._conclude(self, status, cpu_us)
        except Fault as fault:
            self.fail(str(fault))
        else:
            self.ended.set_result(run)

    def fail(self, why: str) -> None:
        """The zygote is gone, or cannot start it."""
        self._stop()
        if not self.ended.done():
            self.ended.set_exception(Fault(why))
            self.ended.exception()  # nobody may be waiting any more

    def _stop(self) -> None:
        self.rest()
        if self._clock is not None:
            self._clock.close()
            self._clock = None

    def _arm(self, delay_s: float) -> None:
        self.rest()
        self._timer = self._loop.call_later(max(_MIN_LOOK_S, delay_s), self._check)

    def _check(self) -> None:
        """Ends it where it is over a limit. Time that it waited for a CPU is not held against it.

        So that a verdict does not depend on what else runs on the machine.
        """
        if self._clock is None:
            self._look()
            return
        wall_s = self.wall_us / 1e6
        if wall_s > self.limits.starved_s:
            self.kill(Verdict.SANDBOX_ERROR)
            return
        cpu_left_s = self.limits.cpu_s - (self.cpu_us() - self._cpu_before_us) / 1e6
        wall_left_s = self.limits.wall_s - wall_s
        if wall_left_s <= 0:
            wall_left_s = self.limits.wall_s - self.active_us() / 1e6
        if cpu_left_s <= 0:
            self.kill(Verdict.CPU_LIMIT)
        elif wall_left_s <= 0:
            self.kill(Verdict.WALL_LIMIT)
        else:
            self._arm(min(wall_left_s, cpu_left_s))

    def _look(self) -> None:
        """Asks for its pid. A zygote that does not answer is itself starved, or hangs."""
        now_ns = time.monotonic_ns()
        if self._looked_ns and now_ns - self._looked_ns > _GRACE_S * 1e9:
            self.kill(Verdict.SANDBOX_ERROR)
            return
        if not self._looked_ns:
            self._looked_ns = now_ns
            self._send(Op.LOOK, self.number)
        if not self.ended.done():
            self._arm(_GRACE_S + _MIN_LOOK_S)


def pid_of(pidfd: int) -> int:
    """The process id, as this process knows it; 0: it has ended."""
    lines = Path(f"/proc/self/fdinfo/{pidfd}").read_text().splitlines()
    return max(0, next(int(line[4:]) for line in lines if line.startswith("Pid:")))


def order_for(
    op: Op, number: int, entry: int, limits: Limits, program: int = 0, *, keeps: bool = False
) -> Order:
    """What a zygote is told to start a child."""
    largest = max(limits.file_bytes, limits.output_bytes, limits.result_bytes)
    return Order(
        op,
        number,
        entry,
        # In whole seconds; of a session the limit is on each question. The pool's own look decides.
        cpu_s=math.ceil(limits.cpu_s) + 1 if op == Op.RUN else 0,
        memory_bytes=limits.memory_mb << 20,
        file_bytes=largest + 1 + len(CONFINED),
        open_files=limits.open_files,
        threads=limits.threads,
        program=program,
        keeps=keeps,
    )


def judge(errand: Errand, status: int, cpu_us: int, answer: Paper, out: Paper, err: Paper) -> Run:
    """How a run ended, from what is outside the reach of the code that ran.

    Raises:
        Fault: it never came to run that code.
    """
    limits = errand.limits
    sent, answer_bytes = answer.read(limits.result_bytes + len(CONFINED))
    stdout, stdout_bytes = out.read(limits.output_bytes)
    stderr, stderr_bytes = err.read(limits.output_bytes)
    if not answer_bytes:  # whatever ended it, none of that was the code's doing
        why = stderr[-1000:].decode(errors="replace")
        raise Fault(f"the child did not come to be confined: {why}")
    verdict, detail = ended_how(errand, status, cpu_us)
    if verdict is not errand.cause and verdict is not Verdict.CPU_LIMIT:
        if max(stdout_bytes, stderr_bytes) > limits.output_bytes:
            verdict, detail = Verdict.OUTPUT_LIMIT, "wrote too much to stdout or stderr"
        elif answer_bytes - len(CONFINED) > limits.result_bytes:
            verdict, detail = Verdict.OUTPUT_LIMIT, "its answer is too long"
    told = sent[len(CONFINED) :], stdout, stderr, detail, cpu_us, errand.wall_us
    return Run(verdict, *told, os.waitstatus_to_exitcode(status))


def ended_how(errand: Errand, status: int, cpu_us: int) -> tuple[Verdict, str]:
    """What the wait status of a child says."""
    code = os.waitstatus_to_exitcode(status)
    if errand.cause is Verdict.SANDBOX_ERROR:
        wall_s = errand.wall_us / 1e6
        return errand.cause, f"it had {cpu_us / 1e6:.3f} s of CPU time in {wall_s:.1f} s"
    if errand.cause is not None:
        return errand.cause, f"killed after {errand.wall_us / 1e6:.3f} s"
    if cpu_us > errand.limits.cpu_s * 1e6 and not errand.is_session:
        return Verdict.CPU_LIMIT, f"used {cpu_us / 1e6:.3f} s of CPU time"
    if code == -signal.SIGKILL:
        # The code cannot send itself that signal, and has not used up its CPU time.
        return Verdict.HOST_KILLED, "the host killed it: is its memory overcommitted?"
    if code == MEMORY_EXIT:
        return Verdict.MEMORY_LIMIT, "out of memory"
    if code < 0:
        return Verdict.KILLED, f"ended by signal {-code}"
    if code > 0:
        return Verdict.RUNTIME_ERROR, f"exit code {code}"
    return Verdict.OK, ""
