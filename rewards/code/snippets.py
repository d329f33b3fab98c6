"""Rewards whose configuration holds source text of functions, among other things."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from .sandboxed import Sandboxed
from .snippet_runner import SnippetLimits, SnippetRunner
from .snippet_server import GUEST, Raised, SnippetServer
from .snippet_source import BadSource, check_source


class Snippets(Sandboxed):
    """A reward that may hold source; `make_runner` makes what runs it, once it is set up."""

    guests: ClassVar[tuple[str, ...]] = (GUEST,)

    def make_runner(self, source: str, limits: SnippetLimits) -> SnippetRunner:
        """What runs one source; where that can be no reward function, each call says why."""
        try:
            shape = check_source(source, limits.max_source_bytes)
        except BadSource as error:
            return _Unrunnable(f"the source {error}")
        server = SnippetServer(
            self.pool, source, shape, memory_mb=limits.memory_mb, at_once=self.slots
        )
        return _Runner(server, limits)

    def source_defaults(self, limits: SnippetLimits) -> Mapping[str, Any]:
        """Settings under which the limits of a source strike before those of the worker."""
        return {"timeout_s": limits.timeout_s + 10, "memory_limit_mb": limits.memory_mb + 1024}


class _Unrunnable:
    def __init__(self, why: str) -> None:
        self._why = why

    async def call(self, arguments: Sequence[Any], timeout_s: float) -> float:
        del arguments, timeout_s
        raise Raised(self._why)

    async def close(self) -> None:
        pass


class _Runner:
    def __init__(self, server: SnippetServer, limits: SnippetLimits) -> None:
        self._server = server
        self._limits = limits

    async def call(self, arguments: Sequence[Any], timeout_s: float) -> float:
        limit_s = min(timeout_s, self._limits.timeout_s)
        value, _printed = await self._server.call(arguments, limit_s)
        return value

    async def close(self) -> None:
        await self._server.close()
