"""Traces where they are asked for: OpenTelemetry is imported nowhere else, and only then."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rewardplane.gateway.tracing import TracesUnavailable

if TYPE_CHECKING:
    from rewardplane.gateway.traces import Traces


def make_traces() -> Traces:
    """The traces that the environment asks for.

    Raises:
        TracesUnavailable: they cannot be had.
    """
    try:
        from rewardplane.gateway.traces import Traces
    except ImportError as error:
        raise TracesUnavailable(
            f"traces need OpenTelemetry ({error.name} is missing): pip install "
            "'rewardplane[traces]'"
        ) from None
    return Traces()
