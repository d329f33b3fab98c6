"""Code that ends others. Where a process is not the suite's own, signal 0 asks whether it could."""

from __future__ import annotations

from .case import Case

_KILL = """
import os, signal
def kill(pid, number):
    if pid in (0, os.getpid()):
        return
    for by in (lambda: os.kill(pid, number), lambda: os.killpg(pid, number)):
        try:
            by()
            breach(f"signal {number} to {pid}")
        except OSError:
            pass
"""

CASES = (
    Case(
        "kill-parent",
        "kill parent",
        _KILL + "kill(os.getppid(), signal.SIGSTOP)\nkill(os.getppid(), signal.SIGKILL)",
    ),
    Case(
        "kill-zygote",
        "zygote",
        _KILL + "for pid in facts['zygotes']: kill(pid, signal.SIGKILL)",
    ),
    Case(
        "kill-sibling",
        "sibling slot",
        _KILL + "for pid in facts['siblings']: kill(pid, signal.SIGKILL)",
    ),
    Case(
        "kill-victim",
        "same-uid victim",
        _KILL + "for number in (19, 15, 9): kill(facts['victim'], number)",
    ),
    Case("kill-runner", "kill parent", _KILL + "kill(facts['runner'], 0)"),
    Case(
        "kill-1",
        "pid 1",
        _KILL + "kill(1, 0)",
    ),
    Case(
        "kill-all",
        "kill(-1, 0)",
        """
import os
for pid in (-1, 0):
    try:
        os.kill(pid, 0)
        if pid:
            breach("kill(-1, 0)")
    except OSError:
        pass
""",
    ),
    Case(
        "signal-by-io",
        "same-uid victim",
        """
import fcntl, os
for pid in (facts["victim"], *facts["zygotes"]):
    try:
        fcntl.fcntl(0, 8, pid)  # F_SETOWN
        fcntl.fcntl(0, 10, 9)  # F_SETSIG: SIGKILL when there is input
        breach(f"F_SETOWN of {pid}")
    except OSError:
        pass
""",
    ),
)
