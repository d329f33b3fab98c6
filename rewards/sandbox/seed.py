"""Starts the seed of a pool, and asks it for zygotes."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .places import SITES
from .protocol import SEED_READY

_READY_S = 120.0
_CLOSE_S = 2.0
_BOOT = """
import importlib.util, sys
folder = sys.argv.pop(1)
spec = importlib.util.spec_from_file_location(
    "rewardplane_sandbox", folder + "/__init__.py", submodule_search_locations=[folder])
module = importlib.util.module_from_spec(spec)
sys.modules[spec.name] = module
spec.loader.exec_module(module)
from rewardplane_sandbox.seed_main import main
main()
"""
"""Under a name of its own: what lies above this package is not for the sandbox to import."""
_ENVIRONMENT = {
    "HOME": "/tmp",  # noqa: S108 - the scratch
    "LANG": "C.UTF-8",
    "TZ": "UTC",
    "PYTHONHASHSEED": "0",
    "PYTHONUTF8": "1",
    # Threads of a library would not be there after the fork.
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    # Each arena reserves 64 MB of the address space that the memory limit bounds.
    "MALLOC_ARENA_MAX": "1",
}
_PASSED_ON = ("LD_LIBRARY_PATH",)
"""The interpreter may not start without."""


class SeedFailed(Exception):
    """The seed cannot import what it is to import, or cannot be started."""


class Seed:
    """A running seed process. It ends with its socket, so with this process."""

    def __init__(self, modules: Sequence[str], guests: Sequence[str]) -> None:
        """Starts it, and waits until all is imported. Blocks.

        Raises:
            SeedFailed: a module cannot be imported.
        """
        ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        asked = {
            "modules": list(modules),
            "guests": list(guests),
            "path": [p for p in sys.path if Path(p).name in SITES],
        }
        environment = {n: os.environ[n] for n in _PASSED_ON if n in os.environ} | _ENVIRONMENT
        # Without site: its .pth files run code, and this needs none of what they set up.
        command = [sys.executable, "-s", "-P", "-S", "-B", "-c", _BOOT]
        with its:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and code
                [*command, str(Path(__file__).parent), str(its.fileno()), json.dumps(asked)],
                env=environment,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[its.fileno()],
                start_new_session=True,
            )
        self._socket = ours
        ours.settimeout(_READY_S)
        try:
            said = ours.recv(4096)
        except TimeoutError:
            said = b"it takes too long"
        if said != SEED_READY:
            self.kill()
            raise SeedFailed(said.decode() or f"it ended with {self._process.returncode}")

    def zygote(self, asked: dict[str, Any]) -> socket.socket:
        """Asks for a zygote (see `zygote.main`); the socket that it will say READY on.

        Raises:
            OSError: the seed is gone.
        """
        ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        try:
            with its:
                socket.send_fds(self._socket, [json.dumps(asked).encode()], [its.fileno()])
        except OSError:
            ours.close()
            raise
        return ours

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def close(self) -> None:
        """Ends it, once its zygotes have ended, and waits for that."""
        self._socket.close()
        try:
            self._process.wait(_CLOSE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def kill(self) -> None:
        """Ends it at once; its zygotes live on."""
        self._socket.close()
        self._process.kill()
        self._process.wait()
