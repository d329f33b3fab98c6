"""Kills the gateway, and the door in it, again and again under load: no item is lost.

    python -m tests.load.kill_door [--kills 20] [--door native]

Clients score without a pause; each SIGKILL comes when they are at it again. Ends with 1 when an
item got no reward.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import time

import grpc
import psutil
from rewardplane.client.client import RewardClient
from rewardplane.rewards.types import Example, Group, Response, Score

from .payload import Shape, build
from .peer import Service
from .scoring import METHOD, REWARD

CLIENTS = 8
GROUP = 16
UP_S = 3.0
"""Longer than a client pauses between two tries, so that each call meets a gateway in the end."""
PROBE = build(Shape(1, 1), 1, seed=5).calls[0]


async def run(service: Service, kills: int) -> tuple[int, int, list[float]]:
    """Returns how many items were scored and lost, and the seconds without an answer by kill."""
    stopping = False
    scored = lost = 0

    async def load(client: RewardClient) -> None:
        nonlocal scored, lost
        example = Example(references={"answer": "1"})
        while not stopping:
            group = Group(example, [Response("1")] * GROUP)
            (outcomes,) = await client.score(REWARD, [group], timeout_s=60)
            good = sum(isinstance(o, Score) and o.reward == 1.0 for o in outcomes)
            scored += good
            lost += GROUP - good

    outages_s: list[float] = []
    async with RewardClient(service.address) as client, asyncio.TaskGroup() as loads:
        for _ in range(CLIENTS):
            loads.create_task(load(client))
        for _ in range(kills):
            before = scored
            while scored == before:
                await asyncio.sleep(0.1)
            await asyncio.sleep(UP_S)
            _gateway(service).send_signal(signal.SIGKILL)
            began_s = time.monotonic()
            while not await asyncio.to_thread(_answers, service.address):
                await asyncio.sleep(0.02)
            outages_s.append(time.monotonic() - began_s)
        await asyncio.sleep(1.0)
        stopping = True
    return scored, lost, outages_s


def _gateway(service: Service) -> psutil.Process:
    for process in service.running.processes():
        try:
            if "ServeReplica:rewardplane-gateway" in " ".join(process.cmdline()):
                return process
        except psutil.Error:
            continue
    raise RuntimeError(f"there is no gateway:\n{service.running.log_tail}")


def _answers(address: str) -> bool:
    options = [("grpc.use_local_subchannel_pool", 1)]
    with grpc.insecure_channel(address, options=options) as channel:
        try:
            channel.unary_unary(METHOD)(PROBE, timeout=1)
        except grpc.RpcError:
            return False
    return True


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--door", default="native")
    args = parser.parse_args()
    config = f"rewards:\n  {REWARD}: {{kind: exact, lane: inline, reference: answer}}\n"
    service = Service("service", config=config, door=args.door)
    service.start()
    try:
        scored, lost, outages_s = asyncio.run(run(service, args.kills))
    finally:
        service.stop()
    outages_s.sort()
    print(f"door {args.door}: {args.kills} kills, {scored} items scored, {lost} lost")
    print(
        f"no answer for {outages_s[0]:.1f} to {outages_s[-1]:.1f} s, "
        f"median {outages_s[len(outages_s) // 2]:.1f} s"
    )
    sys.exit(lost > 0)


if __name__ == "__main__":
    main()
