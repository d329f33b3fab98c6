"""Code whose output is the attack."""

from __future__ import annotations

from ..level import Level
from ..verdict import Verdict
from .case import ANY, BROKEN, DONE, OVER_OUTPUT, Case

_AT = Level.PROCESS
_EVERY_BYTE = bytes(range(256)) * 4

CASES = (
    Case(
        "stdout-flood",
        "stdout/stderr/result-fd flood, alternating",
        "import os\nfor _ in range(4096): os.write(1, b'x' * 65536)",
        OVER_OUTPUT,
        _AT,
    ),
    Case(
        "stderr-flood",
        "stdout/stderr/result-fd flood, alternating",
        "import os\nfor _ in range(4096): os.write(2, b'x' * 65536)",
        OVER_OUTPUT,
        _AT,
    ),
    Case(
        "print-flood",
        "stdout/stderr/result-fd flood, alternating",
        "for _ in range(4096): print('x' * 65536)",
        OVER_OUTPUT,
        _AT,
    ),
    Case(
        "answer-flood",
        "stdout/stderr/result-fd flood, alternating",
        "import os\nfor _ in range(4096): os.write(answer_fd, b'x' * 65536)",
        BROKEN,
        _AT,
    ),
    Case(
        "alternating",
        "stdout/stderr/result-fd flood, alternating",
        "import os\nfor n in range(8192): os.write((1, 2, answer_fd)[n % 3], b'x' * 65536)",
        BROKEN,
        _AT,
    ),
    Case(
        "no-utf8",
        "invalid UTF-8",
        "import sys\nsys.stdout.buffer.write(bytes(range(256)) * 4)\nsys.stdout.flush()",
        DONE,
        _AT,
        stdout=_EVERY_BYTE,
    ),
    Case(
        "surrogates",
        "invalid UTF-8",
        "try:\n    print('\\udcff\\ud800')\nexcept UnicodeError:\n    pass",
        DONE,
        _AT,
    ),
    Case("nuls", "NULs", "import os\nos.write(1, bytes(5000))", DONE, _AT, stdout=bytes(5000)),
    Case(
        "tiny-writes",
        "1e6 tiny writes",
        "import os\nfor _ in range(10**6): os.write(1, b'x')",
        ANY - DONE,
        _AT,
        {"cpu_s": 2, "wall_s": 10},
        bound_s=8,
    ),
    Case(
        "no-newline",
        "unterminated line",
        "import sys\nsys.stdout.write('no end')",
        DONE,
        _AT,
        stdout=b"no end",
    ),
    Case(
        "escapes",
        "terminal escapes",
        "print('\\x1b[2J\\x1b]0;title\\x07\\x9b31m', end='')",
        DONE,
        _AT,
        stdout="\x1b[2J\x1b]0;title\x07\x9b31m".encode(),
    ),
    Case(
        "closes-fds",
        "closing fds 1/2/3",
        "import os\nos.closerange(0, 64)",
        ANY,
        _AT,
    ),
    Case(
        "closes-then-runs",
        "closing fds 1/2/3",
        "import os, time\nos.closerange(0, 64)\ntime.sleep(1e6)",
        frozenset({Verdict.WALL_LIMIT, Verdict.RUNTIME_ERROR, Verdict.KILLED}),
        _AT,
        {"cpu_s": 5, "wall_s": 0.3},
    ),
    Case(
        "after-verdict",
        "output after the verdict",
        "import os\ndone()\nfor _ in range(64): os.write(1, b'late ' * 13000)",
        ANY,
        _AT,
    ),
    Case(
        "second-verdict",
        "output after the verdict",
        "import os\ndone()\ndone()",
        ANY,
        _AT,
    ),
    Case(
        "seek-output",
        "closing fds 1/2/3",
        "import os\nfor fd in (0, 1, 2, 3, answer_fd):\n"
        "    try: os.lseek(fd, 900_000, 0)\n    except OSError: pass",
        ANY,
        _AT,
    ),
    Case(
        "truncate-answer",
        "closing fds 1/2/3",
        "import os\nfor fd in (1, 2, 3, answer_fd):\n"
        "    try: os.ftruncate(fd, 0)\n    except OSError: pass\nos._exit(1)",
        BROKEN,
        _AT,
    ),
    Case(
        "sets-flags",
        "closing fds 1/2/3",
        "import fcntl\nfor fd in (0, 1, 2, 3, answer_fd):\n"
        "    for flags in (0o2000, 0o4000, 0o40000, 0o20000):\n"
        "        try: fcntl.fcntl(fd, fcntl.F_SETFL, flags)\n        except OSError: pass",
        ANY,
        _AT,
    ),
    Case(
        "grows-answer",
        "stdout/stderr/result-fd flood, alternating",
        "import os\nfor fd in (1, 2, answer_fd):\n"
        "    for grow in (lambda: os.posix_fallocate(fd, 0, 1 << 30),\n"
        "                 lambda: os.ftruncate(fd, 1 << 30)):\n"
        "        try: grow()\n        except OSError: pass\nos._exit(1)",
        BROKEN,
        _AT,
    ),
)
