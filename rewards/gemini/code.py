"""Code execution: ``evaluate(example, response)`` of the configuration, in a sandbox."""

from __future__ import annotations

from typing import Any

from ..deadline import left_s
from ..protojson import example_dict
from ..snippet_runner import SnippetLimits, SnippetRunner, runner_for
from ..types import Example, Reason, Response, RewardFault
from .options import Code

DISK_MB = 512
CPUS = 1


class CodeExecution:
    """The reward that the snippet returns."""

    def __init__(self, snippet: str, options: Code) -> None:
        self._snippet = snippet
        self._options = options
        self._runner: SnippetRunner | None = None

    def setup(self) -> None:
        """Makes the runner.

        Raises:
            SandboxFault: there is no sandbox here.
        """
        options = self._options
        limits = SnippetLimits(
            options.timeout_s, options.memory_mb, DISK_MB, CPUS, options.max_source_bytes
        )
        self._runner = runner_for(self._snippet, limits)

    async def score(self, example: Example, response: Response, content: dict[str, Any]) -> float:
        """What ``evaluate`` returns, not clipped. Only a call that timed out is run again.

        Raises:
            RewardFault: as `SnippetRunner.evaluate`.
        """
        if self._runner is None:
            self.setup()
        assert self._runner is not None  # noqa: S101 - for the type checker
        seen = example_dict(example, response)
        for left in range(self._options.retries, -1, -1):
            try:
                limit_s = min(self._options.timeout_s, left_s())
                return await self._runner.evaluate(seen, content, limit_s)
            except RewardFault as error:
                if error.reason is not Reason.TIMED_OUT or left == 0 or left_s() == 0:
                    raise
        raise AssertionError("the loop above returns or raises")

    async def close(self) -> None:
        """Ends what runs."""
        if self._runner is not None:
            await self._runner.close()
