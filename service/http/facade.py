"""What the URLs have in common that answer a peer's contract with one reward.

A facade reads a body into items and writes outcomes as its peer's client has them; between the two
all do the same: the time limit, the metrics, and what is answered where an item has no reward. No
task is made for that: a call begins when its body has come, and a lane says when it is over. Most
clients repeat whatever fails, 4xx too, so that an error that will not pass is answered from memory
when the same request comes again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Literal

from rewardplane.gateway.breath import Steps, go_on
from rewardplane.gateway.call import Call
from rewardplane.rewards.types import Example, Outcome, Response, ScoreError
from rewardplane.wire.errors import CallError
from rewardplane.wire.request import request_bytes
from rewardplane.wire.status import encode

from .exchange import Answer, Handler, Request, Stop, Told, json_answer
from .remembered import Remembered
from .request import (
    Wants,
    error_json,
    item_status,
    options_of,
    outcomes_of,
)

if TYPE_CHECKING:
    from rewardplane.gateway.metrics import Metrics
    from rewardplane.gateway.scorer import Scorer
    from rewardplane.gateway.served import ServedRewards

Item = tuple[Example, Response]
Tells = Literal["none", "lasting", "all"]
"""Which errors of items an answer can tell; the others become HTTP errors."""


@dataclass(slots=True, frozen=True)
class Asked:
    """What a request asks to be scored, and how long its client waits for that, in s."""

    items: Sequence[Item]
    job: str = ""
    step: int = 0
    answer_s: float = 0.0
    """0: as long as the facade's clients wait in general."""


@dataclass(slots=True, frozen=True)
class Asking:
    """What a request asks of a reward, and how that is answered.

    `read` makes the items of the body; what it raises refuses the call. `write` gets their
    outcomes, in their order, with errors among them only as far as `tells` says.
    """

    reward: str
    read: Callable[[bytes], Asked]
    write: Callable[[list[Outcome]], Answer]
    wants: Wants = ()
    tells: Tells = "none"


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
        digest = self.rewards.find(asking.reward, "").digest
        known = self._remembered.find(request.body, asking.reward, digest)
        if known is not None:
            raise self._failed(known)
        scoring = _Scoring(self, asking, request, digest, told)
        scoring.begin()
        return scoring.stop

    def begin_call(
        self,
        asking: Asking,
        asked: Asked,
        request: Request,
        on_done: Callable[[Call], None],
    ) -> Call | Steps[Call]:
        """Starts the call of what a request asks; see `Scorer.begin`.

        Raises:
            CallError: it is refused.
        """
        data = request_bytes(
            asking.reward,
            asked.items,
            job=asked.job,
            step=asked.step,
            options=options_of(asking.wants) if asking.wants else b"",
        )
        timeout_s = asked.answer_s or self.answer_s
        trace = request.traceparent
        return self._scorer.begin(data, timeout_s, trace, on_done, caller=request.caller)

    def give_up(self, call: Call) -> None:
        """Nobody waits for a call any more."""
        self._scorer.cancel(call)

    def ended(self, reward: str, job: str, code: str, elapsed_s: float) -> None:
        """Counts a call."""
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


class _Scoring:
    """One request from its body to its answer: all that it allocates here."""

    __slots__ = (
        *("_asking", "_began_s", "_call", "_digest", "_facade", "_is_over", "_job", "_request"),
        *("_steps", "_told"),
    )

    def __init__(
        self, facade: Facade, asking: Asking, request: Request, digest: str, told: Told
    ) -> None:
        self._facade = facade
        self._asking = asking
        self._request = request
        self._digest = digest
        self._told = told
        self._began_s = time.perf_counter()
        self._job = ""
        self._call: Call | None = None
        self._steps: Steps[None] | None = None
        """The rest of the beginning of a call of many items."""
        self._is_over = False

    def begin(self) -> None:
        """Reads the body and starts the call, which may be over then.

        Raises:
            CallError, BadMessage, TooLarge: it is refused.
        """
        code = "INVALID_ARGUMENT"
        try:
            asked = self._asking.read(self._request.body)
            self._job, code = asked.job, "INTERNAL"
            if not asked.items:
                self._answer([])
                return
            begun = self._facade.begin_call(self._asking, asked, self._request, self._done)
        except Exception as error:
            self._ended(_code_of(error, code))
            raise
        if isinstance(begun, Call):
            self._call = begun
        else:
            self._steps = self._beginning(begun)
            go_on(self._steps)

    def _beginning(self, steps: Steps[Call]) -> Steps[None]:
        """The rest of the beginning of a call; closed when its client leaves."""
        try:
            self._call = yield from steps
        except Exception as error:  # noqa: BLE001 - told to who waits for the answer
            self._ended(_code_of(error, "INTERNAL"))
            self._told(error)
        finally:
            self._steps = None

    def stop(self) -> None:
        """Nobody waits for the answer any more."""
        if self._is_over:
            return
        self._ended("CANCELLED")
        if self._steps is not None:
            self._steps.close()
        if self._call is not None:
            self._facade.give_up(self._call)

    def _done(self, call: Call) -> None:
        """Every item has its outcome. A lane calls this: nothing may be raised into it."""
        if self._is_over:
            return
        try:
            self._answer(outcomes_of(call))
        except Exception as error:  # noqa: BLE001 - told to who waits for the answer
            self._ended("INTERNAL")
            self._told(error)

    def _answer(self, outcomes: list[Outcome]) -> None:
        self._ended("OK")
        asking, body = self._asking, self._request.body
        try:
            answer = self._facade.answer_of(asking, body, self._digest, outcomes)
        except Exception as error:  # noqa: BLE001 - told to who waits for the answer
            self._told(error)
        else:
            self._told(answer)

    def _ended(self, code: str) -> None:
        """Counts the call, once."""
        if not self._is_over:
            self._is_over = True
            elapsed_s = time.perf_counter() - self._began_s
            self._facade.ended(self._asking.reward, self._job, code, elapsed_s)


def _code_of(error: Exception, otherwise: str) -> str:
    return encode(error)[0].name if isinstance(error, CallError) else otherwise


def switched_off(name: str) -> Answered:
    """The answer of a URL that the configuration does not name."""
    message = f"this URL is not switched on: set http.{name} in the service's configuration"
    error = {"reason": "NOT_CONFIGURED", "message": message}
    return Answered(json_answer({"error": error}, 404))
