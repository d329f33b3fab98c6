"""The seed of a pool: imports what the runs need, once, and forks the zygotes.

Started by `seed.Seed` by exec, with a clean environment. Each message on its socket is JSON (see
`zygote.main`) with the descriptor of a zygote's own. End of file ends it. It sees no request.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import resource
import signal
import site
import socket
import sys
import traceback

from . import kernel, zygote
from .child import Guest
from .protocol import SEED_READY


def main() -> None:
    """Imports, says so, and forks until the pool hangs up. Arguments: descriptor, JSON."""
    control = socket.socket(fileno=int(sys.argv[1]))
    asked = json.loads(sys.argv[2])
    sys.argv[:] = ["program"]
    sys.path += asked["path"]
    _soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))  # a soft one is the pool's own
    os.umask(0o022)
    site.setquit()  # programs call exit()
    site.sethelper()
    try:
        for name in asked["modules"]:
            importlib.import_module(name)
        guests: list[Guest] = [
            importlib.import_module(f"{__package__}.guest.{name}").main for name in asked["guests"]
        ]
    except BaseException as error:
        control.send(f"{type(error).__name__}: {error}"[:1000].encode())
        raise
    # Zygotes are forked twice and left to this process, and to the kernel to reap.
    kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    gc.collect()
    gc.freeze()
    control.send(SEED_READY)
    while True:
        data, descriptors, _flags, _address = socket.recv_fds(control, 4096, 1)
        if not data:
            break
        if os.fork() == 0:
            try:
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                os.setsid()
                control.close()
                zygote.main(socket.socket(fileno=descriptors[0]), json.loads(data), guests)
            except BaseException:  # noqa: BLE001 - it must not go on as the seed
                traceback.print_exc()
            finally:
                os._exit(1)
        os.close(descriptors[0])
    # The zygotes end now too. It stays for them: else a container's first process, which often
    # reaps nothing, would inherit them.
    with contextlib.suppress(ChildProcessError):
        while True:
            os.wait()
