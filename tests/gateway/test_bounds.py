"""Bounds of the second reading: what one call may hold, cost, and have said in its answer."""

from __future__ import annotations

import asyncio
import math
import resource
import subprocess
import sys
import threading
import time

import grpc
import pytest
from rewardplane.config.load import ConfigError, parse
from rewardplane.config.settings import Limits
from rewardplane.gateway import validate
from rewardplane.gateway.call import Call, CallOptions
from rewardplane.gateway.metrics import Metrics
from rewardplane.gateway.plan import options_of
from rewardplane.gateway.render import MAX_TEXT_BYTES, render_call
from rewardplane.gateway.shard import Shard, shards_of
from rewardplane.replica.segment import FAILED, SCORED, Segment
from rewardplane.rewards.finite_json import finite_json
from rewardplane.rewards.references import reference, references
from rewardplane.rewards.registry import build
from rewardplane.rewards.run import Clip, run_item
from rewardplane.rewards.types import Example, InvalidReference, Reason, Response, ScoreError
from rewardplane.v1 import frame_pb2 as frames
from rewardplane.v1 import reward_service_pb2 as pb
from rewardplane.wire.frame import group_spans

from ..support.rig import FOLDER, begin, poison, request_of, rewards, rig
from .test_render import served
from .test_server import details

# ---- a large example is held once ---------------------------------------------------------------


def call_of(example_bytes: int, responses: int) -> tuple[Call, frames.RequestFrame]:
    group = pb.Group(responses=[pb.Response(text=str(i)) for i in range(responses)])
    group.example.references["big"] = "x" * example_bytes
    data = pb.ScoreRequest(groups=[group]).SerializeToString()
    call = Call(CallOptions("id", "id", 0.0, 1e9), [served("it")], [responses], data)
    call.spans = group_spans(data)
    return call, frames.RequestFrame.FromString(data)


def test_shards_share_one_example() -> None:
    call, frame = call_of(8 << 20, 6400)
    it = served("it")
    it.whole_group = False
    shards = list(shards_of(call, it, list(enumerate(frame.groups)), 0.001))
    assert len(shards) == 64
    texts: list[str] = []
    for shard in shards:
        pieces = shard.data()
        held = sum(len(piece) for piece in pieces if isinstance(piece, bytes))
        assert held < 16  # all else are views of the request
        (group,) = pb.ScoreRequest.FromString(b"".join(pieces)).groups
        assert len(group.example.references["big"]) == 8 << 20
        texts += [response.text for response in group.responses]
        assert shard.bytes >= 8 << 20  # what it costs to send is what is counted
    assert texts == [str(i) for i in range(6400)]


async def test_a_large_example_costs_memory_once() -> None:
    """8 MB with 20,000 responses: without the pool's segments, no multiple of the request."""
    peak = 0
    async with rig({"it": poison()}) as it:
        await it.score("it", ["1"])
        request = request_of("it", ["1"] * 12_000, references={"big": "x" * (8 << 20)})
        data = request.SerializeToString()
        done = threading.Event()
        before = rss()

        def watch() -> None:
            nonlocal peak
            while not done.wait(0.01):
                peak = max(peak, rss() - before)

        thread = threading.Thread(target=watch)
        thread.start()
        outcomes = await it.score("it", ["1"] * 12_000, references={"big": "x" * (8 << 20)})
        done.set()
        thread.join()
        assert rewards(outcomes) == [1.0] * 12_000
        # Client and server are one process here: the message, its copy on the wire, the frame.
        assert peak < 16 * len(data)


def rss() -> int:
    with open("/proc/self/statm") as file:  # noqa: PTH123 - in a loop
        return int(file.read().split()[1]) * resource.getpagesize()


# ---- what is said of golds ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "document", ["NaN", "[1, Infinity]", "-Infinity", "1e999", '{"a": -1e400}']
)
@pytest.mark.parametrize("kind", ["numeric", "math", "exact", "json_key"])
def test_what_is_no_json_number_is_no_gold(kind: str, document: str) -> None:
    params = {"key": "a"} if kind == "json_key" else {}
    example = Example(json_references={"answer": document})
    outcome = run_item(build(kind, params), (example, Response("1")), Clip())
    assert isinstance(outcome, ScoreError)
    assert outcome.reason is Reason.INVALID_REFERENCE


def test_nor_is_it_a_reference_that_is_asked_for() -> None:
    example = Example(json_references={"a": "NaN"})
    with pytest.raises(InvalidReference):
        reference(example, Response(), "a")
    # A data frame's missing value in a column that is only passed on.
    assert math.isnan(references(example, Response())["a"])
    assert finite_json('[1, 2.5, 1e300, "NaN"]') == [1, 2.5, 1e300, "NaN"]


def test_a_missing_reference_is_told_at_a_bounded_cost() -> None:
    def cost_s(count: int) -> float:
        example = Example(references={f"key {i}" * 3: "" for i in range(count)})
        begin_s = time.process_time()
        for _ in range(50):
            with pytest.raises(InvalidReference) as caught:
                reference(example, Response(references={"own": ""}), "answer")
        assert len(str(caught.value)) < 2000
        assert "own" in str(caught.value)
        return time.process_time() - begin_s

    cost_s(100)
    assert cost_s(100_000) < 20 * max(cost_s(1_000), 0.002)


# ---- answers ------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [FAILED, SCORED])
def test_an_answer_fits_what_clients_take(state: int) -> None:
    n = 16_000
    options = CallOptions("id", "id", 0.0, 1e9, explanations=True)
    call = Call(options, [served("it")], [n])
    call.states[:] = bytes([state]) * n
    words = "€" * 2_000
    extra = [Reason.RAISED.value, words] if state == FAILED else [words * 3, [], words]
    call.extras = {i: list(extra) for i in range(n)}
    answer = render_call(call)
    assert len(answer) < 64 << 20
    outcomes = pb.ScoreResponse.FromString(answer).groups[0].outcomes
    assert len(outcomes) == n
    told = {o.error.message if state == FAILED else o.score.explanation for o in outcomes}
    assert len(told) == 1
    assert len(told.pop()) >= 500
    call.extras = {0: list(extra)}
    assert MAX_TEXT_BYTES // 4 > 6_000


def test_what_was_read_of_the_extras_is_not_read_again() -> None:
    def seconds(items: int) -> float:
        segment = Segment.create(items, 0, b"")
        begin_s = time.process_time()
        for index in range(items):
            segment.append_words(index, "because " * 100, [], "", "")
            if index % 16 == 0:
                assert len(segment.extras()) == index + 1
        assert list(segment.extras()) == list(range(items))
        spent_s = time.process_time() - begin_s
        segment.close()
        return spent_s

    seconds(64)
    assert seconds(2048) < 24 * max(seconds(256), 0.02)


# ---- trials, metrics, logs, limits --------------------------------------------------------------


async def test_few_trials_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validate, "MAX_WAITING", 3)
    config = "kind: regex\npattern: a\nlane: pool\n"
    async with rig({"exact": {"kind": "exact"}}) as it:
        request = pb.ValidateRewardRequest(
            inline_config=config, response=pb.Response(text="a"), example=pb.Example()
        )
        calls = [
            it.call("ValidateReward", request, pb.ValidateRewardResponse, timeout=60)
            for _ in range(8)
        ]
        came = await asyncio.gather(*calls, return_exceptions=True)
        refused = [e for e in came if isinstance(e, grpc.aio.AioRpcError)]
        assert 1 <= len(refused) <= 5
        for error in refused:
            assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert "RetryInfo" in details(error)
        again = it.call("ValidateReward", request, pb.ValidateRewardResponse, timeout=60)
        assert (await again).outcome.WhichOneof("result") == "score"


def test_scrapes_do_not_race_with_the_loop() -> None:
    metrics = Metrics()
    over = threading.Event()
    failed: list[BaseException] = []

    def scrape() -> None:
        try:
            while not over.is_set():
                for _family in metrics.registry.collect():
                    pass
        except BaseException as error:  # noqa: BLE001 - told below
            failed.append(error)

    interval_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    thread = threading.Thread(target=scrape)
    thread.start()
    try:
        until_s = time.monotonic() + 1.5
        number = 0
        while time.monotonic() < until_s and not failed:
            number += 1
            metrics.call_ended(f"r{number % 500}", f"j{number}", "OK", float(2 ** (number % 40)))
            figures = metrics.figures(f"r{number % 500}")
            figures.items[f"REASON{number % 3000}"] += 1
            figures.execution.add(1 << (number % 60))
            figures.rewards[number % 4000] += 1
            metrics.batches[number % 5000] += 1
    finally:
        over.set()
        thread.join()
        sys.setswitchinterval(interval_s)
    assert not failed


def test_a_request_id_forges_no_log_line() -> None:
    request = frames.RequestFrame(request_id="a\n2026-01-01 CRITICAL all is lost\x1b[2J")
    options = options_of(request, 10.0, Limits(), "")
    assert options.label.isprintable()
    assert options.request_id == request.request_id
    assert options_of(frames.RequestFrame(request_id="prüfung-7"), 1.0, Limits(), "").label == (
        "prüfung-7"
    )


@pytest.mark.parametrize("value", [10**20, 2**24 + 1])
def test_memory_limits_are_those_that_a_process_can_have(value: int) -> None:
    with pytest.raises(ConfigError, match="memory_limit_mb"):
        parse({"rewards": {"it": poison(memory_limit_mb=value)}}, FOLDER)


OF_256 = """
import asyncio, resource
resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
from tests.support.rig import groups_of, poison, pool_of, rewards, run

async def main():
    async with pool_of(poison()) as pool:
        print(rewards(await run(pool, groups_of(["1", "2"]))))

asyncio.run(main())
"""


def test_few_descriptors_are_enough() -> None:
    root = str(FOLDER.parents[2])
    done = subprocess.run(
        [sys.executable, "-c", OF_256], cwd=root, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.strip() == "[1.0, 2.0]", done.stderr[-2000:]


# ---- the loop gives way -------------------------------------------------------------------------


async def test_shards_are_made_in_breaths() -> None:
    """Measured in CPU time of the thread: others on the machine do not count."""
    async with rig({"it": poison()}) as it:
        pool = it.rewards.find("it", "").pool
        taken: list[Shard] = []
        pool.submit = taken.append  # type: ignore[method-assign]
        data = request_of("it", *[["1"]] * 40_000).SerializeToString()
        call = begin(it.scorer, data)
        assert 0 < sum(shard.n for shard in taken) < 40_000
        breaths_s: list[float] = []
        while sum(shard.n for shard in taken) < 40_000:
            begin_s = time.thread_time()
            await asyncio.sleep(0)
            breaths_s.append(time.thread_time() - begin_s)
        assert sorted(breaths_s)[-2] < 0.025
        assert [shard.places[0][0] for shard in taken] == sorted(s.places[0][0] for s in taken)
        it.scorer.cancel(call)
        # Of a call that is given up no more are made.
        taken.clear()
        call = begin(it.scorer, data)
        it.scorer.cancel(call)
        made = len(taken)
        await asyncio.sleep(0.05)
        assert len(taken) == made
