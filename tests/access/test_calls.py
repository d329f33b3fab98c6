"""What callers may, on both doors and on the HTTP port: real servers, real clients, real TLS."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import pytest
from cryptography import x509
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2
from rewardplane.access.gate import Gate
from rewardplane.client.client import RewardClient
from rewardplane.client.endpoint import Credentials
from rewardplane.config.load import parse
from rewardplane.gateway.doors.door import DoorKind, DoorUnavailable
from rewardplane.gateway.validate import Validator
from rewardplane.http.server import HttpFace
from rewardplane.rewards.types import Example, Group, Response, Score
from rewardplane.v1 import reward_service_pb2 as pb
from rewardplane.wire.errors import (
    CallError,
    InvalidRequest,
    Overloaded,
    PermissionDenied,
    Unauthenticated,
    UnknownReward,
)

from ..support.rig import FOLDER, Rig, poison, request_of
from .making import AUDIENCE, ISSUER, Authority, Signer, key_set, server_files
from .test_gate import changed, hashed, until, write

REWARDS = {"math": {"kind": "exact"}, "tone": {"kind": "exact"}, "slow": poison("one")}
TOKENS = "".join(f"{hashed(c)} team-{c}\n" for c in "abc")
CALLERS = {
    "tokens_file": "tokens",
    "callers": {
        "team-a": {"rewards": ["math", "slow"]},
        "team-b": {"inline_configs": True},
    },
}
DOORS = pytest.mark.parametrize("door", [DoorKind.NATIVE, DoorKind.GRPC])


@asynccontextmanager
async def guarded(
    folder: Path,
    access: dict[str, Any],
    door: DoorKind = DoorKind.NATIVE,
    tokens: str = TOKENS,
) -> AsyncIterator[Rig]:
    """The service behind an access file."""
    gate = Gate(write(folder, access, tokens))
    http = {
        "reward": "math",
        "openrlhf": {"reward": "tone"},
        "remote_rm": {"reward": "math"},
    }
    async with Rig(parse({"rewards": REWARDS, "http": http}, FOLDER), None, door, gate) as it:
        yield it


def client(it: Rig, token: str = "", **more: Any) -> RewardClient:
    """A client with a token, in the clear."""
    return RewardClient(it.address, credentials=Credentials(token, **{"tls": False, **more}))


def groups(n: int = 1) -> list[Group]:
    return [Group(Example(references={"answer": "4"}), [Response("4")] * n)]


async def refused(kind: type[CallError], call: Any, why: str = "") -> CallError:
    with pytest.raises(kind) as error:
        await call
    assert type(error.value) is kind
    assert error.value.metadata.get("why", "") == why
    return error.value


@DOORS
async def test_each_method_asks_who_calls(tmp_path: Path, door: DoorKind) -> None:
    async with guarded(tmp_path, CALLERS, door) as it:
        async with client(it, "a") as a, client(it, "b") as b:
            (scores,) = await a.score("math", groups())
            assert scores == [Score(1.0)]
            assert [s.outcome async for s in a.stream("math", groups())] == [Score(1.0)]
            assert [info.name for info in await a.list_rewards()] == ["math", "slow"]
            assert (await a.get_reward("math")).name == "math"
            assert len(await b.list_rewards()) == 3
            for call in (
                a.score("tone", groups()),
                anext(a.stream("tone", groups())),
                a.get_reward("tone"),
                a.validate(Example(), Response("x"), reward="tone"),
            ):
                await refused(PermissionDenied, call, "REWARD")
            # Whether there is such a reward is not told to those who may not name it.
            hidden = await refused(PermissionDenied, a.score("nowhere", groups()), "REWARD")
            assert "did you mean" not in hidden.message
            await refused(UnknownReward, b.score("nowhere", groups()))
            # A group may name a reward of its own.
            request = request_of("math", ["4"])
            request.groups[0].reward = "tone"
            with pytest.raises(grpc.RpcError) as told:
                await it.call(
                    "Score", request, pb.ScoreResponse, metadata=[("authorization", "Bearer a")]
                )
            assert told.value.code() is grpc.StatusCode.PERMISSION_DENIED
            inline = {"inline_config": "kind: exact"}
            example = Example(references={"answer": "x"})
            tried = await b.validate(example, Response("x"), **inline)
            assert tried.outcome.reward == 1.0
            await refused(
                PermissionDenied, a.validate(example, Response("x"), **inline), "INLINE_CONFIG"
            )
        for token, kind, why in (
            ("", Unauthenticated, "NO_CREDENTIALS"),
            ("x", Unauthenticated, "UNKNOWN_TOKEN"),
            ("c", PermissionDenied, "UNKNOWN_CALLER"),
        ):
            async with client(it, token) as stranger:
                for call in (
                    stranger.score("math", groups()),
                    anext(stranger.stream("math", groups())),
                    stranger.list_rewards(),
                    stranger.get_reward("math"),
                    stranger.validate(Example(), Response("x"), reward="math"),
                ):
                    await refused(kind, call, why)
        health = it.channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        assert (await health(health_pb2.HealthCheckRequest())).status == 1  # open to all
        counted = it.metrics.refusals
        assert counted["REWARD", "team-a"] == 6
        assert counted["NO_CREDENTIALS", ""] == counted["UNKNOWN_TOKEN", ""] == 5


@DOORS
@pytest.mark.parametrize("name", ["authorization", "x-forwarded-client-cert"])
async def test_two_proofs_of_who_calls_are_none(tmp_path: Path, door: DoorKind, name: str) -> None:
    """A proxy may have checked one of them, and the service would take the other."""
    async with guarded(tmp_path, {**CALLERS, "behind_envoy": True}, door) as it:
        one = (name, "Bearer a" if name == "authorization" else "URI=team-a")
        request = request_of("math", ["4"], references={"answer": "4"})
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await it.call("Score", request, pb.ScoreResponse, timeout=20, metadata=(one, one))
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
        assert f"more than one {name}" in (caught.value.details() or "")


@DOORS
async def test_the_status_of_a_refusal(tmp_path: Path, door: DoorKind) -> None:
    async with guarded(tmp_path, CALLERS, door) as it:
        with pytest.raises(grpc.RpcError) as told:
            await it.answer(request_of("math", ["4"]))
    assert told.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert "does not prove who calls" in (told.value.details() or "")
    (data,) = [v for k, v in told.value.trailing_metadata() or () if k.endswith("details-bin")]
    info = error_details_pb2.ErrorInfo()
    assert status_pb2.Status.FromString(data).details[0].Unpack(info)
    assert (info.reason, info.metadata["why"]) == ("UNAUTHENTICATED", "NO_CREDENTIALS")


async def test_signed_tokens_on_the_wire(tmp_path: Path) -> None:
    signer, other = Signer("one", "ES256"), Signer("two", "ES256")
    (tmp_path / "keys.json").write_text(key_set(signer))
    access = {"jwt": [{"issuer": ISSUER, "audience": AUDIENCE, "keys": "keys.json"}]}
    async with guarded(tmp_path, access) as it:
        gate = it.gate
        assert gate is not None
        token = signer.token()
        async with client(it, token) as good, client(it, signer.token(aud="x")) as wrong:
            assert await good.score("math", groups())
            await refused(Unauthenticated, wrong.score("math", groups()), "WRONG_AUDIENCE")
            (tmp_path / "keys.json").write_text(key_set(other))
            await changed(gate)
            await refused(Unauthenticated, good.score("math", groups()), "UNKNOWN_KEY")


# ---- quotas ------------------------------------------------------------------------------------


def quota(**of: Any) -> dict[str, Any]:
    return {**CALLERS, "callers": {"team-a": {"quota": of}, "team-b": {}}}


async def once(it: Rig, token: str, request: pb.ScoreRequest) -> Any:
    metadata = [("authorization", f"Bearer {token}")]
    return await it.call("Score", request, pb.ScoreResponse, metadata=metadata, timeout=60)


def retry_s(error: grpc.RpcError) -> float:
    """The delay that a refusal asks for; it must be one for a quota."""
    call: Any = error
    assert call.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    (data,) = [v for k, v in call.trailing_metadata() if k.endswith("details-bin")]
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    for detail in status_pb2.Status.FromString(data).details:
        _ = detail.Unpack(info) or detail.Unpack(retry)
    assert info.reason == "QUOTA_EXCEEDED"
    return retry.retry_delay.ToNanoseconds() / 1e9


@DOORS
async def test_items_in_flight(tmp_path: Path, door: DoorKind) -> None:
    async with guarded(tmp_path, quota(in_flight_items=4), door) as it:
        gate = it.gate
        assert gate is not None
        held = asyncio.ensure_future(once(it, "a", request_of("slow", ["pause 0.5"] * 3)))
        await until(lambda: gate.in_flight_items().get("team-a") == 3)
        with pytest.raises(grpc.RpcError) as told:
            await once(it, "a", request_of("math", ["1", "2"]))
        assert retry_s(told.value) > 0
        assert len((await once(it, "a", request_of("math", ["1"]))).groups) == 1
        assert len((await once(it, "b", request_of("math", ["1"] * 100))).groups) == 1
        await held
        assert gate.in_flight_items() == {"team-a": 0, "team-b": 0}
        assert it.admission.items == 0
        # What never fits is no matter of waiting.
        async with client(it, "a") as a:
            await refused(InvalidRequest, a.score("math", groups(5)))
        assert it.metrics.refusals["in_flight_items", "team-a"] == 1


async def test_places_are_given_back_by_a_caller_who_leaves(tmp_path: Path) -> None:
    async with guarded(tmp_path, quota(in_flight_items=4)) as it:
        gate = it.gate
        assert gate is not None
        held = asyncio.ensure_future(once(it, "a", request_of("slow", ["pause 60"] * 3)))
        await until(lambda: gate.in_flight_items().get("team-a") == 3)
        held.cancel()
        await until(lambda: gate.in_flight_items()["team-a"] == 0)


@DOORS
async def test_items_a_second(tmp_path: Path, door: DoorKind) -> None:
    async with guarded(tmp_path, quota(items_per_s=50), door) as it:
        # A batch is let in whole, and owed: 300 items at 50 a second, of which one second is free.
        await once(it, "a", request_of("math", ["4"] * 300))
        with pytest.raises(grpc.RpcError) as told:
            await once(it, "a", request_of("math", ["4"]))
        assert 0.0 < retry_s(told.value) <= 5.0
        await once(it, "b", request_of("math", ["4"] * 200))
        # A client waits as long as it is told, and is then let in.
        async with client(it, "a") as a:
            assert await a.score("math", groups(), timeout_s=30)
            await a.score("math", groups(2000), timeout_s=30)
            with pytest.raises(Overloaded):
                await a.score("math", groups(), timeout_s=1)


async def test_judge_tokens(tmp_path: Path) -> None:
    async with guarded(tmp_path, quota(judge_tokens_per_minute=6000)) as it:
        figures = it.metrics.figures("math")
        await once(it, "a", request_of("math", ["4"] * 10))
        figures.counted["judge_prompt_tokens"] = 9000.0
        figures.counted["judge_completion_tokens"] = 1000.0
        assert figures.judge_tokens_per_item == 1000.0
        await once(it, "a", request_of("math", ["4"] * 10))
        with pytest.raises(grpc.RpcError) as told:
            await once(it, "a", request_of("math", ["4"]))
        assert retry_s(told.value) > 20
        assert it.metrics.refusals["judge_tokens_per_minute", "team-a"] == 1
        await once(it, "b", request_of("math", ["4"] * 10))


async def test_an_inline_composite_is_made_of_what_the_caller_may_name(tmp_path: Path) -> None:
    access = {**CALLERS, "callers": {"team-a": {"inline_configs": True, "rewards": ["math"]}}}
    example = Example(references={"answer": "x"})
    async with guarded(tmp_path, access) as it, client(it, "a") as a:
        inline = {"inline_config": "{kind: composite, formula: 2 * math}"}
        tried = await a.validate(example, Response("x"), **inline)
        assert tried.outcome.reward == 2.0
        # One that it may not name is not there, as is one that nobody serves.
        for name in ("tone", "nowhere"):
            inline = {"inline_config": f"{{kind: composite, formula: {name}}}"}
            error = await refused(InvalidRequest, a.validate(example, Response("x"), **inline))
            assert f"no reward is named {name!r}" in error.message


async def test_a_job_has_a_quota_within_its_callers(tmp_path: Path) -> None:
    access = {**CALLERS, "callers": {"team-a": {"job_quota": {"in_flight_items": 2}}}}
    async with guarded(tmp_path, access) as it:
        held = asyncio.ensure_future(
            once(it, "a", request_of("slow", ["pause 0.5"] * 2, job="one"))
        )
        await until(lambda: it.admission.items == 2)
        with pytest.raises(grpc.RpcError) as told:
            await once(it, "a", request_of("math", ["1"], job="one"))
        assert "job 'one' of caller 'team-a'" in (told.value.details() or "")
        await once(it, "a", request_of("math", ["1"], job="two"))
        await held
        await once(it, "a", request_of("math", ["1", "1"], job="one"))


async def test_a_quota_changes_while_it_is_in_use(tmp_path: Path) -> None:
    async with guarded(tmp_path, quota(items_per_s=50)) as it:
        gate = it.gate
        assert gate is not None
        await once(it, "a", request_of("math", ["4"] * 2000))
        with pytest.raises(grpc.RpcError):
            await once(it, "a", request_of("math", ["4"]))
        write(tmp_path, quota(), TOKENS)
        await changed(gate)
        await once(it, "a", request_of("math", ["4"]))


# ---- TLS ---------------------------------------------------------------------------------------

MUTUAL = {"tls": {"folder": "tls", "client_certificates": "required"}}


def secure(it: Rig, authority: Authority, pair: tuple[bytes, bytes] | None = None) -> RewardClient:
    chain, key = pair or (None, None)
    how = Credentials("", True, authority.pem, key, chain)
    return RewardClient(f"localhost:{it.address.rpartition(':')[2]}", credentials=how)


async def test_mutual_tls(tmp_path: Path) -> None:
    authority, stranger = Authority(), Authority("stranger")
    server_files(tmp_path / "tls", authority)
    access = {**MUTUAL, "callers": {"spiffe://c/team-a": {"rewards": ["math"]}}}
    uri = x509.UniformResourceIdentifier("spiffe://c/team-a")
    async with guarded(tmp_path, access, DoorKind.GRPC) as it:
        async with secure(it, authority, authority.issue("a", uri)) as a:
            assert await a.score("math", groups())
            await refused(PermissionDenied, a.score("tone", groups()), "REWARD")
            assert [s.outcome async for s in a.stream("math", groups())] == [Score(1.0)]
        async with secure(it, authority, authority.issue("b")) as b:
            await refused(PermissionDenied, b.score("math", groups()), "UNKNOWN_CALLER")
        for one in (
            secure(it, authority, stranger.issue("a", uri)),  # a certificate of others
            secure(it, authority),  # none
            secure(it, stranger, authority.issue("a", uri)),  # the client does not know the service
            client(it),  # in the clear
        ):
            async with one:
                with pytest.raises(CallError):
                    await one.score("math", groups(), timeout_s=1.5)


async def test_certificates_are_renewed_without_a_restart(tmp_path: Path) -> None:
    first, second = Authority("first"), Authority("second")
    server_files(tmp_path / "tls", first)
    async with guarded(tmp_path, MUTUAL, DoorKind.GRPC) as it:
        gate = it.gate
        assert gate is not None
        async with secure(it, first, first.issue("a")) as a:
            assert await a.score("math", groups())
        # The key of one and the certificate of another: the old go on, and it is said.
        before = (tmp_path / "tls" / "tls.key").read_bytes()
        (tmp_path / "tls" / "tls.key").write_bytes(second.issue("x")[1])
        await changed(gate)
        assert "not that of the certificate" in gate.fault
        async with secure(it, first, first.issue("a")) as a:
            assert await a.score("math", groups())
        (tmp_path / "tls" / "tls.key").write_bytes(before)
        server_files(tmp_path / "tls", second)
        await changed(gate)
        assert not gate.fault
        async with secure(it, second, second.issue("a")) as a:
            assert await a.score("math", groups())
        for gone in (secure(it, first, first.issue("a")), secure(it, second, first.issue("a"))):
            async with gone:
                with pytest.raises(CallError):
                    await gone.score("math", groups(), timeout_s=1.5)


async def test_the_native_door_refuses_tls(tmp_path: Path) -> None:
    server_files(tmp_path / "tls", Authority())
    with pytest.raises(DoorUnavailable, match="--door grpc"):
        async with guarded(tmp_path, MUTUAL, DoorKind.NATIVE):
            pass


# ---- HTTP --------------------------------------------------------------------------------------


@asynccontextmanager
async def facing(it: Rig) -> AsyncIterator[int]:
    """The HTTP port of a service."""
    validator = Validator(it.scorer, it.metrics, it.config.limits)
    face = HttpFace(it.scorer, validator, it.rewards, it.metrics, it.config.limits, it.gate)
    try:
        yield await face.start("127.0.0.1", 0)
    finally:
        await face.stop(1.0)


CLOUD_RUN = {
    "prompt": "2 + 2?",
    "response": {"role": "model", "parts": [{"text": "4"}]},
    "references": {"answer": "4"},
}
BODIES = {
    "/": CLOUD_RUN,
    "/rewards/tone": CLOUD_RUN,
    "/get_reward": {"query": ["q4"], "prompts": ["q"], "labels": ["4"]},
    "/remote_rm": {"prompt": "q", "response": "4", "label": "4"},
    "/v1/fine_tuning/alpha/graders/run": {},
    "/v1/fine_tuning/alpha/graders/validate": {},
    "/v1beta1/projects/p/locations/l/tuningJobs:validateReinforcementTuningReward": {},
}


async def test_each_http_route_asks_who_calls(tmp_path: Path) -> None:
    async with (
        guarded(tmp_path, CALLERS) as it,
        facing(it) as port,
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http,
    ):

        async def post(path: str, token: str) -> tuple[int, Any, str | None]:
            headers = {"authorization": f"Bearer {token}"} if token else {}
            async with http.post(path, json=BODIES[path], headers=headers) as answer:
                told = await answer.json(content_type=None)
                return answer.status, told, answer.headers.get("www-authenticate")

        for path in BODIES:
            status, told, challenge = await post(path, "")
            assert (status, challenge) == (401, "Bearer"), path
            assert told["error"]["reason"] == "UNAUTHENTICATED"
            assert (await post(path, "x"))[0] == 401
            assert (await post(path, "c"))[0] == 403
        may = {path: (await post(path, "a"))[0] != 403 for path in BODIES}
        assert [path for path, might in may.items() if might] == ["/", "/remote_rm"]
        assert (await post("/remote_rm", "a"))[:2] == (200, 1.0)
        assert all([(await post(path, "b"))[0] != 403 for path in BODIES])
        async with http.get("/healthz") as answer:
            assert answer.status == 200  # open to all


async def test_a_quota_holds_by_http_too(tmp_path: Path) -> None:
    async with (
        guarded(tmp_path, quota(items_per_s=1)) as it,
        facing(it) as port,
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http,
    ):
        headers = {"authorization": "Bearer a"}
        seen = []
        for _ in range(4):
            async with http.post("/remote_rm", json=BODIES["/remote_rm"], headers=headers) as told:
                seen.append(told.status)
                if told.status == 429:
                    assert int(told.headers["retry-after"]) >= 1
                    assert (await told.json())["error"]["reason"] == "QUOTA_EXCEEDED"
        assert seen[0] == 200
        assert seen[-1] == 429


async def test_http_over_mutual_tls_and_its_renewal(tmp_path: Path) -> None:
    first, second = Authority("first"), Authority("second")
    server_files(tmp_path / "tls", first)
    access = {**MUTUAL, "callers": {"team-a": {}}}
    async with guarded(tmp_path, access, DoorKind.GRPC) as it, facing(it) as port:
        gate = it.gate
        assert gate is not None

        async def status(trusts: Authority, pair: tuple[bytes, bytes] | None) -> int:
            context = ssl.create_default_context(cadata=trusts.pem.decode())
            if pair is not None:
                (tmp_path / "own.crt").write_bytes(pair[0])
                (tmp_path / "own.key").write_bytes(pair[1])
                context.load_cert_chain(tmp_path / "own.crt", tmp_path / "own.key")
            try:
                async with (
                    aiohttp.ClientSession() as http,
                    http.post(
                        f"https://localhost:{port}/remote_rm",
                        json=BODIES["/remote_rm"],
                        ssl=context,
                    ) as answer,
                ):
                    return answer.status
            except (aiohttp.ClientError, OSError):
                return 0

        assert await status(first, first.issue("team-a")) == 200
        assert await status(first, first.issue("team-b")) == 403
        assert await status(first, None) == 0
        assert await status(first, second.issue("team-a")) == 0
        assert await status(second, first.issue("team-a")) == 0
        server_files(tmp_path / "tls", second)
        await changed(gate)
        assert await status(second, second.issue("team-a")) == 200
        assert await status(first, first.issue("team-a")) == 0
        assert await status(second, first.issue("team-a")) == 0
        async with aiohttp.ClientSession() as http:
            with pytest.raises(aiohttp.ClientError):
                await http.post(f"http://localhost:{port}/remote_rm", json={})


# ---- beside each other -------------------------------------------------------------------------


async def test_a_caller_over_its_quota_does_not_slow_another(tmp_path: Path) -> None:
    """The flood takes nothing of the service but its refusals: shares of one and the same run."""
    async with guarded(tmp_path, quota(items_per_s=1)) as it:
        loop = asyncio.get_running_loop()
        request = request_of("math", ["4"] * 16)

        async def timed(calls: int) -> list[float]:
            taken: list[float] = []
            for _ in range(calls):
                begin_s = loop.time()
                await once(it, "b", request)
                taken.append(loop.time() - begin_s)
            return sorted(taken)

        await timed(20)
        alone = await timed(100)
        stop = False
        refusals = 0

        async def flood() -> None:
            nonlocal refusals
            while not stop:
                try:
                    await once(it, "a", request)
                except grpc.RpcError as error:
                    refusals += retry_s(error) > 0
                await asyncio.sleep(0.005)

        floods = [asyncio.ensure_future(flood()) for _ in range(4)]
        beside = await timed(100)
        stop = True
        await asyncio.gather(*floods)
        assert refusals >= 50
        # Not the service alone: client and flood share this process and its CPU.
        assert beside[50] < 10 * max(0.002, alone[50])
        assert it.metrics.requests["math", "", "OK"] >= 220
