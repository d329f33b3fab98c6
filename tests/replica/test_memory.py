"""What a gateway's process does about its memory, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys

_SCRIPT = """
import gc, json
from rewardplane.replica.memory import collect_seldom

class Thing:
    pass

def cycles(count):
    for _ in range(count):
        one = Thing()
        one.self = one

collect_seldom()
times = []
gc.callbacks.append(lambda phase, _info: times.append(phase))
held = [[] for _ in range(5_000)]
seldom = len(times)
cycles(50_000)
left = sum(type(one) is Thing for one in gc.get_objects())
print(json.dumps([gc.get_freeze_count(), seldom, left]))
"""


def test_what_is_there_is_not_walked_through_and_cycles_are_collected_all_the_same() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", _SCRIPT], check=True, capture_output=True, text=True
    )
    frozen, seldom, left = json.loads(ran.stdout)
    assert frozen > 1_000
    assert seldom == 0, "5,000 objects more are no reason"
    assert left <= 10_001, "of 50,000 that nobody can reach"
