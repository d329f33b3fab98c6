"""A collector for tests: a real gRPC server of OpenTelemetry's own protocol, in this process."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span

ROOT = "rewardplane.score"
_SERVICE = "opentelemetry.proto.collector.trace.v1.TraceService"


class Receiver:
    """The spans that came, and the attributes of who sent them."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.resources: list[dict[str, Any]] = []
        self.port = 0

    def export(
        self, request: ExportTraceServiceRequest, _context: Any
    ) -> ExportTraceServiceResponse:
        for resource in request.resource_spans:
            self.resources.append(attributes(resource.resource))
            for scope in resource.scope_spans:
                self.spans += scope.spans
        return ExportTraceServiceResponse()

    def traces(self, count: int, timeout_s: float = 60.0, **told: Any) -> list[list[Span]]:
        """The traces of calls whose spans have these attributes, once there are so many.

        A call's own span is sent after all others of it; it comes first here.
        """
        until_s = time.monotonic() + timeout_s
        while True:
            spans = list(self.spans)
            roots = [
                span
                for span in spans
                if span.name == ROOT and told.items() <= attributes(span).items()
            ]
            if len(roots) >= count or time.monotonic() > until_s:
                break
            time.sleep(0.02)
        return [
            [root, *(s for s in spans if s.trace_id == root.trace_id and s.name != ROOT)]
            for root in roots
        ]


def attributes(of: Any) -> dict[str, Any]:
    """The attributes of a span or a resource."""

    def value(any_value: Any) -> Any:
        kind = any_value.WhichOneof("value")
        told = getattr(any_value, kind)
        return [value(one) for one in told.values] if kind == "array_value" else told

    return {entry.key: value(entry.value) for entry in of.attributes}


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A collector on a free port of this machine."""
    receiver = Receiver()
    handler = grpc.method_handlers_generic_handler(
        _SERVICE,
        {
            "Export": grpc.unary_unary_rpc_method_handler(
                receiver.export,
                request_deserializer=ExportTraceServiceRequest.FromString,
                response_serializer=ExportTraceServiceResponse.SerializeToString,
            )
        },
    )
    server = grpc.server(ThreadPoolExecutor(2), handlers=(handler,))
    receiver.port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield receiver
    finally:
        server.stop(None)
