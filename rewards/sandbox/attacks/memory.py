"""Code that takes more memory than it may, by each of the ways that memory is had."""

from __future__ import annotations

from ..level import Level
from .case import ANY, BROKEN, DONE, OVER_MEMORY, Case

_AT = Level.PROCESS
_LIMITS = {"memory_mb": 256, "cpu_s": 5, "wall_s": 10}
_SMALL = {"memory_mb": 64, "cpu_s": 5, "wall_s": 10}
_BOUND_S = 8.0

CASES = (
    Case(
        "steps",
        "64 MB steps",
        """
held = []
for n in range(12):
    held.append(b"x" * (64 << 20))
breach("held 768 MB of 256")
""",
        OVER_MEMORY,
        _AT,
        _LIMITS,
        _BOUND_S,
    ),
    Case(
        "steps-caught",
        "64 MB steps",
        """
held = []
for n in range(12):
    try:
        held.append(b"x" * (64 << 20))
    except MemoryError:
        pass
if len(held) > 8:
    breach("held more than 512 MB of 256")
""",
        DONE,
        _AT,
        _LIMITS,
        _BOUND_S,
    ),
    Case(
        "at-once",
        "one 8 GB bytearray",
        "held = bytearray(8 << 30)\nbreach('held 8 GB of 256 MB')",
        OVER_MEMORY,
        _AT,
        _LIMITS,
        _BOUND_S,
    ),
    Case(
        "recursion",
        "recursion with limit 1e9",
        "import sys\nsys.setrecursionlimit(10**9)\ndef f(n): return f(n + 1) + 1\nf(0)",
        BROKEN,
        _AT,
        _SMALL,
        _BOUND_S,
    ),
    Case(
        "tuple-hash",
        "1e6-nested tuple hash (C stack)",
        "t = ()\nfor _ in range(10**6): t = (t,)\nhash(t)",
        BROKEN,
        _AT,
        _SMALL,
        _BOUND_S,
    ),
    Case(
        "list-repr",
        "nested-list repr",
        "import sys\nsys.setrecursionlimit(10**9)\nx = []\nfor _ in range(10**6): x = [x]\nrepr(x)",
        BROKEN,
        _AT,
        _SMALL,
        _BOUND_S,
    ),
    Case(
        "memfd",
        "memfd",
        """
import os
total = 0
for n in range(40):
    try:
        fd = os.memfd_create("fill")
        for _ in range(16):
            total += os.write(fd, bytes(1 << 20))
    except (OSError, MemoryError):
        continue
if total > 128 << 20:
    breach(f"{total >> 20} MB in memfds")
""",
        ANY,
        _AT,
        _LIMITS,
        _BOUND_S,
    ),
    Case(
        "dev-shm",
        "/dev/shm",
        """
import os
total = 0
for n in range(8):
    try:
        with open(f"/dev/shm/{facts['tag']}-{n}", "wb", 0) as file:
            for _ in range(4):
                total += file.write(bytes(1 << 20))
    except OSError:
        continue
if total > 16 << 20:
    breach(f"{total >> 20} MB in /dev/shm")
""",
        limits=_LIMITS,
        bound_s=_BOUND_S,
        bare=False,  # the limit of file size holds it before the rest is asked
    ),
    Case(
        "map-shared",
        "MAP_SHARED",
        """
import mmap
held = []
total = 0
for n in range(12):
    try:
        held.append(mmap.mmap(-1, 64 << 20))
        for at in range(0, 64 << 20, 4096):
            held[-1][at] = 1
        total += 64
    except (OSError, ValueError, MemoryError):
        break
if total > 512:
    breach(f"{total} MB of shared mappings, of 256")
""",
        ANY,
        _AT,
        _LIMITS,
        _BOUND_S,
    ),
    Case(
        "thread-stacks",
        "many threads' stacks",
        """
import threading, time
threading.stack_size(16 << 20)
started = 0
for n in range(300):
    try:
        threading.Thread(target=time.sleep, args=(1,), daemon=True).start()
        started += 1
    except (RuntimeError, MemoryError, ValueError):
        break
if started >= 300:
    breach("300 threads at once")
""",
        ANY,
        _AT,
        _LIMITS,
        _BOUND_S,
    ),
    Case(
        "split",
        "multi-process split",
        """
import os, time
children = 0
for n in range(4):
    try:
        child = os.fork()
    except OSError:
        continue
    if not child:
        held = b"x" * (128 << 20)
        time.sleep(1)
        os._exit(0)
    children += 1
if children > 2:
    breach(f"{children} processes of 128 MB each, of 256 in all")
""",
        ANY,
        limits=_LIMITS,
        bound_s=_BOUND_S,
    ),
    Case(
        "json-bomb",
        "zip/JSON bomb in the reply",
        "import os\nos.write(answer_fd, b'[' * 500_000)",
        ANY,
        _AT,
        _LIMITS,
        _BOUND_S,
    ),
    Case(
        "big-reply",
        "zip/JSON bomb in the reply",
        """
import os
piece = b"0" * 65536
for _ in range(2048):
    os.write(answer_fd, piece)
""",
        BROKEN,
        _AT,
        _LIMITS,
        _BOUND_S,
    ),
)
