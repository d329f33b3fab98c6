"""Cloud Run: the reward of an HTTP service of the user's. `rewards.http.client` makes the calls."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...http.client import CallRules, Client, Listed
from ...http.token import Tokens
from ...result import shown
from ...text.protojson import example_dict, number_of
from ...types import Example, InvalidResult, Response
from .options import CloudRun

if TYPE_CHECKING:
    import aiohttp

MAX_REPLY_BYTES = 2**20


@dataclass(slots=True, frozen=True)
class CloudRunReward:
    """What the service answers: a finite reward, not clipped, and words for the user."""

    reward: float
    aux_info: str = ""


class CloudRunService:
    """One service. Any number of calls may wait for their turn."""

    def __init__(self, uri: str, options: CloudRun) -> None:
        self._uri = uri
        self._metadata = dict(options.metadata)
        tokens = None if options.token is None else Tokens(options.token, uri)

        async def authorize(session: aiohttp.ClientSession) -> str:
            return "" if tokens is None else await tokens.take(session)

        rules = CallRules(
            "cloud_run",
            authorize,
            backoff=lambda: Listed(options.backoff_s),
            concurrency=options.concurrency,
            timeout_s=options.timeout_s,
            retry_timeouts=True,
            max_reply_bytes=MAX_REPLY_BYTES,
            unreadable=InvalidResult,
            denied=" (the caller needs roles/run.invoker)",
        )
        self._client = Client(rules)

    async def ask(
        self, example: Example, response: Response, content: Mapping[str, Any]
    ) -> CloudRunReward:
        """The reward of an item.

        Raises:
            RewardFault: as `Client.post`; InvalidResult for an answer without a finite reward.
        """
        body: dict[str, Any] = {"example": example_dict(example, response), "response": content}
        if self._metadata:
            body["metadata"] = self._metadata
        return reward_of(await self._client.post(self._uri, body))

    def take_figures(self) -> dict[str, float]:
        """What happened since the last call."""
        return self._client.take_figures()

    async def close(self) -> None:
        """Closes the connections of this event loop."""
        await self._client.close()


def reward_of(answer: Mapping[str, Any]) -> CloudRunReward:
    """The reward that a service's answer holds; other fields of it are ignored.

    Raises:
        InvalidResult: it holds none that is finite.
    """
    if "reward" not in answer:
        raise InvalidResult(f'want {{"reward": number}}, not {shown(dict(answer))}')
    reward = number_of(answer["reward"])
    if reward is None or not math.isfinite(reward):
        raise InvalidResult(f"the reward is {shown(answer['reward'])}, which is no finite number")
    told = answer.get("user_requested_aux_info")
    if told is None:
        return CloudRunReward(reward)
    return CloudRunReward(reward, told if isinstance(told, str) else json.dumps(told))
