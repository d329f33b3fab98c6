"""Whether calls are traced: what the gateway knows of it without OpenTelemetry being installed."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .traces import Traces

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(-|$)")
_SECRET = ("_HEADERS", "_KEY")


class TracesUnavailable(Exception):
    """Traces are asked for and cannot be had; the message says what to do."""


def make_traces() -> Traces:
    """The traces that the environment asks for.

    Raises:
        TracesUnavailable: they cannot be had.
    """
    try:
        from .traces import Traces
    except ImportError as error:
        raise TracesUnavailable(
            f"traces need OpenTelemetry ({error.name} is missing): pip install "
            "'rewardplane[traces]'"
        ) from None
    return Traces()


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
