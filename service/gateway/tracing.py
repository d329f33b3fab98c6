"""Whether calls are traced: what the gateway knows of it without OpenTelemetry being installed."""

from __future__ import annotations

import os
import re
from typing import Any, Protocol

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(-|$)")
_SECRET = ("_HEADERS", "_KEY")


class TracesUnavailable(Exception):
    """Traces are asked for and cannot be had; the message says what to do."""


class Trace(Protocol):
    """Where the spans of a call go; see `traces.CallTrace`. Shards and calls are what is above."""

    def began_inline(self, reward: str, /) -> None:
        """Items of a reward are scored in the gateway itself from now on."""
        ...

    def ran_inline(self, reward: str, /) -> None:
        """They are scored."""
        ...

    def submitted(self, shard: Any, /) -> None:
        """A shard waits for a replica."""
        ...

    def delivered(self, shard: Any, part: Any, waited_us: int, /) -> None:
        """Outcomes of a shard came."""
        ...

    def close(self, call: Any, /) -> None:
        """Every item has its outcome."""
        ...

    def answers_later(self) -> None:
        """The answer is made in turns that follow; `answered` tells its end."""
        ...

    def answered(self, fault: str = "", /) -> None:
        """The answer is made, or none because of `fault`."""
        ...

    def end(self, fault: str = "", /) -> None:
        """The call has its answer, or none because of `fault`; nothing where that comes later."""
        ...


def environment() -> dict[str, str]:
    """OpenTelemetry's variables, for gateways that others start; without secrets."""
    return {
        name: value
        for name, value in os.environ.items()
        if name.startswith("OTEL_") and not name.endswith(_SECRET)
    }


def trace_id_of(traceparent: str) -> str:
    """The id of the trace; empty: it names none. See https://www.w3.org/TR/trace-context/."""
    found = _TRACEPARENT.match(traceparent)
    return found[1] if found else ""
