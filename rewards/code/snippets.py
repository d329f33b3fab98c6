"""Rewards whose configuration holds source text of functions, among other things."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from .sandboxed import Sandboxed
from .snippet_runner import SnippetLimits, SnippetRunner, provided
from .snippet_server import GUEST, Raised, SnippetServer
from .snippet_source import BadSource, check_source


class Snippets(Sandboxed):
    """A reward that may hold source; `make_runner` makes what runs it, once it is set up."""

    guests: ClassVar[tuple[str, ...]] = (GUEST,)

    def setup(self) -> None:
        """Starts the sandbox, where there is source to run and no other place for it.

        Raises:
            IsolationUnavailable: the host does not hold the level; with what it lacks.
        """
        if provided() is None:
            super().setup()

    def make_runner(self, source: str, limits: SnippetLimits) -> SnippetRunner:
        """What runs one source; where that can be no reward function, each call says why."""
        factory = provided()
        if factory is not None:
            return factory(source, limits)
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

    async def evaluate(
        self, example: dict[str, Any], response: dict[str, Any], timeout_s: float
    ) -> float:
        del example, response, timeout_s
        raise Raised(self._why)

    async def grade(self, sample: dict[str, Any], item: dict[str, Any], timeout_s: float) -> float:
        del sample, item, timeout_s
        raise Raised(self._why)

    async def close(self) -> None:
        pass


class _Runner:
    def __init__(self, server: SnippetServer, limits: SnippetLimits) -> None:
        self._server = server
        self._limits = limits

    async def evaluate(
        self, example: dict[str, Any], response: dict[str, Any], timeout_s: float
    ) -> float:
        return await self._call([example, response], timeout_s)

    async def grade(self, sample: dict[str, Any], item: dict[str, Any], timeout_s: float) -> float:
        return await self._call([sample, item], timeout_s)

    async def close(self) -> None:
        await self._server.close()

    async def _call(self, arguments: list[Any], timeout_s: float) -> float:
        limit_s = min(timeout_s, self._limits.timeout_s)
        value, _printed = await self._server.call(arguments, limit_s)
        return value
