"""Whole calls over gRPC: what is refused and how, what is answered and in which order."""

from __future__ import annotations

import asyncio
import json
import math
import random
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
import pytest_asyncio
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from rewardplane.gateway.doors.door import DoorKind
from rewardplane.gateway.server import SERVICE
from rewardplane.rewards.types import Reason, Score, ScoreError
from rewardplane.v1 import reward_service_pb2 as pb
from rewardplane.wire.errors import DOMAIN

from ..support.rig import Rig, flat, groups_of, poison, reasons, request_of, rewards, rig

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=list(DoorKind))
async def it(request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    served = {
        "exact": {"kind": "exact", "version": "7"},
        "exact_pool": {"kind": "exact", "lane": "pool"},
        "format": {"kind": "format", "lane": "pool"},
        "tags": {"kind": "tags", "tags": ["a", "b", "c"]},
        "poison": poison(timeout_s=2, memory_limit_mb=1024),
        "parts": poison("parts", components=["half", "double"], clip=[-1, 10]),
        "group": poison("group"),
        "whole": poison("whole"),
    }
    limits = {"max_request_items": 3000, "max_item_bytes": 2**20, "max_request_bytes": 2**22}
    async with rig(served, limits, door=request.param) as made:
        yield made


def details(error: grpc.RpcError) -> dict[str, Any]:
    """The details of a failed call by kind."""
    status = status_pb2.Status()
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            status.ParseFromString(value)
    found: dict[str, Any] = {}
    for detail in status.details:
        for kind in ("ErrorInfo", "BadRequest", "RetryInfo"):
            message = getattr(error_details_pb2, kind)()
            if detail.Unpack(message):
                found[kind] = message
    return found


async def refused(call: Any) -> tuple[grpc.StatusCode, str, dict[str, Any]]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    error = caught.value
    found = details(error)
    assert found["ErrorInfo"].domain == DOMAIN
    return error.code(), found["ErrorInfo"].reason, found


# ---- refused -----------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["Score", "ValidateReward", "ListRewards", "GetReward"])
async def test_malformed_protobuf_is_an_invalid_argument(it: Rig, method: str) -> None:
    code, reason, _ = await refused(it.call(method, b"\xff\xff\xff\xff", pb.ScoreResponse))
    assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")


async def test_malformed_protobuf_in_a_stream_is_an_invalid_argument(it: Rig) -> None:
    call = it.channel.unary_stream(f"/{SERVICE}/StreamScores")(b"\xff\xff\xff\xff")
    code, reason, _ = await refused(call.read())
    assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")


async def test_random_bytes_never_break_the_server(it: Rig) -> None:
    chance = random.Random(3)
    whole = request_of("exact", ["a", "b"], references={"answer": "a"}).SerializeToString()
    for _ in range(150):
        data = bytearray(whole)
        for _ in range(chance.randint(1, 6)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        try:
            answer = await it.answer(bytes(data[: chance.randint(0, len(data))]))
        except grpc.aio.AioRpcError as error:
            allowed = {"INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION"}
            assert error.code().name in allowed  # noqa: PT017 - either is right
        else:
            assert flat(answer)


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (pb.ScoreRequest(reward="exact"), "groups"),
        (pb.ScoreRequest(reward="exact", groups=[pb.Group()]), "groups[0].responses"),
        (pb.ScoreRequest(groups=groups_of(["a"])), "reward"),
        (request_of("exact", ["a"] * 3001), "groups"),
        (request_of("exact", ["a"], job="j" * 129), "job"),
        (request_of("exact", ["a"], request_id="j" * 129), "request_id"),
        (request_of("e" * 129, ["a"]), "reward"),
        (request_of("exact", ["a"], version="j" * 129), "version"),
        (request_of("exact", ["a", "b" * (2**20 + 1)]), "groups[0].responses[1]"),
    ],
)
async def test_a_fault_of_the_request_names_its_field(
    it: Rig, request_: pb.ScoreRequest, field: str
) -> None:
    code, reason, found = await refused(it.answer(request_))
    assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
    assert found["BadRequest"].field_violations[0].field == field


async def test_all_faults_are_told_at_once(it: Rig) -> None:
    groups = [*groups_of(["a"]), pb.Group(), *groups_of(["a", "b"])]
    groups[2].expected_size = 1
    _, _, found = await refused(it.answer(pb.ScoreRequest(reward="exact", groups=groups)))
    fields = [violation.field for violation in found["BadRequest"].field_violations]
    assert fields == ["groups[1].responses", "groups[2].expected_size"]


@pytest.mark.parametrize("seconds", [0, -1])
@pytest.mark.parametrize("option", ["item_timeout", "queue_timeout"])
async def test_time_outs_are_positive(it: Rig, option: str, seconds: int) -> None:
    request = request_of("exact", ["a"])
    getattr(request.options, option).FromSeconds(seconds)
    code, _, found = await refused(it.answer(request))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert found["BadRequest"].field_violations[0].field == f"options.{option}"


async def test_an_unknown_reward_names_the_nearest(it: Rig) -> None:
    code, reason, found = await refused(it.answer(request_of("exakt", ["a"])))
    assert (code, reason) == (grpc.StatusCode.NOT_FOUND, "UNKNOWN_REWARD")
    assert "exact" in found["ErrorInfo"].metadata["nearest"]


async def test_a_version_that_is_gone_is_said_to_be(it: Rig) -> None:
    request = request_of("exact", ["a"], version="6", references={"answer": "a"})
    code, reason, found = await refused(it.answer(request))
    assert (code, reason) == (grpc.StatusCode.FAILED_PRECONDITION, "VERSION_GONE")
    assert found["ErrorInfo"].metadata["served"] == "7"
    request.version = "7"
    answer = await it.answer(request)
    assert rewards(flat(answer)) == [1.0]
    assert answer.rewards[0].version == "7"


@pytest.mark.parametrize(
    ("sent", "expected", "ok"),
    [(1, 0, False), (1, 1, True), (2, 0, True), (2, 2, True), (2, 3, False), (1, 4, False)],
)
async def test_a_group_reward_wants_whole_groups(
    it: Rig, sent: int, expected: int, ok: bool
) -> None:
    request = request_of("whole", ["1"] * sent)
    request.groups[0].expected_size = expected
    if ok:
        assert rewards(flat(await it.answer(request))) == [float(sent)] * sent
    else:
        code, reason, found = await refused(it.answer(request))
        assert (code, reason) == (grpc.StatusCode.FAILED_PRECONDITION, "INCOMPLETE_GROUP")
        assert found["ErrorInfo"].metadata["size"] == str(sent)


async def test_an_oversize_message_is_refused_by_grpc_without_retry_info(it: Rig) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await it.answer(request_of("exact", *[["a" * 900_000]] * 6))
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "RetryInfo" not in details(caught.value)
    assert await it.score("exact", ["a"], references={"answer": "a"})


# ---- odd but right ------------------------------------------------------------------------------


@pytest.mark.parametrize("reward", ["exact", "exact_pool"])
async def test_odd_texts_are_texts(it: Rig, reward: str) -> None:
    odd = [
        "",
        "\0",
        "a\0b",
        "\u202eabc\u202c",
        "\ufeff",
        "😀" * 100,
        "\u0301",
        "\r\n",
        "x" * 70_000,
    ]
    for text in odd:
        if not text.strip():
            continue  # a blank gold is no gold
        outcomes = await it.score(reward, [text, text + "!"], references={"answer": text})
        assert rewards(outcomes) == [1.0, 0.0]
    outcomes = await it.score(reward, odd, references={"answer": "nothing of these"})
    assert rewards(outcomes) == [0.0] * len(odd)


@pytest.mark.parametrize("reward", ["exact", "exact_pool"])
async def test_bad_json_is_the_item_s_own_fault(it: Rig, reward: str) -> None:
    groups = [
        pb.Group(
            example=pb.Example(json_references={"answer": document}),
            responses=[pb.Response(text="5")],
        )
        for document in ("5", "{", '"5"', "[5]", "null", '{"a": 5}', "[" * 20_000)
    ]
    outcomes = flat(await it.answer(pb.ScoreRequest(reward=reward, groups=groups)))
    bad = "INVALID_REFERENCE"
    assert rewards(outcomes) == [1.0, bad, 1.0, bad, bad, bad, bad]


@pytest.mark.parametrize(
    ("reward", "reads_prompt"), [("exact", False), ("exact_pool", False), ("poison", True)]
)
async def test_a_function_call_without_json_is_an_invalid_input_to_who_reads_it(
    it: Rig, reward: str, reads_prompt: bool
) -> None:
    def turn(document: str) -> list[pb.Content]:
        call = pb.FunctionCall(name="f", args_json=document)
        return [pb.Content(role="model", parts=[pb.Part(function_call=call), pb.Part(text="1")])]

    example = pb.Example(references={"answer": "1"})
    responses = [
        pb.Response(text="1"),
        pb.Response(turns=turn("{")),
        pb.Response(turns=turn("[1]")),
        pb.Response(turns=turn('{"x": 1}')),
    ]
    good = pb.Group(example=example, responses=responses)
    example = pb.Example(references={"answer": "1"}, contents=turn("}"))
    bad = pb.Group(example=example, responses=responses)
    outcomes = flat(await it.answer(pb.ScoreRequest(reward=reward, groups=[good, bad, good])))
    expected = [1.0, "INVALID_INPUT", "INVALID_INPUT", 1.0]
    broken = ["INVALID_INPUT"] * 4 if reads_prompt else expected
    assert rewards(outcomes) == expected + broken + expected
    second = outcomes[1]
    assert isinstance(second, ScoreError)
    assert "turns[0].parts[0].function_call.args_json" in second.message


@pytest.mark.parametrize("reward", ["exact", "exact_pool"])
async def test_a_label_too_long_is_the_error_of_its_item(it: Rig, reward: str) -> None:
    responses = [pb.Response(text="1", id="r" * n) for n in (128, 129)]
    groups = [
        pb.Group(example=pb.Example(references={"answer": "1"}, id="e" * n), responses=responses)
        for n in (128, 129)
    ]
    outcomes = flat(await it.answer(pb.ScoreRequest(reward=reward, groups=groups)))
    assert rewards(outcomes) == [1.0, "INVALID_INPUT", "INVALID_INPUT", "INVALID_INPUT"]
    assert isinstance(outcomes[1], ScoreError)
    assert "id" in outcomes[1].message


@pytest.mark.parametrize(("reward", "left"), [("group", 1.0), ("whole", 2.0)])
async def test_a_group_call_without_what_cannot_be_read(it: Rig, reward: str, left: float) -> None:
    part = pb.Part(function_call=pb.FunctionCall(name="f", args_json="{"))
    broken = pb.Response(text="1", turns=[pb.Content(parts=[part])])
    responses = [pb.Response(text="1"), broken, pb.Response(text="1")]
    group = pb.Group(example=pb.Example(), responses=responses)
    outcomes = flat(await it.answer(pb.ScoreRequest(reward=reward, groups=[group])))
    assert rewards(outcomes) == [left, "INVALID_INPUT", left]


async def test_a_missing_reference_is_the_item_s_own_fault(it: Rig) -> None:
    outcomes = await it.score("exact", ["a"])
    assert rewards(outcomes) == ["INVALID_REFERENCE"]


# ---- mixed batches ------------------------------------------------------------------------------


async def test_groups_of_many_rewards_in_one_call(it: Rig) -> None:
    wanted = [
        ("", "1", {"": 1.0}),
        ("parts", "4", {"half": 2.0, "double": 8.0}),
        ("format", "<think>a</think><answer>b</answer>", None),
        ("tags", "<a>x</a><b>", None),
        ("parts", "6", {"half": 3.0, "double": 12.0}),
        ("exact_pool", "1", {"": 1.0}),
    ]
    groups: list[pb.Group] = []
    for reward, text, _ in wanted:
        (group,) = groups_of([text, text], answer="1")
        group.reward = reward
        groups.append(group)
    request = pb.ScoreRequest(reward="exact", groups=groups)
    request.options.include_components = True
    answer = await it.answer(request)
    assert [used.name for used in answer.rewards] == [
        "exact",
        "parts",
        "format",
        "tags",
        "exact_pool",
    ]
    assert [group.reward_index for group in answer.groups] == [0, 1, 2, 3, 1, 4]
    outcomes = flat(answer)
    assert all(isinstance(outcome, Score) for outcome in outcomes)
    assert [o.reward for o in outcomes[::2] if isinstance(o, Score)] == pytest.approx(
        [1.0, 4.0, 1.0, 0.5, 6.0, 1.0]
    )
    for outcome, (_, _, components) in zip(outcomes[::2], wanted, strict=True):
        assert isinstance(outcome, Score)
        if components is not None:
            assert outcome.components == {k: v for k, v in components.items() if k}
    assert isinstance(outcomes[4], Score)
    assert set(outcomes[4].components) == {"once", "in_order", "nothing_outside", "not_empty"}
    assert isinstance(outcomes[6], Score)
    assert outcomes[6].components["found"] == 0.5


async def test_components_are_sent_only_when_asked_for(it: Rig) -> None:
    answer = await it.answer(request_of("parts", ["4"]))
    assert not answer.rewards[0].component_names
    assert not answer.groups[0].outcomes[0].score.components


async def test_rewards_are_clipped(it: Rig) -> None:
    assert rewards(await it.score("parts", ["-5", "3", "50"])) == [-1.0, 3.0, 10.0]


async def test_times_and_names_are_told(it: Rig) -> None:
    request = request_of("poison", ["sleep 0.1", "sleep 0.1"], request_id="mine")
    answer = await it.answer(request)
    assert answer.request_id == "mine"
    assert 190_000 < answer.groups[0].execution_us < 2_000_000
    assert answer.rewards[0].digest
    other = await it.answer(request_of("poison", ["1"]))
    assert len(other.request_id) >= 16


# ---- time ---------------------------------------------------------------------------------------


async def test_an_item_time_out_may_be_shortened_but_not_lengthened(it: Rig) -> None:
    request = request_of("poison", ["sleep 60"])
    for seconds, least_s, most_s in ((0.5, 0.5, 1.8), (50, 2, 4)):
        request.options.item_timeout.FromMilliseconds(int(seconds * 1000))
        begin_s = time.monotonic()
        assert rewards(flat(await it.answer(request))) == ["TIMED_OUT"]
        assert least_s <= time.monotonic() - begin_s < most_s


async def test_an_answer_comes_before_the_deadline_with_what_is_done(it: Rig) -> None:
    texts = ["1"] * 50 + ["sleep 1.9"] + ["2"] * 949
    outcomes = await it.score("poison", texts[:500], texts[500:], deadline_s=1.5)
    assert reasons(outcomes) == {"SCORED": 999, "DEADLINE": 1}
    assert rewards(outcomes)[50] == "DEADLINE"


async def test_a_stream_tells_what_is_done_before_the_deadline(it: Rig) -> None:
    texts = ["1"] * 50 + ["sleep 1.9"] + ["2"] * 949
    told: dict[tuple[int, int], float | str] = {}
    times_s: list[float] = []
    begin_s = time.monotonic()
    async for message in it.stream(request_of("poison", texts[:500], texts[500:]), deadline_s=1.5):
        for tagged in message.outcomes:
            key = tagged.group_index, tagged.response_index
            assert key not in told
            is_score = tagged.outcome.WhichOneof("result") == "score"
            told[key] = (
                tagged.outcome.score.reward
                if is_score
                else Reason(tagged.outcome.error.reason).name
            )
            times_s.append(time.monotonic() - begin_s)
    assert len(told) == 1000
    assert told[0, 50] == "DEADLINE"
    assert sorted(times_s)[998] < 1.3


async def test_a_deadline_that_is_over_is_still_answered_or_ends(it: Rig) -> None:
    code = grpc.StatusCode.OK  # gRPC looks at its clock when it likes; mostly it is not this
    try:
        await it.answer(request_of("poison", ["1"]), deadline_s=0.0)
    except grpc.aio.AioRpcError as error:
        code = error.code()
    assert code in (grpc.StatusCode.OK, grpc.StatusCode.DEADLINE_EXCEEDED)
    await asyncio.sleep(0.05)
    assert it.admission.items == 0


async def test_a_cancelled_call_frees_its_places(it: Rig) -> None:
    calls = [it.answer(request_of("poison", ["sleep 1", "1"] * 20)) for _ in range(10)]
    for call in calls:
        await asyncio.sleep(0.01)
        call.cancel()
    for call in calls:
        with pytest.raises(asyncio.CancelledError):
            await call
    async with asyncio.timeout(2):
        while it.admission.items:
            await asyncio.sleep(0.01)
    assert it.admission.bytes == it.admission.calls == 0
    begin_s = time.monotonic()
    assert rewards(await it.score("poison", ["3"])) == [3.0]
    assert time.monotonic() - begin_s < 2


async def test_a_cancelled_stream_frees_its_places(it: Rig) -> None:
    call = it.stream(request_of("poison", ["1", "sleep 1.5", "1"]))
    message = await call.read()
    assert message.outcomes
    call.cancel()
    async with asyncio.timeout(2):
        while it.admission.items:
            await asyncio.sleep(0.01)


# ---- what is served -----------------------------------------------------------------------------


async def test_rewards_are_listed_and_described(it: Rig) -> None:
    listed = await it.call("ListRewards", pb.ListRewardsRequest(), pb.ListRewardsResponse)
    assert [info.name for info in listed.rewards] == sorted(it.config.rewards)
    by_name = {info.name: info for info in listed.rewards}
    assert by_name["exact"].lane == pb.LANE_INLINE
    assert by_name["exact"].deterministic
    assert list(by_name["exact"].reference_keys) == ["answer"]
    assert by_name["whole"].scope == pb.SCOPE_GROUP
    assert by_name["poison"].lane == pb.LANE_POOL
    assert by_name["poison"].limits.item_timeout.ToTimedelta().total_seconds() == 2
    assert list(by_name["parts"].component_names) == ["half", "double"]
    one = await it.call("GetReward", pb.GetRewardRequest(name="parts"), pb.GetRewardResponse)
    assert one.reward == by_name["parts"]
    code, reason, _ = await refused(
        it.call("GetReward", pb.GetRewardRequest(name="part"), pb.GetRewardResponse)
    )
    assert (code, reason) == (grpc.StatusCode.NOT_FOUND, "UNKNOWN_REWARD")


async def test_health_is_told_for_the_service_and_for_each_reward(it: Rig) -> None:
    stub = health_pb2_grpc.HealthStub(it.channel)
    for name in ("", SERVICE, "exact", "poison"):
        answer = await stub.Check(health_pb2.HealthCheckRequest(service=name))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Check(health_pb2.HealthCheckRequest(service="other"))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_reflection_names_the_service(it: Rig) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(it.channel)
    asked = reflection_pb2.ServerReflectionRequest(list_services="")
    async for answer in stub.ServerReflectionInfo(iter([asked])):
        names = {service.name for service in answer.list_services_response.service}
        assert names == {
            SERVICE,
            "grpc.health.v1.Health",
            "grpc.reflection.v1.ServerReflection",
            "grpc.reflection.v1alpha.ServerReflection",
        }


async def test_a_port_that_is_taken_is_an_error(it: Rig) -> None:
    async with rig({"exact": {"kind": "exact"}}, door=it.server.door.kind) as other:
        port = int(it.address.rpartition(":")[2])
        with pytest.raises(OSError, match="cannot listen"):
            await other.server.start("127.0.0.1", port)


@pytest.mark.parametrize("door", list(DoorKind))
async def test_a_server_that_stops_ends_what_it_took_and_takes_no_more(door: DoorKind) -> None:
    async with rig({"poison": poison()}, door=door) as made:
        await made.score("poison", ["1"])
        running = asyncio.ensure_future(made.score("poison", ["sleep 1", "2"]))
        await asyncio.sleep(0.2)
        stopping = asyncio.create_task(made.server.stop(5.0))
        await asyncio.sleep(0.1)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await made.score("poison", ["3"])
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert rewards(await running) == [1.0, 2.0]
        await stopping


async def test_our_own_faults_are_internal_errors(
    it: Rig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("made for this test")

    monkeypatch.setattr("rewardplane.gateway.scorer.plan", fail)
    code, reason, found = await refused(it.answer(request_of("exact", ["a"])))
    assert (code, reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
    assert "made for" not in json.dumps(dict(found["ErrorInfo"].metadata))
    code, reason, _ = await refused(it.stream(request_of("exact", ["a"])).read())
    assert (code, reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
    assert "made for this test" in caplog.text
    assert it.metrics.requests["", "", "INTERNAL"] == 2
    assert math.isfinite(it.admission.items)
