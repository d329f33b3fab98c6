"""The kernel's count of a uid's threads, as an ordinary user: root has no such limit."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
SOURCE = """
import threading, time
from rewardplane.rewards.sandbox.headcount import Headcount
done = threading.Event()
def more(count):
    for _ in range(count): threading.Thread(target=done.wait, daemon=True).start()
head = Headcount()
first = head.limit(32)
more(40)
grown = head.limit(32)
head._count()
counted = head.limit(32)
done.set()
print(first, grown, counted)
"""


def test_it_grows_with_the_threads_that_there_are() -> None:
    command = [sys.executable, str(HERE / "as_user.py"), "54321", "-c", SOURCE]
    if os.geteuid() != 0:
        command = [sys.executable, "-c", SOURCE]
    said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    first, grown, counted = map(int, said.split())
    # Other threads of this host come and go meanwhile.
    assert first >= 256 + 32 + 1
    assert 40 - 20 <= grown - first <= 40 + 100
    assert 40 - 20 <= counted - first <= 40 + 100
