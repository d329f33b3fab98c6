"""Code that looks for what another run left, or for one that runs beside it."""

from __future__ import annotations

from ..level import Level
from .case import Case

# Reads this process's own memory page by page: write(2) answers EFAULT where there is nothing.
# The halves of the mark stand apart in this run's own request, so that only another run's memory
# has them together: the run before was sent them so, many times over. A mark of its own, planted
# while it runs, must be found, or the scan is blind.
_SCAN = """
import ctypes, os
read, write = os.pipe()
page = 4096
def pages():
    libc.sbrk.restype = ctypes.c_void_p
    top = libc.sbrk(0)
    anchors = [top, *(id(x) for x in (facts, [], breach, os, "facts", {}.keys, b"x" * 700))]
    seen = set()
    for anchor in anchors:
        below, above = (24 << 20, 4 << 20) if anchor == top else (4 << 20, 4 << 20)
        for at in range((anchor - below) & ~4095, anchor + above, page):
            if at not in seen:
                seen.add(at)
                yield at
def found(first, second):
    hits = 0
    for at in pages():
        if libc.write(write, ctypes.c_void_p(at), page) != page:
            continue
        content = os.read(read, page)
        place = content.find(first)
        while place >= 0:
            if content[place + len(first):place + len(first) + len(second)] == second:
                hits += 1
            place = content.find(first, place + 1)
    return hits
"""

CASES = (
    Case(
        "heap-scan",
        "heap scan for a marker of an earlier run",
        _SCAN
        + """
planted = [(facts["third"] + facts["fourth"] + str(n)).encode() for n in range(200)]
if not found(facts["third"].encode(), facts["fourth"].encode()):
    raise SystemError("the scan finds nothing")
hits = found(facts["first"].encode(), facts["second"].encode())
if hits:
    breach(f"another run's data on {hits} pages")
""",
        fails_from=Level.PROCESS,
        before="copies = [text + '.' for text in facts['marks']]",
        limits={"cpu_s": 4, "wall_s": 8},
        bound_s=8,
    ),
    Case(
        "poison",
        "builtins poison",
        """
import builtins, json, sys, os
if len("four") != 4 or json.dumps([1]) != "[1]" or hasattr(builtins, "poisoned"):
    breach("builtins of the run before")
if getattr(os, "poisoned", False) or "poisoned" in sys.modules or sys.flags.poisoned_path:
    breach("modules of the run before")
""".replace("sys.flags.poisoned_path", "'/poisoned' in sys.path"),
        fails_from=Level.PROCESS,
        before="""
import builtins, json, os, sys
builtins.poisoned = builtins.len = lambda *a: 0
json.dumps = lambda *a, **k: "poisoned"
os.poisoned = True
sys.modules["poisoned"] = os
sys.path.insert(0, "/poisoned")
sys.setrecursionlimit(80)
""",
    ),
    Case(
        "poison-settings",
        "builtins poison",
        """
import locale, os, sys, random, time
if sys.getrecursionlimit() < 900 or sys.gettrace() or sys.getprofile() or os.umask(0o22) == 0:
    breach("settings of the run before")
if os.environ.get("POISONED") or time.tzname[0] == "POI":
    breach("environment of the run before")
""",
        fails_from=Level.PROCESS,
        before="""
import os, sys, threading, time
sys.setrecursionlimit(80)
sys.settrace(lambda *a: None)
sys.setprofile(lambda *a: None)
os.umask(0)
os.environ["POISONED"] = "1"
os.environ["TZ"] = "POI"
time.tzset()
""",
    ),
    Case(
        "tmp-leftovers",
        "/tmp leftovers",
        """
import os
for folder in ("/tmp", ".", os.environ.get("TMPDIR", "/tmp"), "/dev/shm"):
    for name in (facts["tag"] + "-dir", facts["tag"] + "-fifo"):
        try:
            os.open(f"{folder}/{name}", os.O_RDONLY | os.O_NONBLOCK)
            breach(f"{folder}/{name}")
        except OSError:
            pass
""",
        before="""
import os
for folder in ("/tmp", ".", os.environ.get("TMPDIR", "/tmp"), "/dev/shm"):
    for make, name in ((os.mkdir, "-dir"), (os.mkfifo, "-fifo")):
        try:
            make(f"{folder}/{facts['tag']}{name}")
        except OSError:
            pass
""",
    ),
    Case(
        "two-at-once",
        "two slots at once",
        """
import os, time
end = time.monotonic() + 1
while time.monotonic() < end:
    for folder in ("/tmp", ".", "/dev/shm", facts["folder"]):
        try:
            with open(f"{folder}/{facts['tag']}-beside") as file:
                breach(f"reads what the other slot writes to {folder}")
                end = 0
        except OSError:
            pass
    time.sleep(0.02)
""",
        beside="""
import os, time
for folder in ("/tmp", ".", "/dev/shm", facts["folder"]):
    try:
        with open(f"{folder}/{facts['tag']}-beside", "w") as file:
            file.write("beside")
    except OSError:
        pass
time.sleep(0.8)
""",
    ),
)
