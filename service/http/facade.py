"""What the URLs have in common that answer a peer's contract with one reward.

A facade reads a body into items and writes outcomes as its peer's client has them; between the two
all do the same: the time limit, the metrics, and what is answered where an item has no reward. Most
clients repeat whatever fails, 4xx too, so that an error that will not pass is answered from memory
when the same request comes again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from rewardplane.rewards.types import Example, Outcome, Response, ScoreError
from rewardplane.wire.errors import CallError
from rewardplane.wire.status import encode

from .exchange import Answer, Handler, Request, json_answer
from .remembered import Remembered
from .request import (
    Wants,
    error_json,
    item_status,
    outcomes_of,
    score_items,
)

if TYPE_CHECKING:
    from rewardplane.gateway.metrics import Metrics
    from rewardplane.gateway.scorer import Scorer
    from rewardplane.gateway.served import ServedRewards

Item = tuple[Example, Response]
Told = Literal["none", "lasting", "all"]
"""Which errors of items an answer can tell; the others become HTTP errors."""


@dataclass(slots=True, frozen=True)
class Asked:
    """What a request asks to be scored, and how long its client waits for that, in s."""

    items: Sequence[Item]
    job: str = ""
    step: int = 0
    answer_s: float = 0.0
    """0: as long as the facade's clients wait in general."""


class Answered(Exception):
    """The request has its answer already: what the contract has no other words for."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer


class Facade:
    """The URLs of one contract. A subclass has `routes`, and reads and writes the bodies."""

    answer_s: ClassVar[float] = 300.0
    """The most that an answer may take: less than its clients wait."""
    retry_after_s: ClassVar[int] = 1
    passing_status: ClassVar[int | None] = None
    """The HTTP status of an error that may pass; None: 429 or 503."""

    def __init__(self, scorer: Scorer, rewards: ServedRewards, metrics: Metrics) -> None:
        self._scorer = scorer
        self.rewards = rewards
        self._metrics = metrics
        self._remembered = Remembered()

    def routes(self) -> Mapping[str, Handler]:
        """What answers `POST` at each path."""
        raise NotImplementedError

    async def outcomes(
        self,
        request: Request,
        reward: str,
        read: Callable[[bytes], Asked],
        *,
        wants: Wants = (),
        tells: Told = "none",
    ) -> list[Outcome]:
        """The outcomes of the items of a request, in their order.

        `read` makes the items of the body; what it raises refuses the call. There are errors in the
        answer only as far as `tells` says.

        Raises:
            Answered: an item has no reward, and `tells` does not cover it.
            CallError, BadMessage, TooLarge: the call is refused.
        """
        caller = request.caller
        if caller is not None:
            caller.check_reward(reward)
        body = request.body
        digest = self.rewards.find(reward, "").digest
        known = self._remembered.find(body, reward, digest)
        if known is not None:
            raise self._failed(known)
        found = await self._scored(request, reward, lambda: read(body), wants)
        for outcome in found:
            if isinstance(outcome, ScoreError) and tells != "all":
                if outcome.retryable:
                    raise self._failed(outcome)
                if tells == "none":
                    self._remembered.add(body, reward, digest, outcome)
                    raise self._failed(outcome)
        return found

    async def _scored(
        self, request: Request, reward: str, read: Callable[[], Asked], wants: Wants
    ) -> list[Outcome]:
        begin_s, job, code = time.perf_counter(), "", "INVALID_ARGUMENT"
        try:
            asked = read()
            job, code = asked.job, "INTERNAL"
            found: list[Outcome] = []
            if asked.items:
                call = await score_items(
                    self._scorer,
                    reward,
                    asked.items,
                    timeout_s=asked.answer_s or self.answer_s,
                    traceparent=request.traceparent,
                    job=job,
                    step=asked.step,
                    wants=wants,
                    caller=request.caller,
                )
                found = outcomes_of(call)
            code = "OK"
        except CallError as error:
            code = encode(error)[0].name
            raise
        except asyncio.CancelledError:
            code = "CANCELLED"
            raise
        finally:
            self._metrics.call_ended(reward, job, code, time.perf_counter() - begin_s)
        return found

    def _failed(self, error: ScoreError) -> Answered:
        if not error.retryable:
            return Answered(json_answer(error_json(error), 500))
        headers = {"retry-after": str(self.retry_after_s)}
        status = self.passing_status or item_status(error.reason)
        return Answered(json_answer(error_json(error), status, headers))


def switched_off(name: str) -> Answered:
    """The answer of a URL that the configuration does not name."""
    message = f"this URL is not switched on: set http.{name} in the service's configuration"
    error = {"reason": "NOT_CONFIGURED", "message": message}
    return Answered(json_answer({"error": error}, 404))
