"""Whole calls of the client against a real server: order, chunks, retries, deadlines, cancels."""

from __future__ import annotations

import asyncio
import logging
import random
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from rewardplane.client import retry_policy as retry
from rewardplane.client.chunks import (
    FIRST_CHUNK_ITEMS,
    MAX_CHUNK_BYTES,
    MAX_CHUNK_ITEMS,
    chunks,
)
from rewardplane.client.client import RewardClient
from rewardplane.client.endpoint import Credentials
from rewardplane.client.results import RewardUsed
from rewardplane.client.session import CHUNKS_AT_ONCE
from rewardplane.client.sync_client import SyncRewardClient
from rewardplane.rewards.types import Example, Group, Reason, Response, Score, ScoreError
from rewardplane.v1 import reward_service_pb2 as pb
from rewardplane.v1.reward_service_pb2_grpc import (
    RewardServiceServicer,
    add_RewardServiceServicer_to_server,
)
from rewardplane.wire.errors import (
    CallError,
    DeadlineExceeded,
    InlineCode,
    Internal,
    InvalidRequest,
    NotReady,
    Overloaded,
    PermissionDenied,
    Unauthenticated,
    UnknownReward,
    VersionGone,
)
from rewardplane.wire.messages import surrogates_replaced

from ..support.fake_server import FakeService, Fault, aborts, fails, hangs, serving


@pytest.fixture
def service() -> FakeService:
    return FakeService()


@pytest.fixture
async def client(service: FakeService) -> AsyncIterator[RewardClient]:
    async with serving(service) as target, RewardClient(target) as client:
        yield client


@pytest.fixture
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "FIRST_PAUSE_S", 0.001)


def numbered(sizes: list[int], filler: int = 0) -> list[Group]:
    """Groups whose responses are numbered through, each of so many bytes more."""
    texts = (f"{i} {'x' * filler}" for i in range(sum(sizes)))
    return [
        Group(Example(id=str(g)), [Response(next(texts)) for _ in range(size)])
        for g, size in enumerate(sizes)
    ]


def rewards(scores: list[list[Score | ScoreError]]) -> list[float]:
    return [o.reward for group in scores for o in group if isinstance(o, Score)]


async def until(condition: Callable[[], bool], timeout_s: float = 5) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.005)


# ---- answers -------------------------------------------------------------------------------------


async def test_outcomes_come_in_the_order_sent(service: FakeService, client: RewardClient) -> None:
    sizes = [1, 4, 2, 16]
    scores = await client.score("math", numbered(sizes))
    assert [len(group) for group in scores] == sizes
    assert rewards(list(scores)) == list(range(23))
    assert len(service.calls) == 1


async def test_the_answer_tells_the_rewards_used_and_the_times(client: RewardClient) -> None:
    groups = numbered([1, 1, 1])
    groups[1].reward = "math2"
    scores = await client.score("math", groups, request_id="mine")
    one, two = (
        RewardUsed("math", "v1", "digest of math"),
        RewardUsed("math2", "v2", "digest of math2"),
    )
    assert scores.used == [one, two, one]
    assert scores.rewards == (one, two)
    assert (scores.queue_us, scores.execution_us) == ([5] * 3, [7] * 3)
    assert scores.request_id == "mine"
    assert scores[1:] == [scores[1], scores[2]]


async def test_errors_are_outcomes(client: RewardClient) -> None:
    responses = [Response(reason.name) for reason in Reason]
    (outcomes,) = await client.score("math", [Group(Example(), responses)])
    assert outcomes == [ScoreError(reason, f"as told: {reason.name}") for reason in Reason]


async def test_nothing_more_is_returned_than_was_asked_for(client: RewardClient) -> None:
    response = Response("5", token_count=9)
    ((bare,),) = await client.score("math", [Group(Example(), [response])])
    assert bare == Score(5.0)
    ((full,),) = await client.score(
        "math",
        [Group(Example(), [response])],
        include_components=True,
        include_explanations=True,
        include_step_rewards=True,
    )
    assert full == Score(5.0, {"length": 1.0, "tokens": 9.0}, "saw '5'")


async def test_everything_asked_for_is_sent(service: FakeService, client: RewardClient) -> None:
    await client.score(
        "math",
        numbered([1]),
        version="v1",
        job="run",
        step=7,
        timeout_s=50,
        item_timeout_s=1.5,
        queue_timeout_s=0.25,
        request_id="r",
    )
    call = service.calls[0]
    assert (call.reward, call.version, call.job, call.step) == ("math", "v1", "run", 7)
    assert call.request_id == "r"
    assert call.options.item_timeout.ToMilliseconds() == 1500
    assert call.options.queue_timeout.ToMilliseconds() == 250
    assert 49 < service.remaining_s[0] <= 50.5


async def test_a_call_gets_a_name_for_the_logs(service: FakeService, client: RewardClient) -> None:
    scores = await client.score("math", numbered([1]))
    assert len(scores.request_id) == 16
    assert service.calls[0].request_id == scores.request_id
    assert service.calls[0].HasField("options") is False
    # gRPC rounds what it sends up, from 100 s on to whole seconds.
    assert 299 < service.remaining_s[0] <= 301


async def test_lone_surrogates_reach_the_server_as_replacement_characters(
    service: FakeService, client: RewardClient
) -> None:
    before = surrogates_replaced()
    group = Group(Example(references={"gold": "4\ud800"}), [Response("4\udfff \x00 \u202e")])
    ((outcome,),) = await client.score("math\ud801", [group])
    assert outcome == Score(4.0)
    assert surrogates_replaced() - before == 3
    sent = service.calls[0]
    assert sent.reward == "math\ufffd"
    assert sent.groups[0].responses[0].text == "4\ufffd \x00 \u202e"
    assert sent.groups[0].example.references["gold"] == "4\ufffd"


async def test_an_empty_batch_is_refused_before_it_is_sent(
    service: FakeService, client: RewardClient
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await client.score("math", [])
    assert caught.value.violations == (("groups", "is empty"),)
    assert not service.calls


async def test_an_answer_of_the_wrong_length_is_a_fault_of_the_service() -> None:
    class Forgetful(FakeService):
        async def Score(self, request: pb.ScoreRequest, context: object) -> pb.ScoreResponse:  # noqa: N802 - the protocol's name
            answer = await super().Score(request, context)  # type: ignore[arg-type]
            del answer.groups[-1].outcomes[-1]
            return answer

    async with serving(Forgetful()) as target, RewardClient(target) as client:
        with pytest.raises(Internal, match="1 outcomes for 2 responses"):
            await client.score("math", numbered([2]))


async def test_rewards_are_listed_described_and_tried(client: RewardClient) -> None:
    infos = await client.list_rewards()
    assert [info.name for info in infos] == ["math", "math2"]
    info = await client.get_reward("math2")
    assert info == infos[1]
    assert (info.version, info.lane, info.scope, info.item_timeout_s) == (
        "v2",
        "pool",
        "group",
        2.5,
    )
    assert (info.component_names, info.max_request_items) == (("length", "tokens"), 100)
    with pytest.raises(UnknownReward):
        await client.get_reward("maht")
    tried = await client.validate(Example(), Response("3"), reward="math")
    assert tried.outcome == Score(3.0, {"length": 1.0, "tokens": 0.0}, "saw '3'")
    assert (tried.used.name, tried.messages, tried.queue_us) == ("math", (), 5)
    tried = await client.validate(Example(), Response("RAISED"), inline_config="kind: exact")
    assert isinstance(tried.outcome, ScoreError)
    assert tried.messages == ("kind: exact",)


# ---- chunks --------------------------------------------------------------------------------------


def test_chunks_hold_whole_groups_below_the_limit_in_order() -> None:
    groups = numbered([3] * 40, filler=200_000)
    parts = list(chunks(groups))
    assert len(parts) > 2
    seen: list[pb.Group] = []
    for part in parts:
        assert part.first == len(seen)
        request = part.request(b"")
        assert len(request) < MAX_CHUNK_BYTES
        seen += pb.ScoreRequest.FromString(request).groups
    assert [group.example.id for group in seen] == [str(g) for g in range(40)]
    assert [len(group.responses) for group in seen] == [3] * 40
    # Full ones: the next group would not have fitted.
    assert all(len(p.request(b"")) + 700_000 > MAX_CHUNK_BYTES for p in parts[:-1])


def test_a_group_above_the_limit_goes_alone() -> None:
    groups = numbered([1]) + numbered([16], filler=MAX_CHUNK_BYTES // 8) + numbered([1])
    assert [len(part.groups) for part in chunks(groups)] == [1, 1, 1]


def test_chunks_grow_to_a_bounded_number_of_items() -> None:
    parts = list(chunks(numbered([1024] * 60)))
    sizes = [sum(group.size for group in part.groups) for part in parts]
    assert sizes[:5] == [FIRST_CHUNK_ITEMS << n for n in range(5)]
    assert sum(sizes) == 60 * 1024
    assert max(sizes) == MAX_CHUNK_ITEMS


def test_the_first_chunk_is_with_the_service_before_the_next_is_written() -> None:
    came = threading.Event()

    class Service(RewardServiceServicer):
        def Score(  # noqa: N802 - the protocol's name
            self, request: pb.ScoreRequest, context: grpc.ServicerContext
        ) -> pb.ScoreResponse:
            came.set()
            reply = pb.ScoreResponse(rewards=[pb.RewardUsed(name="math")])
            for group in request.groups:
                outcomes = reply.groups.add().outcomes
                for _ in group.responses:
                    outcomes.add().score.reward = 0.5
            return reply

    class Slow(list[Group]):
        def __iter__(self) -> Iterator[Group]:
            for number, group in enumerate(super().__iter__()):
                if number == 2:  # the first is complete with the second one, which does not fit
                    assert came.wait(10), "the first chunk was not sent"
                yield group

    # In threads of its own: it works while the client's event loop is held up.
    server = grpc.server(ThreadPoolExecutor(2))
    add_RewardServiceServicer_to_server(Service(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with SyncRewardClient(f"127.0.0.1:{port}") as client:
            scores = client.score("math", Slow(numbered([FIRST_CHUNK_ITEMS] * 4)))
    finally:
        server.stop(None)
    assert rewards(list(scores)) == [0.5] * (4 * FIRST_CHUNK_ITEMS)


async def test_a_large_call_goes_in_chunks_some_at_once() -> None:
    service = FakeService(delay_s=0.1)
    sizes = [2] * 60
    async with serving(service) as target, RewardClient(target) as client:
        scores = await client.score("math", numbered(sizes, filler=1_000_000))
    assert rewards(list(scores)) == list(range(120))
    assert len(service.calls) == 15
    assert 2 <= service.most_in_flight <= CHUNKS_AT_ONCE
    assert len({call.request_id for call in service.calls}) == 1


async def test_the_refusal_of_a_chunk_names_the_group_of_the_call(no_pause: None) -> None:
    async def refuse(request: pb.ScoreRequest, context: grpc.aio.ServicerContext) -> None:
        for index, group in enumerate(request.groups):
            if group.example.id == "19":
                violations = [(f"groups[{index}].example", "is bad")]
                error = InvalidRequest(f"groups[{index}].example is bad", {}, violations)
                await fails(error)(request, context)

    service = FakeService([refuse] * 20)
    async with serving(service) as target, RewardClient(target) as client:
        with pytest.raises(InvalidRequest, match=r"groups\[19\]\.example is bad") as caught:
            await client.score("math", numbered([1] * 24, filler=2_000_000))
    assert caught.value.violations == (("groups[19].example", "is bad"),)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (fails(Internal("a bug")), Reason.UNAVAILABLE),
        (fails(DeadlineExceeded("late")), Reason.DEADLINE),
    ],
)
async def test_a_lost_chunk_costs_its_own_items_only(fault: Fault, reason: Reason) -> None:
    service = FakeService([None, fault])
    async with serving(service) as target, RewardClient(target) as client:
        scores = await client.score("math", numbered([1] * 24, filler=2_000_000))
    lost = [g for g, (outcome,) in enumerate(scores) if isinstance(outcome, ScoreError)]
    assert lost
    assert {scores[g][0].reason for g in lost} == {reason}  # type: ignore[union-attr]
    assert [g for g, used in enumerate(scores.used) if used is None] == lost
    assert rewards(list(scores)) == [g for g in range(24) if g not in lost]
    assert len(scores.rewards) == 1


async def test_a_call_whose_chunks_are_all_lost_raises() -> None:
    service = FakeService([fails(Internal("a bug"))] * 10)
    async with serving(service) as target, RewardClient(target) as client:
        with pytest.raises(Internal, match="a bug"):
            await client.score("math", numbered([1] * 24, filler=2_000_000))


async def test_a_refused_chunk_ends_the_others() -> None:
    service = FakeService([hangs, hangs, fails(UnknownReward("no"))] + [hangs] * 20)
    async with serving(service) as target, RewardClient(target) as client:
        with pytest.raises(UnknownReward):
            await client.score("math", numbered([1] * 24, filler=2_000_000))
        await until(lambda: service.in_flight == 0)


# ---- retries -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [fails(NotReady("draining")), aborts(grpc.StatusCode.UNAVAILABLE, "proxy")],
    ids=["ours", "foreign"],
)
async def test_unavailable_is_tried_again(fault: Fault, no_pause: None) -> None:
    service = FakeService([fault] * 5)
    async with serving(service) as target, RewardClient(target) as client:
        assert rewards(list(await client.score("math", numbered([3])))) == [0, 1, 2]
    assert len(service.calls) == 6
    assert len({call.request_id for call in service.calls}) == 1


async def test_overload_is_tried_again_after_the_time_it_asks_for() -> None:
    service = FakeService([fails(Overloaded("no room", {}, 0.3))] * 2)
    async with serving(service) as target, RewardClient(target) as client:
        start_s = time.monotonic()
        await client.score("math", numbered([1]))
        elapsed_s = time.monotonic() - start_s
    assert len(service.calls) == 3
    assert 0.6 <= elapsed_s < 2


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (
            aborts(grpc.StatusCode.RESOURCE_EXHAUSTED, "Received message larger than max"),
            InvalidRequest,
        ),
        (fails(InvalidRequest("bad")), InvalidRequest),
        (fails(UnknownReward("no")), UnknownReward),
        (fails(VersionGone("gone")), VersionGone),
        (fails(InlineCode("code")), InlineCode),
        (fails(Internal("bug")), Internal),
        (aborts(grpc.StatusCode.UNAUTHENTICATED, "who"), Unauthenticated),
        (fails(Unauthenticated("who")), Unauthenticated),
        (fails(PermissionDenied("you may not")), PermissionDenied),
        (aborts(grpc.StatusCode.ABORTED, "what"), Internal),
    ],
)
async def test_what_will_not_change_is_not_tried_again(fault: Fault, kind: type[CallError]) -> None:
    service = FakeService([fault])
    async with serving(service) as target, RewardClient(target) as client:
        with pytest.raises(kind):
            await client.score("math", numbered([1]))
    assert len(service.calls) == 1


async def test_an_oversize_message_is_refused_once_and_called_too_large() -> None:
    service = FakeService()
    options = [("grpc.max_receive_message_length", 100_000)]
    async with serving(service, options=options) as target, RewardClient(target) as client:
        start_s = time.monotonic()
        with pytest.raises(InvalidRequest, match="too large"):
            await client.score("math", numbered([1], filler=200_000), timeout_s=60)
        assert time.monotonic() - start_s < 10
        # The connection lives on.
        await client.score("math", numbered([1]))


async def test_retries_end_with_the_deadline(no_pause: None) -> None:
    service = FakeService([fails(NotReady("draining"))] * 10_000)
    async with serving(service) as target, RewardClient(target) as client:
        start_s = time.monotonic()
        with pytest.raises(NotReady, match="draining") as caught:
            await client.score("math", numbered([1]), timeout_s=1.5)
        assert 0.5 < time.monotonic() - start_s < 4
    assert "tries" in caught.value.__notes__[0]
    # Each try is told what is left.
    assert service.remaining_s[0] > 0.9
    assert service.remaining_s[-1] < 0.7


async def test_a_deadline_after_failed_tries_names_their_cause(no_pause: None) -> None:
    service = FakeService([fails(NotReady("draining"))] * 2 + [hangs])
    async with serving(service) as target, RewardClient(target) as client:
        with pytest.raises(DeadlineExceeded) as caught:
            await client.score("math", numbered([1]), timeout_s=0.5)
    assert "no answer within" in str(caught.value)
    assert "the service has the call and did not answer in time" in str(caught.value)
    assert "the last failure in 3 tries: draining" in str(caught.value)


async def test_a_time_out_without_a_service_says_that_the_connection_is_refused(
    free_port: int,
) -> None:
    async with RewardClient(f"127.0.0.1:{free_port}") as client:
        for call in (
            client.score("math", numbered([1]), timeout_s=0.6),
            client.score_one("math", Example(), Response("1"), timeout_s=0.6),
            client.get_reward("math", timeout_s=0.6),
            anext(client.stream("math", numbered([1]), timeout_s=0.6)),
        ):
            with pytest.raises((NotReady, DeadlineExceeded), match=r"[Cc]onnection refused"):
                await call


async def test_a_time_out_that_meets_nobody_says_how_the_connection_stands() -> None:
    # A port that takes connections and never speaks.
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        async with RewardClient(f"127.0.0.1:{port}") as client:
            with pytest.raises(DeadlineExceeded) as caught:
                await client.score("math", numbered([1]), timeout_s=0.5)
    assert f"no connection to 127.0.0.1:{port} (" in str(caught.value)


async def test_an_item_whose_part_of_a_call_timed_out_carries_the_cause(no_pause: None) -> None:
    async def refuse_the_second(request: pb.ScoreRequest, context: Any) -> None:
        if request.groups[0].example.id != "0":
            await fails(NotReady("draining for good"))(request, context)

    service = FakeService([refuse_the_second] * 10_000)
    async with serving(service) as target, RewardClient(target) as client:
        scores = await client.score("math", numbered([1] * 8, filler=2_000_000), timeout_s=3)
    messages = {o.message for (o,) in scores if isinstance(o, ScoreError)}
    assert messages
    assert all("draining for good" in message for message in messages)


async def test_an_overload_longer_than_the_deadline_fails_at_once() -> None:
    service = FakeService([fails(Overloaded("no room", {}, 60))])
    async with serving(service) as target, RewardClient(target) as client:
        start_s = time.monotonic()
        with pytest.raises(Overloaded) as caught:
            await client.score("math", numbered([1]), timeout_s=30)
        assert time.monotonic() - start_s < 10
    assert caught.value.retry_after_s == 60


async def test_a_service_that_comes_up_late_is_waited_for(
    free_port: int, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "_WARN_EVERY_S", 0)
    async with RewardClient(f"127.0.0.1:{free_port}") as client:
        with caplog.at_level(logging.WARNING, "rewardplane"):
            call = asyncio.create_task(client.score("math", numbered([2])))
            await asyncio.sleep(1.5)
            assert not call.done()
            async with serving(FakeService(), port=free_port), asyncio.timeout(10):
                assert rewards(list(await call)) == [0, 1]
    assert "try 4 failed" in caplog.text


async def test_with_several_targets_one_that_is_down_costs_a_retry(
    free_port: int, no_pause: None
) -> None:
    one, two = FakeService(), FakeService()
    async with serving(one) as first, serving(two) as second:
        target = f"{first},127.0.0.1:{free_port}, dns:///{second}"
        async with RewardClient(target) as client:
            calls = [client.score("math", numbered([1])) for _ in range(30)]
            assert all(rewards(list(s)) == [0] for s in await asyncio.gather(*calls))
    assert one.calls
    assert two.calls
    assert len(one.calls) + len(two.calls) == 30


def test_pauses_grow_with_full_jitter_and_leave_time_for_a_last_try(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(random, "uniform", lambda low, high: high)
    error = NotReady("")
    grown = [retry.pause(tries, error, 1000) for tries in range(1, 9)]
    assert grown == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
    assert retry.pause(5000, error, 1000) == 5.0
    assert retry.pause(8, error, 1.0) == 0.5
    assert retry.pause(2, Overloaded("", {}, 3.0), 1000) == 3.2
    monkeypatch.setattr(random, "uniform", lambda low, high: low)
    assert retry.pause(8, error, 1000) == 0.0
    assert retry.pause(8, Overloaded("", {}, 3.0), 1000) == 3.0


# ---- time and cancellation -----------------------------------------------------------------------


async def test_the_deadline_ends_a_call_that_hangs(
    client: RewardClient, service: FakeService
) -> None:
    service.script = [hangs]
    start_s = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        await client.score("math", numbered([1]), timeout_s=0.4)
    assert 0.3 < time.monotonic() - start_s < 5
    assert service.remaining_s[0] <= 0.41
    await until(lambda: service.in_flight == 0)


async def test_cancelling_a_call_tells_the_server(
    client: RewardClient, service: FakeService
) -> None:
    service.script = [hangs]
    call = asyncio.create_task(client.score("math", numbered([1])))
    await until(lambda: service.in_flight == 1)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await until(lambda: service.cancelled == 1)


async def test_cancelling_a_call_in_chunks_tells_the_server_of_each(
    client: RewardClient, service: FakeService
) -> None:
    service.script = [hangs] * 8
    call = asyncio.create_task(client.score("math", numbered([1] * 12, filler=2_000_000)))
    await until(lambda: service.in_flight >= 3)
    n = service.in_flight
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await until(lambda: service.cancelled >= n)
    assert service.in_flight == 0


async def test_closing_the_client_ends_what_is_in_flight(service: FakeService) -> None:
    service.script = [hangs, hangs]
    async with serving(service) as target:
        client = RewardClient(target)
        whole = asyncio.create_task(client.score("math", numbered([1])))
        single = asyncio.create_task(client.score_one("math", Example(), Response("1")))
        await until(lambda: service.in_flight == 2)
        await client.close()
        with pytest.raises(NotReady, match="closed"):
            await single
        with pytest.raises(RuntimeError, match="closed"):
            await whole
        # And it may be used again.
        assert rewards(list(await client.score("math", numbered([1])))) == [0]
        await client.close()


async def test_many_calls_at_once_on_one_channel(
    client: RewardClient, service: FakeService
) -> None:
    calls = [client.score("math", [Group(Example(), [Response(str(i))])]) for i in range(2_000)]
    answers = await asyncio.gather(*calls)
    assert [rewards(list(scores)) for scores in answers] == [[i] for i in range(2_000)]
    assert len(service.calls) == 2_000


# ---- endpoints -----------------------------------------------------------------------------------


async def test_the_target_may_stand_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(FakeService()) as target:
        monkeypatch.setenv("REWARDPLANE_TARGET", target)
        async with RewardClient() as client:
            assert target in repr(client)
            await client.score("math", numbered([1]))


async def test_a_token_goes_with_every_call_and_into_no_repr(service: FakeService) -> None:
    how = Credentials("s3cret", tls=False)
    async with serving(service) as target, RewardClient(target, credentials=how) as client:
        await client.score("math", numbered([1]))
        await client.score_one("math", Example(), Response("1"))
        assert [m["authorization"] for m in service.metadata] == ["Bearer s3cret"] * 2
        assert "s3cret" not in repr(client) + repr(how)


async def test_channels_are_connections_of_their_own() -> None:
    peers: set[str] = set()

    async def note(request: object, context: grpc.aio.ServicerContext) -> None:
        peers.add(context.peer())

    service = FakeService([note] * 12)
    async with serving(service) as target, RewardClient(target, channels=3) as client:
        for _ in range(12):
            await client.score("math", numbered([1]))
    assert len(peers) == 3


async def test_options_of_the_user_go_before_ours(service: FakeService) -> None:
    options = [("grpc.max_send_message_length", 1000)]
    async with serving(service) as target, RewardClient(target, options=options) as client:
        with pytest.raises(InvalidRequest, match="too large"):
            await client.score("math", numbered([1], filler=2000))
    assert not service.calls
