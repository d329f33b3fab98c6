"""A `SnippetRunner` for tests: a process of its own for each call, and no isolation whatever."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from typing import Any

from rewardplane.rewards.code.snippet_runner import SnippetLimits
from rewardplane.rewards.types import RewardFault, SandboxFault

_MAIN = """
import json, sys
source, name, given = json.load(sys.stdin)
scope = {}
exec(source, scope)
print(json.dumps(scope[name](*given)))
"""


class ProcessRunner:
    """Runs each call in a new Python; what the code raises is RAISED with its last line."""

    def __init__(self, source: str, limits: SnippetLimits) -> None:
        self._source = source
        self._limits = limits

    async def close(self) -> None:
        """Nothing is kept."""

    async def call(self, arguments: Sequence[Any], timeout_s: float) -> float:
        """Of ``grade``."""
        if "no sandbox" in self._source:
            raise SandboxFault("the sandbox is out of order")
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-c", _MAIN), stdin=pipe, stdout=pipe, stderr=pipe
        )
        fed = json.dumps([self._source, "grade", arguments]).encode()
        try:
            async with asyncio.timeout(min(timeout_s, self._limits.timeout_s)):
                out, err = await process.communicate(fed)
        except TimeoutError:
            process.kill()
            await process.wait()
            raise RewardFault("timed out") from None
        if process.returncode:
            raise RewardFault(err.decode().strip().splitlines()[-1])
        return json.loads(out)
