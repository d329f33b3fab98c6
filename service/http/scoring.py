"""One request that is to be scored, from its body to its answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from rewardplane.gateway.breath import Steps, go_on
from rewardplane.gateway.call import Call
from rewardplane.rewards.types import Example, Outcome, Response
from rewardplane.wire.errors import CallError
from rewardplane.wire.status import encode

from .request import Wants, outcomes_of

if TYPE_CHECKING:
    from .exchange import Answer, Request, Told

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


class Contract(Protocol):
    """What a request is scored by: its facade."""

    def begin_call(
        self,
        asking: Asking,
        asked: Asked,
        request: Request,
        on_done: Callable[[Call], None],
        on_items: Callable[[Sequence[int]], None] | None = None,
    ) -> Call | Steps[Call]:
        """Starts the call of what a request asks; see `Scorer.begin`."""
        ...

    def give_up(self, call: Call) -> None:
        """Nobody waits for a call any more."""
        ...

    def ended(self, reward: str, job: str, code: str, elapsed_s: float) -> None:
        """Counts a request that was to be scored."""
        ...

    def answer_of(
        self, asking: Asking, body: bytes, digest: str, outcomes: list[Outcome]
    ) -> Answer:
        """The answer that tells these outcomes. Raises Answered."""
        ...


class Scoring:
    """A request and what has come of it; `told` gets the answer, once."""

    __slots__ = (
        *("_began_s", "_call", "_digest", "_steps", "_told"),
        *("asked", "asking", "contract", "is_over", "on_stop", "request"),
    )

    def __init__(
        self, contract: Contract, asking: Asking, request: Request, digest: str, told: Told
    ) -> None:
        self.contract = contract
        self.asking = asking
        self.request = request
        self._digest = digest
        self._told = told
        self._began_s = time.perf_counter()
        self.asked = _NOTHING
        self._call: Call | None = None
        self._steps: Steps[None] | None = None
        """The rest of the beginning of a call of many items."""
        self.is_over = False
        """Whether it is answered, or given up."""
        self.on_stop: Callable[[], None] | None = None
        """Called when it is given up; set by who runs it with others."""

    @property
    def is_single(self) -> bool:
        """Whether it asks for one item, which is yet to be scored."""
        return len(self.asked.items) == 1

    def read(self) -> None:
        """Reads the body.

        Raises:
            CallError, BadMessage, TooLarge: it is refused.
        """
        try:
            self.asked = self.asking.read(self.request.body)
        except Exception as error:
            self._ended(_code_of(error, "INVALID_ARGUMENT"))
            raise

    def begin(self) -> None:
        """Starts a call of its own, which may be over then.

        Raises:
            CallError: it is refused.
        """
        if not self.asked.items:
            self.answer([])
            return
        try:
            begun = self.contract.begin_call(self.asking, self.asked, self.request, self._done)
        except Exception as error:
            self._ended(_code_of(error, "INTERNAL"))
            raise
        if isinstance(begun, Call):
            self._call = begun
        else:
            self._steps = self._beginning(begun)
            go_on(self._steps)

    def begin_later(self) -> None:
        """As `begin`, when its handler has returned: who waits is told of a refusal."""
        if not self.is_over:
            try:
                self.begin()
            except Exception as error:  # noqa: BLE001 - told to who waits for the answer
                self._told(error)

    def stop(self) -> None:
        """Nobody waits for the answer any more."""
        if self.is_over:
            return
        self._ended("CANCELLED")
        if self._steps is not None:
            self._steps.close()
        if self._call is not None:
            self.contract.give_up(self._call)
        if self.on_stop is not None:
            self.on_stop()

    def answer(self, outcomes: list[Outcome]) -> None:
        """Tells the outcomes of its items; nothing is raised into a lane."""
        if self.is_over:
            return
        self._ended("OK")
        asking, body = self.asking, self.request.body
        try:
            answer = self.contract.answer_of(asking, body, self._digest, outcomes)
        except Exception as error:  # noqa: BLE001 - told to who waits for the answer
            self._told(error)
        else:
            self._told(answer)

    def fail(self, error: Exception) -> None:
        """By a fault of ours there are no outcomes."""
        if not self.is_over:
            self._ended("INTERNAL")
            self._told(error)

    def _beginning(self, steps: Steps[Call]) -> Steps[None]:
        """The rest of the beginning of a call; closed when its client leaves."""
        try:
            self._call = yield from steps
        except Exception as error:  # noqa: BLE001 - told to who waits for the answer
            self._ended(_code_of(error, "INTERNAL"))
            self._told(error)
        finally:
            self._steps = None

    def _done(self, call: Call) -> None:
        """Every item has its outcome. A lane calls this."""
        try:
            outcomes = outcomes_of(call)
        except Exception as error:  # noqa: BLE001 - told to who waits for the answer
            self.fail(error)
        else:
            self.answer(outcomes)

    def _ended(self, code: str) -> None:
        """Counts the request, once."""
        if not self.is_over:
            self.is_over = True
            elapsed_s = time.perf_counter() - self._began_s
            self.contract.ended(self.asking.reward, self.asked.job, code, elapsed_s)


def _code_of(error: Exception, otherwise: str) -> str:
    return encode(error)[0].name if isinstance(error, CallError) else otherwise


_NOTHING = Asked(())
