"""Traces of calls, by OpenTelemetry: a span for the call, its plan, each shard and its execution.

Only the gateway makes spans. What ran in workers and models is told by the times that come with
their outcomes: processes that run foreign code know nothing of the exporter and its credentials.
Nothing here is imported unless traces are switched on; what they are sampled by, and where they go,
say OpenTelemetry's own environment variables.
"""

from __future__ import annotations

import importlib
import os
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from .tracing import TracesUnavailable

if TYPE_CHECKING:
    from rewardplane.replica.job import Part

    from .call import Call
    from .shard import Shard

PROTOCOL_ENV = "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"
GRPC = "grpc"
_EXPORTERS = {
    GRPC: "opentelemetry.exporter.otlp.proto.grpc.trace_exporter",
    "http/protobuf": "opentelemetry.exporter.otlp.proto.http.trace_exporter",
}
FLUSH_MS = 5000
MAX_SHARDS = 200
"""Spans of shards in one trace; of what comes beyond, only the number is told."""

_CONTEXT = TraceContextTextMapPropagator()


class Traces:
    """The traces of one gateway."""

    def __init__(self, exporter: SpanExporter | None = None) -> None:
        """`exporter` None: the one of the environment, by OTLP.

        Raises:
            TracesUnavailable: its package is not installed, or the environment names another.
        """
        names = {} if "OTEL_SERVICE_NAME" in os.environ else {"service.name": "rewardplane"}
        # The sampler is that of OTEL_TRACES_SAMPLER; its own default keeps to what the client says.
        self._provider = TracerProvider(resource=Resource.create(names), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter or otlp_exporter()))
        self._tracer = self._provider.get_tracer("rewardplane")

    def begin(self, traceparent: str) -> CallTrace | None:
        """The trace of a call that came now; None: it is not sampled."""
        context = _CONTEXT.extract({"traceparent": traceparent}) if traceparent else Context()
        span = self._tracer.start_span("rewardplane.score", context, SpanKind.SERVER)
        return CallTrace(self._tracer, span) if span.is_recording() else None

    def close(self) -> None:
        """Sends what is not sent yet; waits 5 s for it at most."""

        def send() -> None:
            self._provider.force_flush(FLUSH_MS)
            self._provider.shutdown()

        # A collector that is gone is tried again for longer than a stop may take.
        sending = threading.Thread(target=send, name="traces", daemon=True)
        sending.start()
        sending.join(FLUSH_MS / 1000)


@dataclass(slots=True)
class _Sent:
    """A shard on its way; times are `time.monotonic()` seconds."""

    shard: Shard
    started_s: float = 0.0
    ended_s: float = 0.0
    elapsed_us: int = 0
    items: int = 0


class CallTrace:
    """The spans of one call. What it is told costs some microseconds a shard, nothing an item."""

    def __init__(self, tracer: Any, span: Span) -> None:
        self._tracer = tracer
        self._span = span
        self._inside = set_span_in_context(span)
        self._began_s = self._closed_s = time.monotonic()
        self._wall_ns = time.time_ns() - time.monotonic_ns()
        self._sent: dict[int, _Sent] = {}
        self._inline: dict[str, float] = {}
        self._more = 0
        self._ended = self._answers_later = False
        own = span.get_span_context()
        self.trace_id = f"{own.trace_id:032x}"
        self.traceparent = f"00-{self.trace_id}-{own.span_id:016x}-{own.trace_flags:02x}"
        """The call's own span as those behind it name it."""

    def planned(self) -> None:
        """The request is read, admitted and bound to its rewards."""
        self._add("rewardplane.plan", self._began_s, time.monotonic(), {})

    def began_inline(self, reward: str) -> None:
        """Items of a reward are scored in the gateway itself from now on."""
        self._inline[reward] = time.monotonic()

    def ran_inline(self, reward: str) -> None:
        """They are scored."""
        if (began_s := self._inline.pop(reward, None)) is not None:
            told = {"rewardplane.reward": reward}
            self._add("rewardplane.inline", began_s, time.monotonic(), told)

    def submitted(self, shard: Shard) -> None:
        """A shard waits for a replica."""
        if len(self._sent) < MAX_SHARDS:
            self._sent[id(shard)] = _Sent(shard)
        else:
            self._more += 1

    def delivered(self, shard: Shard, part: Part, waited_us: int) -> None:
        """Outcomes of a shard came; they began to execute `waited_us` after it was submitted."""
        sent = self._sent.get(id(shard))
        if sent is None:
            if len(self._sent) >= MAX_SHARDS:
                return
            sent = self._sent[id(shard)] = _Sent(shard)  # a piece in which one was sent again
        sent.ended_s = time.monotonic()
        if not sent.started_s:
            sent.started_s = min(shard.submitted_s + waited_us / 1e6, sent.ended_s)
        elapsed_us, items = part.cost()
        sent.elapsed_us += elapsed_us
        sent.items += items

    def close(self, call: Call) -> None:
        """Every item has its outcome."""
        self._closed_s = time.monotonic()
        options = call.options
        told: dict[str, Any] = {
            "rewardplane.request_id": options.request_id,
            "rewardplane.rewards": [served.name for served in call.items],
            "rewardplane.groups": len(call.served),
            "rewardplane.items": call.n,
            "rewardplane.bytes": len(call.data),
        }
        if options.job:
            told["rewardplane.job"] = options.job
        reasons = call.reasons()
        told |= {f"rewardplane.errors.{reason.name}": n for reason, n in reasons.items()}
        self._span.set_attributes(told)
        if reasons:
            failed = f"{sum(reasons.values())} of {call.n} items have no reward"
            self._span.set_status(Status(StatusCode.ERROR, failed))
        for reward in list(self._inline):
            self.ran_inline(reward)
        for sent in self._sent.values():
            self._tell(sent)
        self._sent.clear()
        if self._more:
            self._span.set_attribute("rewardplane.shards_without_span", self._more)

    def answers_later(self) -> None:
        """The answer is made in turns that follow; `answered` tells its end."""
        self._answers_later = True

    def answered(self, fault: str = "") -> None:
        """The answer is made, or none because of `fault`."""
        self._answers_later = False
        self.end(fault)

    def end(self, fault: str = "") -> None:
        """The call has its answer, or none because of `fault`; nothing where that comes later."""
        if self._ended or self._answers_later:
            return
        self._ended = True
        now_s = time.monotonic()
        if fault:
            self._span.set_status(Status(StatusCode.ERROR, fault))
        else:
            self._add("rewardplane.render", self._closed_s, now_s, {})
        self._span.end(self._ns(now_s))

    def _tell(self, sent: _Sent) -> None:
        shard, served = sent.shard, sent.shard.served
        known: dict[str, Any] = {
            "rewardplane.reward": served.name,
            "rewardplane.version": served.version,
            "rewardplane.lane": served.lane,
            "rewardplane.items": shard.n,
            "rewardplane.bytes": shard.bytes,
            "rewardplane.replicas_lost": shard.losses,
        }
        ended_s = sent.ended_s or self._closed_s
        span = self._start("rewardplane.shard", shard.submitted_s, known)
        if sent.ended_s:
            ran: dict[str, Any] = {
                "rewardplane.items": sent.items,
                "rewardplane.execution_us": sent.elapsed_us,
            }
            if served.config.model is not None:
                ran["rewardplane.model"] = served.config.model.name
            name = "rewardplane.model" if served.lane == "model" else "rewardplane.worker"
            context = set_span_in_context(span)
            executed = self._start(name, sent.started_s, ran, context)
            executed.end(self._ns(sent.ended_s))
        else:
            span.set_status(Status(StatusCode.ERROR, "no outcome of it came"))
        span.end(self._ns(ended_s))

    def _add(self, name: str, began_s: float, ended_s: float, told: Mapping[str, Any]) -> None:
        self._start(name, began_s, told).end(self._ns(ended_s))

    def _start(
        self, name: str, began_s: float, told: Mapping[str, Any], context: Context | None = None
    ) -> Span:
        inside = self._inside if context is None else context
        began_ns = self._ns(began_s)
        span: Span = self._tracer.start_span(name, inside, attributes=told, start_time=began_ns)
        return span

    def _ns(self, monotonic_s: float) -> int:
        return int(monotonic_s * 1e9) + self._wall_ns


def otlp_exporter() -> SpanExporter:
    """What the environment asks for, by OpenTelemetry's own variables; by gRPC unless they say so.

    Raises:
        TracesUnavailable: its package is not installed, or there is none.
    """
    protocol = next(filter(None, map(os.environ.get, PROTOCOL_ENV)), GRPC)
    if protocol not in _EXPORTERS:
        raise TracesUnavailable(
            f"{PROTOCOL_ENV[1]} is {protocol!r}; want {' or '.join(_EXPORTERS)}"
        )
    try:
        module: Any = importlib.import_module(_EXPORTERS[protocol])
    except ImportError:
        package = f"opentelemetry-exporter-otlp-proto-{protocol.partition('/')[0]}"
        raise TracesUnavailable(
            f"traces by {protocol} need {package}: pip install 'rewardplane[traces]' has that for "
            f"{GRPC}"
        ) from None
    exporter: SpanExporter = module.OTLPSpanExporter()
    return exporter
