"""What a trainer pays for its client, in CPU: `python -m tests.load.client_cost`.

A server in a process of its own answers each item with a constant; the figures are the client
process's own CPU time, gRPC's threads included.
"""

from __future__ import annotations

import asyncio
import gc
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import grpc.aio
from rewardplane.client import RewardClient
from rewardplane.integrations.trl import reward_fn
from rewardplane.rewards.types import Example, Response
from rewardplane.v1 import reward_service_pb2 as pb
from rewardplane.v1 import reward_service_pb2_grpc as pb_grpc

ITEMS = 1_024
TEXT_BYTES = 2_048
GROUP = 8
ROUNDS = 30
SINGLES = 4_096


class _Constant(pb_grpc.RewardServiceServicer):
    def __init__(self) -> None:
        self.calls = 0

    async def Score(  # noqa: N802 - the protocol's name
        self, request: pb.ScoreRequest, context: grpc.aio.ServicerContext
    ) -> pb.ScoreResponse:
        self.calls += 1
        answer = pb.ScoreResponse(
            rewards=[pb.RewardUsed(name=request.reward, version=str(self.calls))]
        )
        for group in request.groups:
            outcomes = answer.groups.add().outcomes
            for _ in group.responses:
                outcomes.add().score.reward = 0.5
        return answer


async def _serve() -> None:
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", 64 * 2**20)])
    pb_grpc.add_RewardServiceServicer_to_server(_Constant(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(f"127.0.0.1:{port}", flush=True)
    await server.wait_for_termination()


@contextmanager
def _server() -> Iterator[str]:
    command = [sys.executable, __file__, "--serve"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


async def _measure(target: str) -> dict[str, float]:
    function = reward_fn("math", target)
    prompts = [f"question {i // GROUP}" for i in range(ITEMS)]
    answers = [str(i // GROUP) for i in range(ITEMS)]
    # As decoding makes them: strings of their own, most of them ASCII.
    completions = [f"{i} ".ljust(TEXT_BYTES, "x") for i in range(ITEMS)]
    us_per_item: list[float] = []
    for _ in range(ROUNDS):
        gc.collect()
        begin_s = time.process_time()
        rewards = await function(prompts=prompts, completions=completions, answer=answers)
        us_per_item.append((time.process_time() - begin_s) / ITEMS * 1e6)
        assert rewards == [0.5] * ITEMS
    us_per_item.sort()
    async with RewardClient(target) as client:
        calls = [client.score_one("math", Example(), Response(str(i))) for i in range(SINGLES)]
        begin_s = time.process_time()
        await asyncio.gather(*calls)
        single_us = (time.process_time() - begin_s) / SINGLES * 1e6
        last = await client.score("math", [_one()])
    used = last.used[0]
    assert used is not None
    return {
        "reward_fn_us_per_item_median": round(us_per_item[ROUNDS // 2], 2),
        "reward_fn_us_per_item_least": round(us_per_item[0], 2),
        "score_one_us_per_item": round(single_us, 2),
        "single_calls": SINGLES,
        "grpc_calls_for_them": int(used.version) - ROUNDS - 1,
    }


def _one() -> object:
    from rewardplane.rewards.types import Group

    return Group(Example(), [Response("1")])


if __name__ == "__main__":
    if sys.argv[1:] == ["--serve"]:
        asyncio.run(_serve())
    else:
        with _server() as target:
            print(json.dumps(asyncio.run(_measure(target)), indent=1))
