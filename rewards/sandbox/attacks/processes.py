"""Code that starts other processes. What it starts sleeps for seconds at most, then ends."""

from __future__ import annotations

from .case import ANY, Case

_SHORT = {"cpu_s": 5, "wall_s": 3}

# A process that sleeps, marked so that the scan finds it whatever it has become.
_SLEEP = """
def sleep_marked(seconds=4):
    import os, time
    try:
        os.execv("/bin/sh", ["sh", "-c", f"sleep {seconds}; : " + facts["tag"]])
    except OSError:
        time.sleep(seconds)
    os._exit(0)
"""

CASES = (
    Case(
        "fork-bomb",
        "fork bomb",
        """
import os, time
born = 0
for n in range(64):
    try:
        child = os.fork()
    except OSError:
        continue
    if not child:
        time.sleep(1)
        os._exit(0)
    born += 1
if born:
    breach(f"{born} of 64 forks")
""",
    ),
    Case(
        "fork-chain",
        "fork bomb",
        """
import os, time
depth = 0
while depth < 24:
    try:
        child = os.fork()
    except OSError:
        break
    depth += 1
    if child:
        breach(f"fork chain {depth} deep")
        break
if depth > 1:
    time.sleep(0.2)
    os._exit(0)
""",
        ANY,
    ),
    Case(
        "clone",
        "vfork/clone/clone3/posix_spawn",
        """
import ctypes, os, signal
for flags in (signal.SIGCHLD, 0, 0x8000 | signal.SIGCHLD, 0x10000000 | signal.SIGCHLD,
              0x20000000 | signal.SIGCHLD):
    child, errno = syscall("clone", flags, 0, 0, 0, 0)
    if child == 0:
        os._exit(0)
    if child > 0:
        breach(f"clone({flags:#x}) made {child}")
""",
    ),
    Case(
        "clone3",
        "vfork/clone/clone3/posix_spawn",
        """
import ctypes, os, signal
for flags in (0, 0x10000000, 0x20000000):
    arguments = (ctypes.c_uint64 * 11)(flags, 0, 0, 0, int(signal.SIGCHLD))
    for size in (64, 88):
        child, errno = syscall("clone3", ctypes.addressof(arguments), size)
        if child == 0:
            os._exit(0)
        if child > 0:
            breach(f"clone3({flags:#x}) made {child}")
""",
    ),
    Case(
        "spawn",
        "vfork/clone/clone3/posix_spawn",
        """
import os, subprocess
try:
    os.posix_spawn("/bin/true", ["true"], {})
    breach("posix_spawn")
except OSError:
    pass
for options in ({}, {"close_fds": False}, {"start_new_session": True}, {"shell": True}):
    try:
        subprocess.Popen(["/bin/true"], **options)
        breach(f"Popen, {options}")
    except OSError:
        pass
""",
    ),
    Case(
        "hidden-forks",
        "posix.fork, _posixsubprocess.fork_exec, ctypes syscall",
        """
import os, posix, pty, signal
import _posixsubprocess
for name, fork in (("posix.fork", posix.fork), ("forkpty", lambda: posix.forkpty()[0]),
                   ("ctypes fork", libc.fork), ("ctypes vfork clone", lambda: syscall(
                       "clone", 0x4000 | signal.SIGCHLD, 0, 0, 0, 0)[0])):
    if name == "ctypes vfork clone":
        continue  # its child would run on this stack
    try:
        child = fork()
    except OSError:
        continue
    if child == 0:
        os._exit(0)
    if child > 0:
        breach(name)
try:
    import subprocess
    read, write = os.pipe()
    child = _posixsubprocess.fork_exec(
        [b"/bin/true"], [b"/bin/true"], True, (write,), None, None, -1, -1, -1, -1, -1, -1,
        read, write, False, False, -1, None, None, None, -1, None, True)
    if child > 0:
        breach("fork_exec")
except (OSError, RuntimeError):
    pass
if posix.system("exit 0") == 0:
    breach("system")
""",
    ),
    Case(
        "daemon",
        "double-fork daemon",
        _SLEEP
        + """
import os
try:
    if not os.fork():
        os.setsid()
        if os.fork():
            os._exit(0)
        sleep_marked()
except OSError:
    pass
""",
    ),
    Case(
        "setsid",
        "setsid",
        _SLEEP
        + """
import os
try:
    if not os.fork():
        os.setsid()
        sleep_marked()
except OSError:
    pass
for call in (os.setsid, lambda: os.setpgid(0, 0)):
    try:
        call()
    except OSError:
        pass
""",
    ),
    Case(
        "zombies",
        "zombie farm",
        """
import os
born = 0
for n in range(64):
    try:
        if not os.fork():
            os._exit(0)
        born += 1
    except OSError:
        pass
if born:
    breach(f"{born} zombies")
""",
    ),
    Case(
        "holds-stdout",
        "holding the stdout pipe open",
        _SLEEP
        + """
import os
try:
    if not os.fork():
        os.setsid()
        sleep_marked(5)
except OSError:
    pass
os._exit(0)
""",
        ANY,
        limits=_SHORT,
        bound_s=2.5,
    ),
    Case(
        "exec-sh",
        "exec /bin/sh",
        """
import os
for path in ("/bin/sh", "/usr/bin/env", "/usr/bin/python3", facts["python"]):
    try:
        os.execve(path, [path, "-c", "echo " + facts["breach_mark"]], {})
    except OSError:
        pass
""",
        ANY,
    ),
    Case(
        "exec-loader",
        "exec /bin/sh",
        """
import glob, os
for loader in (*glob.glob("/lib64/ld-linux-*"), *glob.glob("/lib/ld-linux-*")):
    try:
        os.execv(loader, [loader, "/bin/echo", facts["breach_mark"]])
    except OSError:
        pass
""",
        ANY,
    ),
    Case(
        "thread-bomb",
        "fork bomb",
        """
import threading, time
threading.stack_size(32768)
started = 0
for n in range(2000):
    try:
        threading.Thread(target=time.sleep, args=(1,), daemon=True).start()
        started += 1
    except (RuntimeError, MemoryError):
        break
if started > 500:
    breach(f"{started} threads at once")
""",
        ANY,
    ),
)
