"""Becomes the program at a descriptor, which the child was given beside its request.

Confinement is over an exec as it was before: limits, Landlock, seccomp, no new privileges.
"""

from __future__ import annotations

import errno
import json
import os
import signal
from pathlib import Path

from ..protocol import EXECUTABLE
from .channel import Channel
from .streams import drop_stderr


def main(request: bytes, channel: Channel) -> None:
    """`request`: JSON with `arguments`, the first the program's name, `files` and `quiet`.

    `files`: by what stands for one in the arguments its name in the folder of the run, and the
    descriptor that it is where the run has none. Quiet: what it writes to stderr goes nowhere. An
    answer says why it did not become the program: the name of an errno, and what it means.
    """
    order = json.loads(request)
    if order["quiet"]:
        drop_stderr()
    has_folder = Path.cwd() != Path("/")
    paths = {
        place: name if has_folder else f"/proc/self/fd/{descriptor}"
        for place, (name, descriptor) in order["files"].items()
    }
    arguments = [paths.get(word, word) for word in order["arguments"]]
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        os.execve(EXECUTABLE, arguments, {"LC_ALL": "C"})  # noqa: S606 - what it is for
    except OSError as error:
        name = errno.errorcode.get(error.errno or 0, "?")
        channel.send(f"{name}: {error.strerror}".encode())
