"""A reward function as source text: evaluate(example, response) or grade(sample, item)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, ClassVar

from pydantic import Field, PrivateAttr

from ..code.sandboxed import Sandboxed
from ..code.snippet_server import GUEST, SnippetServer
from ..code.snippet_source import BadSource, Shape, check_source
from ..functions import arguments
from ..reward import kind
from ..types import Example, Response, Score

HOSTED_TIMEOUT_S: dict[Shape, float] = {"evaluate": 100.0, "grade": 120.0}
HOSTED_MEMORY_MB: dict[Shape, int] = {"evaluate": 1024, "grade": 2048}


@kind("snippet")
class Snippet(Sandboxed):
    """What a function from source text returns, run in a sandbox.

    ``evaluate(example, response)`` gets Gemini's camelCase dicts, ``grade(sample, item)`` OpenAI's;
    it returns a finite number. What it prints comes back as the explanation. Its limits are those
    of the service that it comes from: 100 s and 1 GB, or 120 s and 2 GB; 1 CPU, no network, no
    files but a small scratch at /tmp (from level NAMESPACED on). What it raises is RAISED, and an
    item that overruns, crashes or takes too much memory is its own error. State that it keeps
    lasts as long as its process: do not rely on it.

    Sources: the documentation of code execution rewards (Gemini RL tuning) and of Python graders
    (https://platform.openai.com/docs/guides/graders).
    """

    guests: ClassVar[tuple[str, ...]] = (GUEST,)

    source: Annotated[str, Field(min_length=1)]
    """The source text, at most 256 kB."""
    limit_s: Annotated[float, Field(gt=0, le=3600)] | None = None
    """How long one call may execute, of CPU and of the clock. Default: as the hosted service."""
    memory_mb: Annotated[int, Field(ge=16)] | None = None
    """The memory of one process of it. Default: as the hosted service."""

    _server: SnippetServer | None = PrivateAttr(default=None)

    @property
    def deterministic(self) -> bool:
        """Nobody knows."""
        return False

    @property
    def defaults(self) -> Mapping[str, Any]:
        """More time and memory than the function's own limits, so that those strike first."""
        memory_mb = self._memory_mb + 1024
        return {**super().defaults, "timeout_s": self._limit_s + 10, "memory_limit_mb": memory_mb}

    @property
    def run_memory_mb(self) -> int:
        """As configured."""
        return self._memory_mb

    @cached_property
    def shape(self) -> Shape:
        """What the source defines."""
        return check_source(self.source)

    def check(self) -> None:
        """Looks at the source without running it.

        Raises:
            ValueError: it defines no function that can be served.
        """
        try:
            _ = self.shape
        except BadSource as error:
            raise ValueError(f"source: {error}") from None

    async def score(self, example: Example, response: Response) -> Score:
        """What the function returns."""
        server = self._server or self._serve()
        if self.shape == "evaluate":
            given = arguments.for_evaluate(example, response)
        else:
            given = arguments.for_grade(example, response)
        value, printed = await server.call(list(given.values()), self._limit_s)
        return Score(value, {}, printed, ())

    def _serve(self) -> SnippetServer:
        self._server = SnippetServer(
            self.pool, self.source, self.shape, memory_mb=self._memory_mb, at_once=self.slots
        )
        return self._server

    @property
    def _limit_s(self) -> float:
        return self.limit_s or HOSTED_TIMEOUT_S[self.shape]

    @property
    def _memory_mb(self) -> int:
        return self.memory_mb or HOSTED_MEMORY_MB[self.shape]
