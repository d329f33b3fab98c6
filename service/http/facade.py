"""What the URLs have in common that answer a peer's contract with one reward.

A facade reads a body into items and writes outcomes as its peer's client has them; between the two
all do the same: the time limit, the metrics, and what is answered where an item has no reward. No
task is made for that: a call begins when its body has come, and a lane says when it is over. Most
clients repeat whatever fails, 4xx too, so that an error that will not pass is answered from memory
when the same request comes again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from rewardplane.gateway.breath import Steps
from rewardplane.gateway.call import Call
from rewardplane.rewards.types import Group, Outcome, ScoreError
from rewardplane.v1 import reward_service_pb2 as pb
from rewardplane.wire.messages import clean, fill_group

from .exchange import Answer, Handler, Request, Stop, Told, json_answer
from .joining import Joining, may_join
from .remembered import Remembered
from .request import error_json, item_status
from .scoring import Asked, Asking, Scoring

if TYPE_CHECKING:
    from rewardplane.gateway.metrics import Metrics
    from rewardplane.gateway.scorer import Scorer
    from rewardplane.gateway.served import ServedRewards

Ask = Callable[[Request], Asking | Answer]
"""What a URL makes of a request: what there is to be scored, or the answer itself.

What it raises (`Answered`, `CallError`, `TooLarge`) refuses the request."""


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
        self._joining = Joining()

    def routes(self) -> Mapping[str, Ask]:
        """What is asked by `POST` at each path."""
        raise NotImplementedError

    def handlers(self) -> Mapping[str, Handler]:
        """What answers `POST` at each path."""
        return {path: partial(self._begin, ask) for path, ask in self.routes().items()}

    def _begin(self, ask: Ask, request: Request, told: Told) -> Stop | None:
        """Has a request scored and answered; see `Handler`.

        Raises:
            Answered, CallError: it is refused before its body is read.
        """
        asking = ask(request)
        if isinstance(asking, Answer):
            told(asking)
            return None
        caller = request.caller
        if caller is not None:
            caller.check_reward(asking.reward)
        served = self.rewards.find(asking.reward, "")
        known = self._remembered.find(request.body, asking.reward, served.digest)
        if known is not None:
            raise self._failed(known)
        scoring = Scoring(self, asking, request, served.digest, told)
        scoring.read()
        if scoring.is_single and self._scorer.traces is None and may_join(request, served):
            self._joining.add(scoring)
        else:
            scoring.begin()
        return scoring.stop

    def begin_call(
        self,
        asking: Asking,
        asked: Asked,
        request: Request,
        on_done: Callable[[Call], None],
        on_items: Callable[[Sequence[int]], None] | None = None,
    ) -> Call | Steps[Call]:
        """Starts the call of what a request asks; see `Scorer.begin`.

        Raises:
            CallError: it is refused.
        """
        message = pb.ScoreRequest(reward=asking.reward, job=clean(asked.job), step=asked.step)
        for name in asking.wants:
            setattr(message.options, f"include_{name}", True)
        for example, response in asked.items:
            fill_group(Group(example, (response,), expected_size=1), message.groups.add())
        data = message.SerializeToString()
        timeout_s, trace = asked.answer_s or self.answer_s, request.traceparent
        return self._scorer.begin(data, timeout_s, trace, on_done, on_items, request.caller)

    def give_up(self, call: Call) -> None:
        """Nobody waits for a call any more."""
        self._scorer.cancel(call)

    def ended(self, reward: str, job: str, code: str, elapsed_s: float) -> None:
        """Counts a request that was to be scored."""
        self._metrics.call_ended(reward, job, code, elapsed_s)

    def answer_of(
        self, asking: Asking, body: bytes, digest: str, outcomes: list[Outcome]
    ) -> Answer:
        """The answer that tells these outcomes.

        Raises:
            Answered: there is an error among them that it cannot tell.
        """
        tells = asking.tells
        for outcome in outcomes:
            if isinstance(outcome, ScoreError) and tells != "all":
                if outcome.retryable:
                    raise self._failed(outcome)
                if tells == "none":
                    self._remembered.add(body, asking.reward, digest, outcome)
                    raise self._failed(outcome)
        return asking.write(outcomes)

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
