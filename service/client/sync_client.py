"""The client for code without an event loop."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Unpack

from rewardplane.rewards.types import Example, Group, Outcome, Response

from .call_options import CallOptionArgs
from .client import QUERY_TIMEOUT_S, RewardClient
from .endpoint import Credentials
from .loop_thread import run
from .results import RewardInfo, Scores, StreamedOutcome, Validation
from .target import Target


class SyncRewardClient:
    """`RewardClient` with the same methods, which block: see there.

    All clients of a process share one thread. Calls from many threads run at once; calls of
    `score_one` and `reward` from many threads are batched.
    """

    def __init__(
        self,
        target: Target | None = None,
        *,
        credentials: Credentials | None = None,
        channels: int = 1,
        options: Sequence[tuple[str, int | str]] = (),
    ) -> None:
        self._client = RewardClient(
            target, credentials=credentials, channels=channels, options=options
        )

    def rewards(
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
        """As `RewardClient.rewards`."""
        return run(
            lambda: self._client.rewards(
                reward,
                prompts,
                completions,
                columns,
                rename=rename,
                completion_ids=completion_ids,
                group_size=group_size,
                request_id=request_id,
                **options,
            )
        )

    def reward(
        self,
        reward: str,
        prompt: object,
        completion: object,
        columns: Mapping[str, Any] | None = None,
        *,
        rename: Mapping[str, str] = {},
        **options: Unpack[CallOptionArgs],
    ) -> float:
        """As `RewardClient.reward`."""
        return run(
            lambda: self._client.reward(
                reward, prompt, completion, columns, rename=rename, **options
            )
        )

    def score(
        self,
        reward: str,
        groups: Sequence[Group],
        *,
        request_id: str = "",
        **options: Unpack[CallOptionArgs],
    ) -> Scores:
        """As `RewardClient.score`."""
        return run(lambda: self._client.score(reward, groups, request_id=request_id, **options))

    def score_one(
        self, reward: str, example: Example, response: Response, **options: Unpack[CallOptionArgs]
    ) -> Outcome:
        """As `RewardClient.score_one`."""
        return run(lambda: self._client.score_one(reward, example, response, **options))

    def stream(
        self,
        reward: str,
        groups: Sequence[Group],
        *,
        request_id: str = "",
        **options: Unpack[CallOptionArgs],
    ) -> Iterator[StreamedOutcome]:
        """As `RewardClient.stream`."""
        outcomes = self._client.stream(reward, groups, request_id=request_id, **options)

        async def following() -> StreamedOutcome | None:
            return await anext(outcomes, None)

        try:
            while (outcome := run(following)) is not None:
                yield outcome
        finally:
            run(outcomes.aclose)

    def validate(
        self,
        example: Example,
        response: Response,
        *,
        reward: str = "",
        inline_config: str = "",
        timeout_s: float = QUERY_TIMEOUT_S,
    ) -> Validation:
        """As `RewardClient.validate`."""
        return run(
            lambda: self._client.validate(
                example, response, reward=reward, inline_config=inline_config, timeout_s=timeout_s
            )
        )

    def list_rewards(self, *, timeout_s: float = QUERY_TIMEOUT_S) -> list[RewardInfo]:
        """As `RewardClient.list_rewards`."""
        return run(lambda: self._client.list_rewards(timeout_s=timeout_s))

    def get_reward(self, name: str, *, timeout_s: float = QUERY_TIMEOUT_S) -> RewardInfo:
        """As `RewardClient.get_reward`."""
        return run(lambda: self._client.get_reward(name, timeout_s=timeout_s))

    def close(self) -> None:
        """Closes the connections. A later call opens new ones."""
        run(self._client.close)

    def __enter__(self) -> SyncRewardClient:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Sync{self._client!r}"
