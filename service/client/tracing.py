"""The client's part of a trace, where the program that it is part of uses OpenTelemetry.

Nothing is imported: a program that traces has loaded OpenTelemetry's API itself, and for all others
a call costs one look into a dictionary. What a span becomes, and where it goes, is that program's.
"""

from __future__ import annotations

import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any, cast

Metadata = Sequence[tuple[str, str]] | None
_API = "opentelemetry.trace"


@contextmanager
def traced(path: str, metadata: Metadata, target: str) -> Generator[Metadata, None, None]:
    """A span of one try of a call, and the metadata that name it to the service.

    `path` is that of the method: "/package.Service/Method".
    """
    api: Any = sys.modules.get(_API)
    if api is None:
        yield metadata
        return
    service, _, method = path[1:].rpartition("/")
    told = {
        "rpc.system": "grpc",
        "rpc.service": service,
        "rpc.method": method,
        "server.address": target,
    }
    # Not the current span: a stream is read wherever its reader likes.
    span = api.get_tracer("rewardplane.client").start_span(
        path[1:], kind=api.SpanKind.CLIENT, attributes=told
    )
    try:
        yield (*(metadata or ()), *_names(span.get_span_context()))
    except Exception as error:
        span.set_status(api.StatusCode.ERROR, f"{type(error).__name__}: {error}")
        raise
    finally:
        span.end()


def _names(context: Any) -> Sequence[tuple[str, str]]:
    """A span as W3C's trace context; nothing where nobody traces."""
    if not context.is_valid:
        return ()
    flags = int(context.trace_flags)
    parent = f"00-{context.trace_id:032x}-{context.span_id:016x}-{flags:02x}"
    state = cast("str", context.trace_state.to_header())
    return (("traceparent", parent), *((("tracestate", state),) if state else ()))
