"""The rig as a process of its own: `python -m tests.support.serve_rig PORT CONFIGURATION_JSON`.

It prints the address of its gRPC port and the number of its HTTP port. SIGTERM ends it as it ends a
service: what is in flight is finished first.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from typing import Any

from rewardplane.config.load import parse
from rewardplane.gateway.validate import Validator
from rewardplane.http.server import HttpFace

from .rig import FOLDER, Rig


async def main(port: int, configuration: dict[str, Any]) -> None:
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    made = Rig(parse(configuration, FOLDER), None)
    start: Any = made.server.start

    async def on_port(host: str, _any: int) -> int:
        return await start(host, port)

    made.server.start = on_port  # type: ignore[method-assign]
    async with made:
        limits = made.config.limits
        validator = Validator(made.scorer, made.metrics, limits)
        http = HttpFace(made.scorer, validator, made.rewards, made.metrics, limits)
        http_port = await http.start("127.0.0.1", 0)
        print(made.address, http_port, flush=True)
        await stopped.wait()
        await http.stop(1.0)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), json.loads(sys.argv[2])))
