"""A reward that changes what its process is, by what the response says, or tells what it is."""

from __future__ import annotations

import decimal
import gc
import json
import locale
import os
import random
import resource
import signal
import sys
import tempfile
import time
from pathlib import Path

AT_FIRST = random.Random(7).random()


def change(what):
    if what == "cwd":
        os.chdir(tempfile.gettempdir())
    if what == "removed":
        folder = tempfile.mkdtemp()
        os.chdir(folder)
        Path(folder).rmdir()
    if what == "environment":
        os.environ["LEAKED"] = "1"
        os.environ.pop("PATH", None)
    if what == "umask":
        os.umask(0o777)
    if what == "signals":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGALRM, lambda *_: None)
        signal.setitimer(signal.ITIMER_REAL, 60)
    if what == "limits":
        _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (32, hard))
    if what == "locale":
        locale.setlocale(locale.LC_ALL, "C.UTF-8")
    if what == "decimal":
        decimal.getcontext().prec = 3
    if what == "recursion":
        sys.setrecursionlimit(200)
    if what == "collector":
        gc.disable()
    if what == "seed":
        random.seed(7)


def told():
    umask = os.umask(0o22)
    os.umask(umask)
    return {
        "cwd": str(Path.cwd()),
        "environment": [os.environ.get("LEAKED"), "PATH" in os.environ],
        "umask": umask,
        "signals": [str(signal.getsignal(s)) for s in (signal.SIGTERM, signal.SIGALRM)],
        "timer": signal.getitimer(signal.ITIMER_REAL)[0],
        "limits": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        "locale": locale.setlocale(locale.LC_ALL),
        "decimal": decimal.getcontext().prec,
        "recursion": sys.getrecursionlimit(),
        "collector": gc.isenabled(),
        "seed": random.random() == AT_FIRST,
    }


def act(text):
    command, _, what = text.partition(" ")
    if command == "slow":
        change(what)
        time.sleep(0.002)
    elif command == "change":
        change(what)
    elif command == "tell":
        with Path(what).open("a") as file:
            file.write(json.dumps(told()) + "\n")
    return 1.0


def one(sample, item):
    """Shape `grade`."""
    return act(sample["output_text"])


def group(completions, **_):
    """Shape `trl`."""
    return [act(text) for text in completions]
