"""The rig as a process of its own: `python -m tests.support.serve_rig PORT REWARDS_JSON`.

SIGTERM ends it as it ends a service: what is in flight is finished first.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from typing import Any

from .rig import rig


async def main(port: int, rewards: dict[str, Any]) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stopped.set)
    made = rig(rewards)
    start: Any = made.server.start

    async def on_port(host: str, _any: int) -> int:
        return await start(host, port)

    made.server.start = on_port  # type: ignore[method-assign]
    async with made:
        print(made.address, flush=True)
        await stopped.wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), json.loads(sys.argv[2])))
