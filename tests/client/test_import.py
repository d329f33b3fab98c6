"""What a trainer pays for `import rewardplane.client`: CPU time and modules.

CPU time, and against what gRPC and asyncio cost by themselves, so that a loaded machine does not
decide.
"""

from __future__ import annotations

import json
import subprocess
import sys
from statistics import median
from typing import Any

RUNS = 5
MEASURE = """
import json, sys, time
before = set(sys.modules)
begin = time.process_time()
import {what}
cpu_s = time.process_time() - begin
print(json.dumps({{"cpu_s": cpu_s, "new": sorted(set(sys.modules) - before)}}))
"""
# What the client cannot do without.
BASE = "asyncio, grpc.aio, google.protobuf.duration_pb2, google.rpc.error_details_pb2"
HEAVY = {
    *("ray", "pydantic", "torch", "numpy", "transformers", "aiohttp", "yaml", "starlette"),
    *("prometheus_client", "uvloop", "psutil", "sympy", "rich", "typer", "requests", "pyarrow"),
}

# What clients know of rewards.
VOCABULARY = {"types", "references", "finite_json", "models", "models.model_facts"}


def imported(what: str) -> dict[str, Any]:
    command = [sys.executable, "-c", MEASURE.format(what=what)]
    return json.loads(subprocess.check_output(command, timeout=60))


def test_it_loads_nothing_but_grpc_and_protobuf() -> None:
    new = imported("rewardplane.client")["new"]
    assert not {name.partition(".")[0] for name in new} & HEAVY
    foreign = {n.partition(".")[0] for n in new} - set(sys.stdlib_module_names)
    # gRPC loads packages of its own, Cython leaves names, and an editable install a finder.
    known = (
        "rewardplane",
        "grpc",
        "google",
        "typing_extensions",
        "cython_",
        "_cython",
        "__editable",
    )
    assert [name for name in foreign if not name.startswith(known)] == []
    assert len(new) <= 250, len(new)
    own = {name.removeprefix("rewardplane.rewards.") for name in new} - set(new)
    assert own == VOCABULARY, "reward functions are the service's"


def test_it_costs_about_as_much_as_grpc() -> None:
    # In turns: what the machine does meanwhile is the same for both.
    pairs = [
        (imported("rewardplane.client")["cpu_s"], imported(BASE)["cpu_s"]) for _ in range(RUNS)
    ]
    client_s, base_s = (median(values) for values in zip(*pairs, strict=True))
    assert client_s < 0.45, "150 ms, on a machine that is three times slower"
    assert client_s < 2.5 * base_s + 0.02, (client_s, base_s)
