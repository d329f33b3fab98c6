"""A real gRPC server on a port of its own that speaks the real protocol and does as it is told.

A response's reward is the number in its text, 0 where there is none; a text that names a reason of
`ScoreError` gets that error.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc.aio
from rewardplane.rewards.types import Outcome, Reason, Response, Score, ScoreError
from rewardplane.v1 import reward_service_pb2 as pb
from rewardplane.v1 import reward_service_pb2_grpc as pb_grpc
from rewardplane.wire.errors import CallError, UnknownReward
from rewardplane.wire.messages import clean, response_from
from rewardplane.wire.status import encode

NUMBER = re.compile(r"-?\d+(\.\d+)?")
COMPONENTS = ("length", "tokens")

Fault = Callable[[Any, grpc.aio.ServicerContext], Awaitable[None]]


def fails(error: CallError) -> Fault:
    """The call ends with this error."""

    async def fault(request: Any, context: grpc.aio.ServicerContext) -> None:
        code, message, trailers = encode(error)
        await context.abort(code, message, trailing_metadata=trailers)

    return fault


def aborts(code: grpc.StatusCode, message: str = "") -> Fault:
    """The call ends with a status that has no details."""

    async def fault(request: Any, context: grpc.aio.ServicerContext) -> None:
        await context.abort(code, message)

    return fault


async def hangs(request: Any, context: grpc.aio.ServicerContext) -> None:
    """The call ends only when its client cancels it or its deadline passes."""
    await asyncio.Event().wait()


def render(outcome: Outcome, into: pb.Outcome, options: pb.ScoreOptions) -> None:
    if isinstance(outcome, ScoreError):
        into.error.reason = outcome.reason.value
        into.error.message = clean(outcome.message)
        into.error.retryable = outcome.retryable
        return
    into.score.reward = outcome.reward
    if options.include_components:
        into.score.components.extend(outcome.components[name] for name in COMPONENTS)
    if options.include_explanations:
        into.score.explanation = clean(outcome.explanation)
    if options.include_step_rewards:
        into.score.step_rewards.extend(outcome.step_rewards)


def judge(response: Response) -> Outcome:
    text = response.text
    if text in Reason.__members__:
        return ScoreError(Reason[text], f"as told: {text}")
    number = NUMBER.search(text)
    return Score(
        float(number[0]) if number else 0.0,
        {"length": float(len(text)), "tokens": float(response.token_count or 0)},
        f"saw {text[:20]!r}",
        [float(len(turn.text)) for turn in response.turns],
    )


class FakeService(pb_grpc.RewardServiceServicer):
    """Answers `Score` and `StreamScores`; each call takes the next of `script`, if any."""

    def __init__(self, script: Sequence[Fault | None] = (), delay_s: float = 0.0) -> None:
        self.script = list(script)
        self.delay_s = delay_s
        self.calls: list[pb.ScoreRequest] = []
        self.metadata: list[dict[str, str | bytes]] = []
        self.remaining_s: list[float] = []
        self.in_flight = self.most_in_flight = 0
        self.cancelled = 0
        self.shard = 3
        self.break_stream_after: list[int] = []
        self.rewards = {"math": "v1", "math2": "v2"}

    @property
    def items(self) -> int:
        return sum(len(group.responses) for call in self.calls for group in call.groups)

    async def Score(  # noqa: N802 - the protocol's name
        self, request: pb.ScoreRequest, context: grpc.aio.ServicerContext
    ) -> pb.ScoreResponse:
        await self._enter(request, request, context)
        answer = pb.ScoreResponse(request_id=request.request_id)
        places: dict[str, int] = {}
        for group in request.groups:
            name = group.reward or request.reward
            if name not in places:
                places[name] = len(places)
                answer.rewards.append(self._used(name, request.options))
            outcomes = answer.groups.add(reward_index=places[name], queue_us=5, execution_us=7)
            for response in group.responses:
                render(judge(response_from(response)), outcomes.outcomes.add(), request.options)
        return answer

    async def StreamScores(  # noqa: N802 - the protocol's name
        self, request: pb.StreamScoresRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[pb.StreamScoresResponse]:
        inner = request.request
        await self._enter(inner, inner, context)
        items = [
            (g, r, response)
            for g, group in enumerate(inner.groups)
            for r, response in enumerate(group.responses)
        ][::-1]
        limit = self.break_stream_after.pop(0) if self.break_stream_after else len(items)
        for start in range(0, min(limit, len(items)), self.shard):
            message = pb.StreamScoresResponse(
                reward=self._used(inner.reward, inner.options), request_id=inner.request_id
            )
            for g, r, response in items[start : min(start + self.shard, limit)]:
                tagged = message.outcomes.add(group_index=g, response_index=r)
                render(judge(response_from(response)), tagged.outcome, inner.options)
            yield message
        if limit < len(items):
            await context.abort(grpc.StatusCode.UNAVAILABLE, "as told: broke off")

    async def ValidateReward(  # noqa: N802 - the protocol's name
        self, request: pb.ValidateRewardRequest, context: grpc.aio.ServicerContext
    ) -> pb.ValidateRewardResponse:
        options = pb.ScoreOptions(
            include_components=True, include_explanations=True, include_step_rewards=True
        )
        answer = pb.ValidateRewardResponse(
            reward=self._used(request.reward or "inline", options),
            messages=[request.inline_config] if request.inline_config else [],
            queue_us=5,
            execution_us=7,
        )
        render(judge(response_from(request.response)), answer.outcome, options)
        return answer

    async def ListRewards(  # noqa: N802 - the protocol's name
        self, request: pb.ListRewardsRequest, context: grpc.aio.ServicerContext
    ) -> pb.ListRewardsResponse:
        return pb.ListRewardsResponse(rewards=[self._info(name) for name in self.rewards])

    async def GetReward(  # noqa: N802 - the protocol's name
        self, request: pb.GetRewardRequest, context: grpc.aio.ServicerContext
    ) -> pb.GetRewardResponse:
        if request.name not in self.rewards:
            await fails(UnknownReward(f"there is no reward {request.name!r}"))(request, context)
        return pb.GetRewardResponse(reward=self._info(request.name))

    async def _enter(
        self, request: Any, score: pb.ScoreRequest, context: grpc.aio.ServicerContext
    ) -> None:
        self.calls.append(score)
        self.metadata.append(dict(context.invocation_metadata() or ()))
        remaining_s = context.time_remaining()
        self.remaining_s.append(float("inf") if remaining_s is None else remaining_s)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            fault = self.script.pop(0) if self.script else None
            if fault is not None:
                await fault(request, context)
            if self.delay_s:
                await asyncio.sleep(self.delay_s)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.in_flight -= 1

    def _used(self, name: str, options: pb.ScoreOptions) -> pb.RewardUsed:
        return pb.RewardUsed(
            name=name,
            version=self.rewards.get(name, ""),
            digest=f"digest of {name}",
            component_names=COMPONENTS if options.include_components else (),
        )

    def _info(self, name: str) -> pb.RewardInfo:
        info = pb.RewardInfo(
            name=name,
            version=self.rewards[name],
            digest=f"digest of {name}",
            kind="fake",
            lane=pb.LANE_POOL,
            scope=pb.SCOPE_GROUP,
            deterministic=True,
            component_names=COMPONENTS,
            reference_keys=["answer"],
        )
        info.limits.item_timeout.FromMilliseconds(2500)
        info.limits.max_request_items = 100
        return info


@asynccontextmanager
async def serving(
    service: FakeService, *, port: int = 0, options: Sequence[tuple[str, int]] = ()
) -> AsyncIterator[str]:
    """Serves until the block ends; gives the target."""
    server = grpc.aio.server(
        options=[
            *options,
            ("grpc.max_receive_message_length", 64 * 2**20),
            ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
            ("grpc.server.max_pending_requests", 100_000),
            ("grpc.server.max_pending_requests_hard_limit", 200_000),
        ]
    )
    pb_grpc.add_RewardServiceServicer_to_server(service, server)
    bound = server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    try:
        yield f"127.0.0.1:{bound}"
    finally:
        await server.stop(0)


async def _main(delay_s: float) -> None:
    async with serving(FakeService(delay_s=delay_s)) as target:
        print(target, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_main(float(sys.argv[1]) if len(sys.argv) > 1 else 0.0))
