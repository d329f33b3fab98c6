"""What items cost, measured on this machine: writes `costs.json`.

`code_tests`: programs under ten tests each, one at a time in one slot of the sandbox, the mix of a
policy in training: most quick, some slow by their inputs, some that never end and are cut off at
their time limit; the fastest of five tries. `math`: math-verify as it comes, once on each of the
shipped GSM8K solutions: SymPy remembers what it has seen.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from pathlib import Path
from statistics import mean, quantiles
from typing import Any

from rewardplane.rewards.registry import build
from rewardplane.rewards.types import Example, Response

from ..sandbox import SOLUTION
from ..verify import grade

SAMPLE = Path(__file__).parents[3] / "service" / "cli" / "demo_data" / "gsm8k_sample.jsonl"
MIX = {30: 70, 200: 22, 500: 6, 0: 2}
"""How many programs of each size of input, of a hundred; 0: it never ends."""
TIME_LIMIT_S = 1.0
TRIES = 5
"""The fastest counts: other work on the machine is no cost of an item."""


def measure() -> None:
    """Measures and writes."""
    found = {"code_tests": asyncio.run(_programs()), "math": _solutions()}
    costs = {
        name: {
            "how": f"{len(times_s)} items, one at a time, {os.cpu_count()} cores",
            "mean_s": round(mean(times_s), 6),
            "item_s": [
                round(q, 6)
                for q in (min(times_s), *quantiles(times_s, n=50, method="inclusive"), max(times_s))
            ],
        }
        for name, times_s in found.items()
    }
    path = Path(__file__).parent / "costs.json"
    path.write_text(json.dumps(costs, indent=1) + "\n", encoding="utf-8")


async def _programs() -> list[float]:
    reward: Any = build("code_tests", {"slots": 1, "cpu_s": TIME_LIMIT_S, "max_overruns": 0})
    reward.setup()
    times_s: list[float] = []
    for size, count in MIX.items():
        numbers = [(k * k * 31) % 1009 for k in range(size)]
        pairs = [{"input": f"{size}\n{' '.join(map(str, numbers))}\n", "output": "1\n"}] * 10
        example = Example(json_references={"tests": json.dumps(pairs)})
        body = SOLUTION.replace("print(max(best))", "print(1)") if size else "while True: pass"
        response = Response(text=f"```python\n{body}\n```")
        times_s += [await _fastest(reward, example, response) for _ in range(count)]
    return times_s


async def _fastest(reward: Any, example: Example, response: Response) -> float:
    tries_s: list[float] = []
    for _ in range(TRIES):
        begin_s = time.perf_counter()
        await reward.score(example, response)
        tries_s.append(time.perf_counter() - begin_s)
    return min(tries_s)


def _solutions() -> list[float]:
    times_s: list[float] = []
    for line in SAMPLE.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        answer = str(row.get("answer") or row["references"]["answer"])
        for response in row["responses"]:
            text = response if isinstance(response, str) else response["text"]
            begin_s = time.perf_counter()
            grade({"output_text": text}, {"answer": answer})
            times_s.append(time.perf_counter() - begin_s)
    return times_s
