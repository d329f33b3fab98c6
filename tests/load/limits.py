"""One limit for all who ask: four gateways and eight clients against 3,000 requests a minute.

    python -m tests.load.limits

The endpoint counts what comes in any 60 seconds, and answers 429 to what is too much. 4,000 items
take about 80 s. The gateways are in this process, over the one door of the model.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from contextlib import AsyncExitStack
from typing import Any

from rewardplane.client.client import RewardClient
from rewardplane.rewards import Content, Example, Group, Part, Response, Score

from ..models.hosting import Hosts
from ..support.endpoint_server import FEATURES, serving
from ..support.rig import Rig

PER_MINUTE = 3_000
ITEMS, CLIENTS, GATEWAYS = 4_000, 8, 4
CALL = 100


async def main() -> None:
    """Prints the figures."""
    async with AsyncExitStack() as stack:
        endpoint = await stack.enter_async_context(serving(FEATURES - {"logprob_token_ids"}))
        model = {"runs": "endpoint", "base_url": endpoint.base_url, "name": "x"}
        reward = {"kind": "judge", "model": "m", "ask": "Is it good?", "queue_timeout_s": 300}
        document = {"models": {"m": {**model, "requests_per_minute": PER_MINUTE}}}
        hosts = Hosts({**document, "rewards": {"good": {**reward, "timeout_s": 300}}})
        first = await stack.enter_async_context(hosts)
        others = [Rig(hosts.config, hosts.connect) for _ in range(GATEWAYS - 1)]
        rigs = [first, *[await stack.enter_async_context(rig) for rig in others]]
        endpoint.per_minute = PER_MINUTE
        example = Example([Content("user", [Part("a prompt")])])
        outcomes: Counter[str] = Counter()

        async def ask(client_number: int) -> None:
            mine = list(range(client_number, ITEMS, CLIENTS))
            async with RewardClient(rigs[client_number % GATEWAYS].address) as client:
                for begin in range(0, len(mine), CALL):
                    texts = [Response(f"item {n}.") for n in mine[begin : begin + CALL]]
                    found: Any = await client.score("good", [Group(example, texts)], timeout_s=300)
                    outcomes.update(
                        "scored" if isinstance(one, Score) else one.reason.name for one in found[0]
                    )

        begin_s = time.monotonic()
        await asyncio.gather(*(ask(number) for number in range(CLIENTS)))
        took_s = time.monotonic() - begin_s
        at_s = endpoint.times_s
        most = max(sum(t <= other < t + 60 for other in at_s) for t in at_s)
        print(f"{dict(outcomes)} in {took_s:.0f} s, {len(at_s)} calls; most in any 60 s: {most}")
        print(f"429 answered: {endpoint.refused}")


if __name__ == "__main__":
    asyncio.run(main())
