"""JSON over HTTP to one endpoint: within its limits, and again where that may help.

============================== ====================== =========================================
what comes                     again?                 if it stays so
============================== ====================== =========================================
429                            as `Backoff` says      RateLimited; at once where Retry-After, or
                                                      the bill, leaves no hope within the time
408, 409, 425, 5xx             as `Backoff` says      Unavailable
no connection, cut off         as `Backoff` says      Unavailable
no answer within `timeout_s`   by `retry_timeouts`    Unavailable
401, 403, 404, redirects       no                     Unavailable: the operator's to mend
content_filter                 no                     JudgeRefused
any other 4xx                  no                     InvalidInput
200, but no JSON object        no                     `CallRules.unreadable`
============================== ====================== =========================================

Each wait is for as long as Retry-After says, else as long as `Backoff` says. No try starts that
the time has no room for.
"""

from __future__ import annotations

import asyncio
import io
import json
import math
import random
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakKeyDictionary

from ..deadline import left_s
from ..types import JudgeUnreadable, RateLimited, RewardFault, Unavailable
from .endpoint import Endpoint
from .gate import Gate
from .reply import Again, answer_of, usage_of

if TYPE_CHECKING:
    import aiohttp

    Authorize = Callable[[aiohttp.ClientSession], Awaitable[str]]

MAX_TRIES = 5
FIRST_BACKOFF_S = 0.5
MAX_BACKOFF_S = 20.0
CONNECT_TIMEOUT_S = 10.0
KEEP_ALIVE_S = 30.0
MAX_REPLY_BYTES = 16 * 2**20


class Backoff(Protocol):
    """How long to wait before each further try of one call."""

    holds_all: bool
    """Whether a 429 holds back all calls to the endpoint, not only this one."""

    def after(self, status: int) -> float | None:
        """Seconds to wait after a try with this status (0: no answer); None: no further try."""
        ...


class Exponential:
    """Twice as long each time, with jitter: 429 without end, all else `MAX_TRIES` times."""

    holds_all = True

    def __init__(self) -> None:
        self._next_s = FIRST_BACKOFF_S
        self._failures = 0

    def after(self, status: int) -> float | None:
        """As `Backoff.after`."""
        self._failures += status != 429
        if self._failures >= MAX_TRIES:
            return None
        wait_s = self._next_s * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
        self._next_s = min(2 * self._next_s, MAX_BACKOFF_S)
        return wait_s


class Listed:
    """The waits that are given, one after the other."""

    holds_all = False

    def __init__(self, waits_s: Sequence[float]) -> None:
        self._waits_s: Iterator[float] = iter(waits_s)

    def after(self, status: int) -> float | None:
        """As `Backoff.after`."""
        del status
        return next(self._waits_s, None)


@dataclass(frozen=True)
class CallRules:
    """How an endpoint is called. `figures` begins the names of what is counted."""

    figures: str
    authorize: Authorize
    """The bearer token of a try; "" for none. It may raise a `RewardFault`."""
    backoff: Callable[[], Backoff] = Exponential
    concurrency: int = 256
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    timeout_s: float = 60.0
    """The longest that one try may take."""
    retry_timeouts: bool = False
    max_reply_bytes: int = MAX_REPLY_BYTES
    unreadable: type[RewardFault] = JudgeUnreadable
    """What an answer is that is too long or no JSON object."""
    denied: str = ""
    """What to add to the message of a 401 or 403."""


def rules_of(endpoint: Endpoint) -> CallRules:
    """How a judge's endpoint is called."""

    async def authorize(session: aiohttp.ClientSession) -> str:
        del session
        try:
            return endpoint.key()
        except ValueError as error:
            raise Unavailable(str(error)) from None

    return CallRules(
        "judge",
        authorize,
        concurrency=endpoint.concurrency,
        requests_per_minute=endpoint.requests_per_minute,
        tokens_per_minute=endpoint.tokens_per_minute,
        timeout_s=endpoint.timeout_s,
    )


class Client:
    """Posts to one endpoint.

    Its connections and its gate are made at the first call of each event loop; `close` closes those
    of the loop that it is called in.
    """

    def __init__(self, rules: CallRules) -> None:
        self._rules = rules
        self._parts = 1
        self._by_loop: WeakKeyDictionary[
            asyncio.AbstractEventLoop, tuple[aiohttp.ClientSession, Gate]
        ] = WeakKeyDictionary()
        self._figures: dict[str, float] = {}

    def limit(
        self,
        concurrency: int,
        requests_per_minute: float | None,
        tokens_per_minute: float | None,
        parts: int = 1,
    ) -> None:
        """Other limits from now on, of this event loop: one of `parts` that share the endpoint."""
        limits = concurrency, requests_per_minute, tokens_per_minute
        connected = self._by_loop.get(asyncio.get_running_loop())
        if connected is not None:
            connected[1].limit(*limits, pays=max(0, parts - self._parts))
        else:
            self._connect(Gate.beside(*limits) if parts > 1 else Gate(*limits))
        self._parts = parts

    def lease(self, until_s: float) -> None:
        """As `Gate.lease`, of this event loop."""
        self._connected()[1].lease(until_s)

    @property
    def in_flight(self) -> int:
        """Calls under way in this event loop."""
        return self._connected()[1].in_flight

    async def post(
        self, url: str, body: Mapping[str, Any], timeout_s: float = math.inf, tokens: float = 0.0
    ) -> dict[str, Any]:
        """The JSON object that is answered, after at most `timeout_s`. `tokens`: a guess of theirs.

        Raises:
            RewardFault: see the module.
        """
        session, gate = self._connected()
        clock = asyncio.get_running_loop().time
        # Not to be waited beyond; an item's own end comes as a cancellation, and is TIMED_OUT.
        last_s = clock() + timeout_s
        until_s = min(last_s, clock() + left_s())
        data = json.dumps(body, separators=(",", ":")).encode("utf-8", "replace")
        backoff, tries = self._rules.backoff(), 0
        while True:
            await gate.enter(tokens, until_s, again=tries > 0)
            tries += 1
            taken = 0.0
            try:
                reply = await self._try(session, url, data, last_s - clock())
                taken = self._count_tokens(reply) or tokens
            except Again as error:
                told_s, wait_s = error.retry_after_s, backoff.after(error.status)
                if wait_s is not None and told_s is not None:
                    wait_s = told_s
                hold_s = wait_s if error.status == 429 and backoff.holds_all else told_s
                if hold_s is not None:
                    gate.hold(clock() + hold_s)
                if wait_s is None or clock() + wait_s >= until_s:
                    fault = RateLimited if error.status == 429 else Unavailable
                    raise fault(f"{error} (tries: {tries})") from None
            else:
                return reply
            finally:
                gate.leave(taken - tokens)
            self.count("retries", 1)
            await asyncio.sleep(wait_s)

    def count(self, name: str, amount: float) -> None:
        """Adds to a figure."""
        name = f"{self._rules.figures}_{name}"
        self._figures[name] = self._figures.get(name, 0.0) + amount

    def take_figures(self) -> dict[str, float]:
        """The figures since the last call."""
        taken, self._figures = self._figures, {}
        return taken

    async def close(self) -> None:
        """Closes the connections of this event loop; calls under way are Unavailable."""
        connected = self._by_loop.pop(asyncio.get_running_loop(), None)
        if connected is not None:
            session, gate = connected
            gate.stop()
            await session.close()

    def _connected(self) -> tuple[aiohttp.ClientSession, Gate]:
        connected = self._by_loop.get(asyncio.get_running_loop())
        if connected is None:
            rules = self._rules
            limits = rules.concurrency, rules.requests_per_minute, rules.tokens_per_minute
            connected = self._connect(Gate(*limits))
        return connected

    def _connect(self, gate: Gate) -> tuple[aiohttp.ClientSession, Gate]:
        import aiohttp  # a tenth of a second, which listing the kinds must not cost

        connector = aiohttp.TCPConnector(
            limit=self._rules.concurrency, keepalive_timeout=KEEP_ALIVE_S
        )
        connected = aiohttp.ClientSession(connector=connector), gate
        self._by_loop[asyncio.get_running_loop()] = connected
        return connected

    async def _try(
        self, session: aiohttp.ClientSession, url: str, data: bytes, left_s: float
    ) -> dict[str, Any]:
        import aiohttp

        rules = self._rules
        limit_s = min(left_s, rules.timeout_s)
        # To aiohttp 0 means no limit.
        limit = aiohttp.ClientTimeout(total=max(0.001, limit_s), sock_connect=CONNECT_TIMEOUT_S)
        headers = {"Content-Type": "application/json"}
        key = await rules.authorize(session)
        if key:
            headers["Authorization"] = f"Bearer {key}"
        self.count("calls", 1)
        try:
            # Not redirected: the key is for this address and no other.
            async with session.post(
                url,
                # In one piece a large body is written without a pause; aiohttp warns of it.
                data=data if len(data) < 2**20 else io.BytesIO(data),
                headers=headers,
                timeout=limit,
                allow_redirects=False,
            ) as response:
                status, told = response.status, response.headers
                body = await self._body(response)
        except aiohttp.ConnectionTimeoutError as error:
            raise Again(0, f"no connection to {url}: {error}") from None
        except TimeoutError:
            why = f"{url} did not answer within {limit_s:.1f} s"
            raise (Again(0, why) if rules.retry_timeouts else Unavailable(why)) from None
        except (aiohttp.ClientError, OSError) as error:
            raise Again(0, f"{url}: {type(error).__name__}: {error}") from None
        # An endpoint may repeat the key in a complaint about it, and messages are shown to callers.
        body = body.replace(key.encode(), b"***") if key else body
        return answer_of(status, told, body, url, rules.unreadable, rules.denied)

    async def _body(self, response: aiohttp.ClientResponse) -> bytes:
        most = self._rules.max_reply_bytes
        got = bytearray()
        async for piece in response.content.iter_any():
            got += piece
            if len(got) > most:
                response.close()
                raise self._rules.unreadable(f"the answer is longer than {most} bytes")
        return bytes(got)

    def _count_tokens(self, reply: Mapping[str, Any]) -> float:
        prompt, completion, _cached = usage_of(reply)
        if prompt or completion:
            self.count("prompt_tokens", prompt)
            self.count("completion_tokens", completion)
        return float(prompt + completion)
