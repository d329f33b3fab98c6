"""Code execution: ``evaluate(example, response)`` of the configuration, in a sandbox."""

from __future__ import annotations

from typing import Any

from ...code.snippet_runner import RunnerFactory, SnippetLimits, SnippetRunner
from ...deadline import left_s
from ...text.protojson import example_dict
from ...types import Example, Reason, Response, RewardFault, SandboxFault
from .options import Code

DISK_MB = 512
CPUS = 1


class CodeExecution:
    """The reward that the snippet returns."""

    def __init__(self, snippet: str, options: Code) -> None:
        self._snippet = snippet
        self._options = options
        self._runner: SnippetRunner | None = None

    def setup(self, make_runner: RunnerFactory) -> None:
        """Makes the runner."""
        self._runner = make_runner(self._snippet, limits_of(self._options))

    async def score(self, example: Example, response: Response, content: dict[str, Any]) -> float:
        """What ``evaluate`` returns, not clipped. Only a call that timed out is run again.

        Raises:
            RewardFault: as `SnippetRunner`.
        """
        if self._runner is None:
            raise SandboxFault("the reward was not set up")
        seen = example_dict(example, response)
        for left in range(self._options.retries, -1, -1):
            try:
                limit_s = min(self._options.timeout_s, left_s())
                return await self._runner.call([seen, content], limit_s)
            except RewardFault as error:
                if error.reason is not Reason.TIMED_OUT or left == 0 or left_s() == 0:
                    raise
        raise AssertionError("the loop above returns or raises")

    async def close(self) -> None:
        """Ends what runs."""
        if self._runner is not None:
            await self._runner.close()


def limits_of(options: Code) -> SnippetLimits:
    """The limits of one call."""
    return SnippetLimits(
        options.timeout_s, options.memory_mb, DISK_MB, CPUS, options.max_source_bytes
    )
