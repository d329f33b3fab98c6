"""The client of a reward service, for asyncio.

Rewards of rows, or an exception::

    client = RewardClient("localhost:50051")
    rewards = await client.rewards("math", prompts, completions, {"answer": golds})

The outcomes of groups, each a score or a score error::

    scores = await client.score("math", [Group(Example(references={"answer": "4"}), responses)])

`SyncRewardClient` has the same methods for code without an event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from types import TracebackType
from typing import Any, Unpack

from google.protobuf.message import Message
from rewardplane.rewards.types import Example, Group, Outcome, Response
from rewardplane.v1 import reward_service_pb2 as pb
from rewardplane.wire.messages import clean, example_to, response_to

from . import decode
from .call_options import CallOptionArgs, CallOptions
from .endpoint import Credentials, Endpoint
from .failures import rewards_of
from .results import RewardInfo, Scores, StreamedOutcome, Validation
from .rows import example, groups, response
from .session import Session
from .stream import stream
from .target import Target, names

QUERY_TIMEOUT_S = 30.0


class RewardClient:
    """A client of one service. It holds configuration only and may be pickled.

    Usable from any thread, event loop and process, also after a fork: each event loop gets
    connections of its own, with its first call. `async with` or `close` ends those of the running
    loop.

    Failed calls are tried again until their `timeout_s` have passed: where the service is out of
    reach, and where it is overloaded and says when to come back. A `CallError` means that the call
    as a whole failed; what is wrong with one item is that item's `ScoreError`. A process that was
    forked while its parent had calls in flight can make none (RuntimeError): gRPC fails there.

    `target`: `host:port`, several of them as a list or by comma, or a gRPC name such as
    `dns:///host:port`; all addresses of a DNS name are used in turn. Without it the environment's
    REWARDPLANE_TARGET. `credentials`: TLS and a token; without them those of the environment
    (`Credentials.from_files`), and where it has none, in the clear. `channels`: as many as gateways
    share one port. `options`: channel options for gRPC.

    Raises:
        ValueError: there is no target, or it is malformed, or the environment's credentials are.
        OSError: a file of the environment's credentials cannot be read.
    """

    def __init__(
        self,
        target: Target | None = None,
        *,
        credentials: Credentials | None = None,
        channels: int = 1,
        options: Sequence[tuple[str, int | str]] = (),
    ) -> None:
        if credentials is None:
            credentials = Credentials.from_files()
        self._endpoint = Endpoint(names(target), credentials, channels, tuple(options))
        self._sessions: dict[asyncio.AbstractEventLoop, Session] = {}

    async def rewards(
        self,
        reward: str,
        prompts: Sequence[Any] | None,
        completions: Sequence[Any],
        columns: Mapping[str, Any] | None = None,
        *,
        rename: Mapping[str, str] = {},
        completion_ids: Sequence[Sequence[int]] | None = None,
        group_size: int = 0,
        request_id: str = "",
        **options: Unpack[CallOptionArgs],
    ) -> list[float]:
        """One reward per row, in the order of the rows, or an exception.

        A prompt and a completion are texts or chat messages. `columns` holds one sequence per name,
        and `rename` maps names of the data set to those that the reward expects:
        `rename={"solution": "answer"}`. `completion_ids` give the token counts. Consecutive rows
        with the same prompt and columns form one group, of at most `group_size` if that is not 0.

        Raises:
            ItemsFailed: items have no reward; it says which and why. An item that the reward does
                not apply to (NOT_APPLICABLE) has none.
            CallError: the call failed as a whole.
            ValueError: a column has not one value per row, or `rename` does not fit the columns.
            TypeError: a value is of a type that cannot be sent.
        """
        if not len(completions):
            return []
        batch = groups(prompts, completions, completion_ids, columns, group_size, rename)
        scores = await self.score(reward, batch, request_id=request_id, **options)
        return rewards_of([outcome for group in scores for outcome in group], reward)

    async def reward(
        self,
        reward: str,
        prompt: object,
        completion: object,
        columns: Mapping[str, Any] | None = None,
        *,
        rename: Mapping[str, str] = {},
        **options: Unpack[CallOptionArgs],
    ) -> float:
        """The reward of one row, or an exception. Concurrent calls of one event loop are batched.

        Raises:
            ItemsFailed: it has no reward; it says why.
            CallError: the request is refused, or could not be sent within `timeout_s`.
            ValueError: `rename` does not fit the columns.
            TypeError: a value is of a type that cannot be sent.
        """
        outcome = await self.score_one(
            reward, example(prompt, columns or {}, rename), response(completion), **options
        )
        return rewards_of([outcome], reward)[0]

    async def score(
        self,
        reward: str,
        groups: Sequence[Group],
        *,
        request_id: str = "",
        **options: Unpack[CallOptionArgs],
    ) -> Scores:
        """The outcomes of a batch: per group, per response, in the order sent.

        `reward` may be empty where every group names its own. Groups go in messages below 8 MiB,
        some at once, the first of about 1,024 items, each later one of twice as many, at most
        16,384; a group is never split. Where some of these messages fail for good for reasons of
        the service and others do not, the items of the former are UNAVAILABLE or DEADLINE.

        Raises:
            CallError: the request is refused, or no part of it could be scored.
        """
        return await self._session().score(CallOptions(reward, **options), groups, request_id)

    async def score_one(
        self,
        reward: str,
        example: Example,
        response: Response,
        **options: Unpack[CallOptionArgs],
    ) -> Outcome:
        """The outcome of one response. Concurrent calls of one event loop are batched.

        Raises:
            CallError: the request is refused, or could not be sent within `timeout_s`.
        """
        return await self._session().score_one(CallOptions(reward, **options), example, response)

    async def stream(
        self,
        reward: str,
        groups: Sequence[Group],
        *,
        request_id: str = "",
        **options: Unpack[CallOptionArgs],
    ) -> AsyncGenerator[StreamedOutcome, None]:
        """The outcomes of a batch as they are made, each item's once, in any order.

        Raises:
            CallError: the request is refused, or no part of it could be scored.
        """
        outcomes = stream(self._session(), CallOptions(reward, **options), groups, request_id)
        async with aclosing(outcomes):
            async for outcome in outcomes:
                yield outcome

    async def validate(
        self,
        example: Example,
        response: Response,
        *,
        reward: str = "",
        inline_config: str = "",
        timeout_s: float = QUERY_TIMEOUT_S,
    ) -> Validation:
        """Tries one reward on one response: a configured one by name, or one given as YAML or JSON.

        Raises:
            CallError: the request is refused (`InlineCode`: the configuration names code to
                import), or the service does not answer.
        """
        request = pb.ValidateRewardRequest(
            example=example_to(example), response=response_to(response)
        )
        if inline_config:
            request.inline_config = clean(inline_config)
        else:
            request.reward = clean(reward)
        return decode.validation(await self._query("ValidateReward", request, timeout_s))

    async def list_rewards(self, *, timeout_s: float = QUERY_TIMEOUT_S) -> list[RewardInfo]:
        """The rewards served now, by name.

        Raises:
            CallError: the service does not answer.
        """
        data = await self._query("ListRewards", pb.ListRewardsRequest(), timeout_s)
        return [decode.info(r) for r in decode.parsed(pb.ListRewardsResponse(), data).rewards]

    async def get_reward(self, name: str, *, timeout_s: float = QUERY_TIMEOUT_S) -> RewardInfo:
        """One reward.

        Raises:
            UnknownReward: there is none of that name.
            CallError: the service does not answer.
        """
        data = await self._query("GetReward", pb.GetRewardRequest(name=clean(name)), timeout_s)
        return decode.info(decode.parsed(pb.GetRewardResponse(), data).reward)

    async def close(self) -> None:
        """Closes the connections of the running event loop. A later call opens new ones."""
        session = self._sessions.pop(asyncio.get_running_loop(), None)
        if session is not None:
            await session.close()

    async def __aenter__(self) -> RewardClient:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self._endpoint)!r})"

    def __reduce__(self) -> tuple[object, ...]:
        e = self._endpoint
        return _rebuild, (type(self), e.names, e.credentials, e.channels, e.options)

    async def _query(self, method: str, request: Message, timeout_s: float) -> bytes:
        return await self._session().call(method, request.SerializeToString(), timeout_s)

    def _session(self) -> Session:
        loop = asyncio.get_running_loop()
        session = self._sessions.get(loop)
        if session is None:
            # The channels of a loop that is gone serve no one and hold threads.
            for other in list(self._sessions):
                if other.is_closed():
                    self._sessions.pop(other, None)
            session = self._sessions[loop] = Session(self._endpoint)
        return session


def _rebuild(
    kind: type[RewardClient],
    target: Target,
    credentials: Credentials | None,
    channels: int,
    options: Sequence[tuple[str, int | str]],
) -> RewardClient:
    return kind(target, credentials=credentials, channels=channels, options=options)
