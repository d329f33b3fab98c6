"""Traces from a client through a service to a real OTLP receiver."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
from opentelemetry import trace
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from rewardplane.client.client import RewardClient
from rewardplane.client.sync_client import SyncRewardClient
from rewardplane.config.load import parse
from rewardplane.gateway import server
from rewardplane.gateway.breath import Steps
from rewardplane.gateway.call import Call
from rewardplane.gateway.render import rendering
from rewardplane.gateway.traces import MAX_SHARDS, Traces
from rewardplane.gateway.tracing import TracesUnavailable, environment, trace_id_of
from rewardplane.host.local import LocalService
from rewardplane.host.logs import JsonFormatter
from rewardplane.host.options import Options
from rewardplane.host.progress import Progress
from rewardplane.host.tracing import make_traces
from rewardplane.rewards.types import Example, Group, Response
from rewardplane.wire.errors import UnknownReward

from ..support.otlp_receiver import Receiver, attributes, receiving
from ..support.replicas import Replicas, answers
from ..support.rig import FOLDER, poison, request_of, rig

SAMPLED = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
NOT_SAMPLED = SAMPLED[:-1] + "0"
TRACE, PARENT = bytes.fromhex(SAMPLED[3:35]), bytes.fromhex(SAMPLED[36:52])
REWARDS = {
    "exact": {"kind": "exact"},
    "one": poison(),
    "two": poison(),
    "both": {"kind": "composite", "weights": {"one": 0.5, "two": 0.5}},
}


@contextmanager
def served(
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
    rewards: dict[str, Any] = REWARDS,
    **more: Any,
) -> Iterator[tuple[LocalService, str]]:
    """A service that sends its traces to the receiver; they are all there at its end."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{receiver.port}")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    service = LocalService(Options(port=0, metrics_port=0, traces=True, **more))
    service.start(parse({"rewards": rewards}, FOLDER), Progress())
    try:
        yield service, service.addresses()[0]
    finally:
        service.stop()


def group(*texts: str) -> Group:
    return Group(Example(references={"answer": "1"}), [Response(text) for text in texts])


def by_name(spans: list[Span]) -> dict[str, list[Span]]:
    return {name: [s for s in spans if s.name == name] for name in {s.name for s in spans}}


@dataclass(frozen=True)
class Traced:
    """A service, and the collector that has its traces."""

    receiver: Receiver
    address: str
    http_port: int


@pytest.fixture(scope="module")
def it() -> Iterator[Traced]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    with (
        pytest.MonkeyPatch.context() as monkeypatch,
        receiving() as receiver,
        served(receiver, monkeypatch, http_port=port) as (_, address),
    ):
        yield Traced(receiver, address, port)


@pytest.fixture(scope="module")
def program() -> InMemorySpanExporter:
    """What a trainer that traces has: a provider of its own. A process has one for good."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return exporter


def test_a_trace_goes_from_the_client_to_the_worker_and_back(
    it: Traced, program: InMemorySpanExporter
) -> None:
    program.clear()
    with (
        SyncRewardClient(it.address) as client,
        trace.get_tracer("trainer").start_as_current_span("step") as step,
    ):
        client.score("one", [group("1", "2", "raise it")], job="train", request_id="r1")
    ((score, *others),) = it.receiver.traces(1, **{"rewardplane.request_id": "r1"})
    spans = by_name([score, *others])
    assert set(spans) == {
        f"rewardplane.{n}" for n in ("score", "plan", "shard", "worker", "render")
    }
    sent = {span.name: span for span in program.get_finished_spans()}
    mine = sent["rewardplane.v1.RewardService/Score"]
    assert mine.parent is not None
    assert mine.parent.span_id == step.get_span_context().span_id
    assert score.parent_span_id == mine.context.span_id.to_bytes(8, "big")
    assert {s.trace_id for s in others} == {mine.context.trace_id.to_bytes(16, "big")}
    told = attributes(score)
    assert told["rewardplane.request_id"] == "r1"
    assert told["rewardplane.job"] == "train"
    assert told["rewardplane.rewards"] == ["one"]
    assert (told["rewardplane.items"], told["rewardplane.errors.RAISED"]) == (3, 1)
    assert score.status.code == Status.STATUS_CODE_ERROR
    (shard,), (worker,) = spans["rewardplane.shard"], spans["rewardplane.worker"]
    assert shard.parent_span_id == score.span_id
    assert worker.parent_span_id == shard.span_id
    assert attributes(worker)["rewardplane.items"] == attributes(shard)["rewardplane.items"] == 3
    for outer, inner in ((score, shard), (shard, worker)):
        assert outer.start_time_unix_nano <= inner.start_time_unix_nano
        assert inner.end_time_unix_nano <= outer.end_time_unix_nano
        assert inner.start_time_unix_nano <= inner.end_time_unix_nano
    assert it.receiver.resources[0]["service.name"] == "rewardplane"


def test_the_span_of_an_answer_lasts_until_it_is_made(
    it: Traced, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer that is made in several turns of the loop."""

    def slowly(call: Call) -> Steps[bytes]:
        for _ in range(10):
            time.sleep(0.01)
            yield
        return (yield from rendering(call))

    monkeypatch.setattr(server, "rendering", slowly)
    with SyncRewardClient(it.address) as client:
        client.score("exact", [group("1")], request_id="slow")
    ((score, *others),) = it.receiver.traces(1, **{"rewardplane.request_id": "slow"})
    (render,) = by_name(others)["rewardplane.render"]
    assert render.end_time_unix_nano - render.start_time_unix_nano >= 0.1 * 1e9
    assert score.end_time_unix_nano >= render.end_time_unix_nano


async def test_members_streams_and_inline_rewards_have_their_spans(
    it: Traced, program: InMemorySpanExporter
) -> None:
    async with RewardClient(it.address) as client:
        await client.score("both", [group("1", "2")], job="several")
        await client.score("exact", [group("1", "2")], job="several")
        async for _ in client.stream("one", [group("1")], job="several"):
            pass
    found = await asyncio.to_thread(it.receiver.traces, 3, **{"rewardplane.job": "several"})
    spans = by_name([span for one in found for span in one])
    assert len(spans["rewardplane.score"]) == 3
    rewards = [attributes(span)["rewardplane.reward"] for span in spans["rewardplane.shard"]]
    assert sorted(rewards) == ["one", "one", "two"]
    (inline,) = spans["rewardplane.inline"]
    assert attributes(inline)["rewardplane.reward"] == "exact"


async def test_a_request_by_http_goes_on_with_its_trace(it: Traced) -> None:
    body = {
        "example": {"references": {"answer": "1"}},
        "response": {"role": "model", "parts": [{"text": "1"}]},
    }
    url = f"http://127.0.0.1:{it.http_port}/rewards/exact"
    before = len(it.receiver.traces(0))
    async with aiohttp.ClientSession() as http:
        for parent in (NOT_SAMPLED, SAMPLED, "garbage"):
            async with http.post(url, json=body, headers={"traceparent": parent}) as answer:
                assert answer.status == 200, await answer.text()
    # The one that is sampled, and the one that names no trace: it begins one.
    found = await asyncio.to_thread(it.receiver.traces, before + 2)
    (known,) = [root for root, *_ in found if root.trace_id == TRACE]
    assert known.parent_span_id == PARENT
    assert len(found) == before + 2


def test_a_refused_call_is_a_span_with_its_reason(
    it: Traced, program: InMemorySpanExporter
) -> None:
    program.clear()
    before = len(it.receiver.traces(0))
    with SyncRewardClient(it.address) as client, pytest.raises(UnknownReward):
        client.score("nobody", [group("1")])
    score = it.receiver.traces(before + 1)[-1][0]
    assert score.status.message.startswith("UNKNOWN_REWARD: no reward is named")
    (mine,) = program.get_finished_spans()
    assert not mine.status.is_ok


async def test_a_call_that_is_given_up_before_it_begins_is_a_span_too() -> None:
    exporter = InMemorySpanExporter()
    async with rig({"exact": {"kind": "exact"}}) as made:
        traces = made.scorer.traces = Traces(exporter)
        data = request_of("exact", *(["1"] for _ in range(20_000))).SerializeToString()
        for turns in (1, 3):  # it is read, or planned
            task = asyncio.ensure_future(made.scorer.score(data, 60.0, ""))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
        traces.close()
    spans = exporter.get_finished_spans()
    assert [(s.name, s.status.description) for s in spans] == [
        ("rewardplane.score", "cancelled")
    ] * 2


async def test_shards_beyond_those_that_are_told_are_counted_once() -> None:
    exporter = InMemorySpanExporter()
    async with rig({"one": poison()}, connect=Replicas(answers).connect) as made:
        traces = made.scorer.traces = Traces(exporter)
        texts = [["1"] * 50 for _ in range(MAX_SHARDS + 30)]
        call = await made.scorer.score(request_of("one", *texts).SerializeToString(), 60.0, "")
        assert not call.reasons()
        traces.close()
    names = Counter(span.name for span in exporter.get_finished_spans())
    assert names["rewardplane.shard"] == names["rewardplane.worker"] == MAX_SHARDS
    (score,) = [s for s in exporter.get_finished_spans() if s.name == "rewardplane.score"]
    assert dict(score.attributes or {})["rewardplane.shards_without_span"] == 30


async def test_the_sampler_is_that_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.25")
    monkeypatch.setattr("rewardplane.client.tracing._API", "nobody.traces")
    with receiving() as receiver:
        with served(receiver, monkeypatch, {"exact": {"kind": "exact"}}) as (_, address):
            async with RewardClient(address) as client:
                calls = [client.score("exact", [group("1")]) for _ in range(400)]
                await asyncio.gather(*calls)
        found = len(by_name(receiver.spans)["rewardplane.score"])
    assert 50 < found < 160  # 100 of 400 in the mean, with a deviation of 9


def test_a_receiver_that_is_gone_fails_no_call(
    monkeypatch: pytest.MonkeyPatch, free_port: int
) -> None:
    nobody = Receiver()
    nobody.port = free_port
    monkeypatch.setattr("rewardplane.gateway.traces.FLUSH_MS", 200)
    with (
        served(nobody, monkeypatch, {"exact": {"kind": "exact"}}) as (_, address),
        SyncRewardClient(address) as client,
    ):
        assert client.rewards("exact", ["?"], ["1"], {"answer": ["1"]}) == [1.0]


async def test_log_lines_carry_the_trace_id(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "rewardplane")
    logging.getLogger("rewardplane").propagate = True
    async with rig({"one": poison()}) as it:
        await it.call(
            "Score",
            request_of("one", ["raise it"]),
            type(await it.answer(request_of("one", ["1"]))),
            timeout=30,
            metadata=(("traceparent", SAMPLED),),
        )
    (record,) = [r for r in caplog.records if "RAISED" in r.getMessage()]
    assert json.loads(JsonFormatter().format(record))["trace_id"] == SAMPLED[3:35]
    assert SAMPLED in record.getMessage()


@pytest.mark.parametrize(
    ("traceparent", "trace_id"),
    [
        (SAMPLED, SAMPLED[3:35]),
        ("", ""),
        ("x" * 55, ""),
        (SAMPLED[:40], ""),
        (SAMPLED + "-more", SAMPLED[3:35]),
    ],
)
def test_what_names_a_trace(traceparent: str, trace_id: str) -> None:
    assert trace_id_of(traceparent) == trace_id


def test_secrets_of_the_exporter_go_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "OTEL_EXPORTER_OTLP_HEADERS",
        "OTEL_EXPORTER_OTLP_CLIENT_KEY",
        "OTEL_SERVICE_NAME",
    ):
        monkeypatch.setenv(name, "x")
    found = environment()
    assert found["OTEL_SERVICE_NAME"] == "x"
    assert not [name for name in found if "HEADERS" in name or "KEY" in name]


@pytest.mark.parametrize(
    ("protocol", "want"),
    [("smoke", "want grpc or http/protobuf"), ("http/protobuf", "exporter-otlp-proto-http")],
)
def test_what_the_exporter_lacks_is_told_before_anything_starts(
    monkeypatch: pytest.MonkeyPatch, protocol: str, want: str
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(TracesUnavailable, match=want):
        make_traces()
