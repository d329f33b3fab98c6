"""The process that a replica's workers are forked from: what all of them import is imported once.

Started by `fork_server.ForkServer` as `python -m rewardplane.replica.fork_server_main FD`, where FD
is a SOCK_SEQPACKET socket. Each message from the owner is a number (u64) with the descriptor of a
worker's own socket; the fork server forks the worker and reports its start, with its pidfd, and its
end. End of file ends the fork server, and with it all workers. It runs no foreign code, and no
thread: that is what makes forking it safe.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import select
import signal
import socket
import sys
import traceback

from rewardplane.rewards.registry import kinds

from . import worker_main
from .fork_server import ENDED, REFUSED, REPORT, STARTED
from .order import NUMBER


def main() -> None:
    """Forks workers and reaps them until the owner hangs up."""
    control = socket.socket(fileno=int(sys.argv[1]))
    worker_main.die_with_parent()
    os.setsid()  # an interrupt from the terminal is for the owner to act on
    kinds()
    gc.collect()
    gc.freeze()
    workers: dict[int, tuple[int, int]] = {}
    poller = select.poll()
    poller.register(control, select.POLLIN)
    while True:
        for descriptor, _event in poller.poll():
            if descriptor in workers:
                poller.unregister(descriptor)
                _reap(control, descriptor, *workers.pop(descriptor))
                continue
            data, descriptors, _flags, _address = socket.recv_fds(control, NUMBER.size, 1)
            if not data:
                return
            (number,) = NUMBER.unpack(data)
            pidfd, pid = _fork(control, number, descriptors[0], [control.fileno(), *workers])
            if pidfd >= 0:
                workers[pidfd] = number, pid
                poller.register(pidfd, select.POLLIN)


def _fork(control: socket.socket, number: int, owner: int, not_its: list[int]) -> tuple[int, int]:
    """Forks a worker that talks to its owner by `owner`; -1 where there is no room for one."""
    try:
        pid = os.fork()
    except OSError as error:
        os.close(owner)
        control.send(REPORT.pack(REFUSED, number, error.errno or errno.EAGAIN, 0))
        return -1, -1
    if pid == 0:
        status = 1
        try:
            for descriptor in not_its:
                os.close(descriptor)
            worker_main.main(owner)
            status = 0
        except BaseException:  # noqa: BLE001 - a forked process must not go on as its template
            traceback.print_exc()
        finally:
            os._exit(status)
    os.close(owner)
    pidfd = os.pidfd_open(pid)
    socket.send_fds(control, [REPORT.pack(STARTED, number, pid, 0)], [pidfd])
    return pidfd, pid


def _reap(control: socket.socket, pidfd: int, number: int, pid: int) -> None:
    """Ends what the worker left behind, while its id is still its own, and reports its end."""
    with contextlib.suppress(ProcessLookupError):  # it ended before it had a group of its own
        os.killpg(pid, signal.SIGKILL)
    _pid, status, usage = os.wait4(pid, 0)
    os.close(pidfd)
    code = os.waitstatus_to_exitcode(status)
    control.send(REPORT.pack(ENDED, number, code, usage.ru_maxrss * 1024))


if __name__ == "__main__":
    main()
