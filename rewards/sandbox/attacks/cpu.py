"""Code that takes more time than it may, or does not end when it should."""

from __future__ import annotations

from ..level import Level
from .case import ANY, BROKEN, OVER_TIME, OVER_WALL, STOPPED, Case

_LONG = {"cpu_s": 0.4, "wall_s": 20}
_SHORT = {"cpu_s": 5, "wall_s": 0.3}
_AT = Level.PROCESS

CASES = (
    Case("loop", "while True", "while True: pass", OVER_TIME, _AT, _LONG, bound_s=6),
    Case("loop-wall", "while True", "while True: pass", OVER_WALL, _AT, _SHORT),
    Case("sleep", "sleep(1e6)", "import time; time.sleep(1e6)", OVER_WALL, _AT, _SHORT),
    Case(
        "c-loop",
        "C loop without signal checks",
        "from collections import deque\nfrom itertools import repeat\ndeque(repeat(0), 0)",
        OVER_TIME,
        _AT,
        _LONG,
        bound_s=6,
    ),
    Case(
        "ignore-signals",
        "ignore all signals",
        """
import signal
for number in signal.valid_signals():
    try:
        signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError):
        pass
while True: pass
""",
        OVER_TIME,
        _AT,
        _LONG,
        bound_s=6,
    ),
    Case(
        "block-signals",
        "ignore all signals",
        """
import signal, time
try:
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
except OSError:
    pass
time.sleep(1e6)
""",
        OVER_WALL,
        _AT,
        _SHORT,
    ),
    Case(
        "alarm-off",
        "signal.alarm(0)",
        """
import signal
for off in (lambda: signal.alarm(0), lambda: signal.setitimer(signal.ITIMER_REAL, 0),
            lambda: signal.setitimer(signal.ITIMER_PROF, 0),
            lambda: signal.setitimer(signal.ITIMER_VIRTUAL, 0)):
    try:
        off()
    except OSError:
        pass
while True: pass
""",
        STOPPED,
        _AT,
        _SHORT,
    ),
    Case(
        "raise-rlimit",
        "signal.alarm(0)",
        """
import resource
for limit in (resource.RLIMIT_CPU, resource.RLIMIT_DATA, resource.RLIMIT_NPROC):
    soft, hard = resource.getrlimit(limit)
    for wish in (resource.RLIM_INFINITY, hard + 1000):
        try:
            resource.setrlimit(limit, (wish, wish))
        except (OSError, ValueError):
            pass
while True: pass
""",
        OVER_TIME,
        _AT,
        _LONG,
        bound_s=6,
    ),
    Case(
        "swallow",
        "swallow BaseException/KeyboardInterrupt/SystemExit",
        """
while True:
    try:
        while True: pass
    except BaseException:
        pass
""",
        STOPPED,
        _AT,
        _SHORT,
    ),
    Case("huge-power", "7**10**8", "7 ** 10 ** 8", STOPPED, _AT, _SHORT),
    Case(
        "huge-int",
        "int('9'*10**7)",
        "import sys; sys.set_int_max_str_digits(0); int('9' * 10**7)",
        STOPPED,
        _AT,
        _SHORT,
    ),
    Case("redos", "ReDoS", "import re; re.match(r'(a+)+$', 'a' * 64 + 'b')", STOPPED, _AT, _SHORT),
    Case(
        "stop-self",
        "SIGSTOP self",
        """
import os, signal, time
try:
    os.kill(os.getpid(), signal.SIGSTOP)
except OSError:
    signal.raise_signal(signal.SIGSTOP)
time.sleep(1e6)
""",
        frozenset({*OVER_WALL, *(ANY & BROKEN)}),
        _AT,
        _SHORT,
    ),
    Case(
        "busy-threads",
        "busy threads",
        """
import threading
from collections import deque
from itertools import repeat
def burn():
    deque(repeat(0), 0)
for _ in range(8):
    try:
        threading.Thread(target=burn).start()
    except (RuntimeError, MemoryError):
        break
burn()
""",
        OVER_TIME,
        _AT,
        _LONG,
        bound_s=6,
    ),
    Case(
        "slow-import",
        "slow import",
        """
import sys, types, importlib.abc, importlib.machinery, time
class Slow(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path, target=None):
        return importlib.machinery.ModuleSpec(name, self)
    def exec_module(self, module):
        time.sleep(1e6)
sys.meta_path.insert(0, Slow())
import no_such_module
""",
        OVER_WALL,
        _AT,
        _SHORT,
    ),
    Case(
        "del-runs-on",
        "__del__/atexit/thread that runs on after main returns",
        """
class Late:
    def __del__(self):
        while True: pass
late = Late()
""",
        ANY,
        _AT,
        _SHORT,
    ),
    Case(
        "atexit-runs-on",
        "__del__/atexit/thread that runs on after main returns",
        "import atexit, time\natexit.register(time.sleep, 1e6)",
        ANY,
        _AT,
        _SHORT,
    ),
    Case(
        "thread-runs-on",
        "__del__/atexit/thread that runs on after main returns",
        "import threading, time\nthreading.Thread(target=time.sleep, args=(1e6,)).start()",
        ANY,
        _AT,
        _SHORT,
    ),
    Case(
        "exit-hang",
        "exit hang",
        """
import atexit, sys, threading, time
atexit.register(time.sleep, 1e6)
threading._register_atexit(time.sleep, 1e6)
sys.stdout = type("Hang", (), {"flush": lambda self: time.sleep(1e6), "write": len})()
sys.exit(0)
""",
        ANY,
        _AT,
        _SHORT,
    ),
)
