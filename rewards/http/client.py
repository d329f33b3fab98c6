"""JSON over HTTP to one endpoint: within its limits, and again where that may help.

============================== ====================== =========================================
what comes                     again?                 if it stays so
============================== ====================== =========================================
429                            until time is up       RateLimited; at once where Retry-After, or
                                                      the bill, leaves no hope within the time
408, 409, 425, 5xx             `MAX_TRIES` times      Unavailable
no connection, cut off         `MAX_TRIES` times      Unavailable
no answer within `timeout_s`   no                     Unavailable
401, 403, 404, redirects       no                     Unavailable: the operator's to mend
content_filter                 no                     JudgeRefused
any other 4xx                  no                     InvalidInput
200, but no JSON object        no                     JudgeUnreadable
============================== ====================== =========================================

Each wait is for as long as Retry-After says, else twice as long as the one before, with jitter.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from ..deadline import left_s
from ..types import JudgeUnreadable, RateLimited, Unavailable
from .endpoint import Endpoint
from .gate import Gate
from .reply import MAX_REPLY_BYTES, Again, read, usage_of

if TYPE_CHECKING:
    import aiohttp

MAX_TRIES = 5
FIRST_BACKOFF_S = 0.5
MAX_BACKOFF_S = 20.0
CONNECT_TIMEOUT_S = 10.0
KEEP_ALIVE_S = 30.0


class Client:
    """Posts to one endpoint.

    Its connections and its gate are made at the first call of each event loop; `close` closes those
    of the loop that it is called in.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._lines: WeakKeyDictionary[
            asyncio.AbstractEventLoop, tuple[aiohttp.ClientSession, Gate]
        ] = WeakKeyDictionary()
        self._figures: dict[str, float] = {}

    async def post(self, path: str, body: Mapping[str, Any], timeout_s: float) -> dict[str, Any]:
        """The JSON object that the endpoint answers, after at most `timeout_s`.

        Raises:
            RateLimited, Unavailable, InvalidInput, JudgeRefused, JudgeUnreadable: see the module.
        """
        session, gate = self._line()
        clock = asyncio.get_running_loop().time
        # Not to be waited beyond; an item's own end comes as a cancellation, and is TIMED_OUT.
        last_s = clock() + timeout_s
        until_s = min(last_s, clock() + left_s())
        data = json.dumps(body, separators=(",", ":")).encode()
        guess = len(data) / 4 + float(body.get(self._endpoint.max_tokens_field) or 0)
        backoff_s, tries, failures = FIRST_BACKOFF_S, 0, 0
        while True:
            await gate.enter(guess, until_s, again=tries > 0)
            tries += 1
            taken = 0.0
            try:
                reply = await self._try(session, path, data, last_s - clock())
                taken = self._count_tokens(reply) or guess
            except Again as error:
                failures += error.status != 429
                wait_s = error.retry_after_s
                if wait_s is None:
                    wait_s = backoff_s * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
                    backoff_s = min(2 * backoff_s, MAX_BACKOFF_S)
                if error.status == 429 or error.retry_after_s is not None:
                    gate.hold(clock() + wait_s)
                if failures >= MAX_TRIES or clock() + wait_s >= until_s:
                    fault = RateLimited if error.status == 429 else Unavailable
                    raise fault(f"{error} (tries: {tries})") from None
            else:
                return reply
            finally:
                gate.leave(taken - guess)
            self.count("judge_retries", 1)
            await asyncio.sleep(wait_s)

    def count(self, name: str, amount: float) -> None:
        """Adds to a figure."""
        self._figures[name] = self._figures.get(name, 0.0) + amount

    def take_figures(self) -> dict[str, float]:
        """The figures since the last call."""
        taken, self._figures = self._figures, {}
        return taken

    async def close(self) -> None:
        """Closes the connections of this event loop; calls under way are Unavailable."""
        line = self._lines.pop(asyncio.get_running_loop(), None)
        if line is not None:
            session, gate = line
            gate.stop()
            await session.close()

    def _line(self) -> tuple[aiohttp.ClientSession, Gate]:
        loop = asyncio.get_running_loop()
        line = self._lines.get(loop)
        if line is None:
            import aiohttp  # a tenth of a second, which listing the kinds must not cost

            at = self._endpoint
            gate = Gate(at.concurrency, at.requests_per_minute, at.tokens_per_minute)
            connector = aiohttp.TCPConnector(limit=at.concurrency, keepalive_timeout=KEEP_ALIVE_S)
            line = aiohttp.ClientSession(connector=connector), gate
            self._lines[loop] = line
        return line

    async def _try(
        self, session: aiohttp.ClientSession, path: str, data: bytes, left_s: float
    ) -> dict[str, Any]:
        import aiohttp

        limit_s = min(left_s, self._endpoint.timeout_s)
        # To aiohttp 0 means no limit.
        limit = aiohttp.ClientTimeout(total=max(0.001, limit_s), sock_connect=CONNECT_TIMEOUT_S)
        url = f"{self._endpoint.base_url}/{path}"
        headers = self._headers()
        self.count("judge_calls", 1)
        try:
            # Not redirected: the key is for this address and no other.
            async with session.post(
                url, data=data, headers=headers, timeout=limit, allow_redirects=False
            ) as response:
                status, told = response.status, response.headers
                body = await _body(response)
        except aiohttp.ConnectionTimeoutError as error:
            raise Again(0, f"no connection to {url}: {error}") from None
        except TimeoutError:
            raise Unavailable(f"{url} did not answer within {limit_s:.1f} s") from None
        except (aiohttp.ClientError, OSError) as error:
            raise Again(0, f"{url}: {type(error).__name__}: {error}") from None
        key = headers.get("Authorization", "").removeprefix("Bearer ").encode()
        # An endpoint may repeat the key in a complaint about it, and messages are shown to callers.
        return read(status, told, body.replace(key, b"***") if key else body, url)

    def _headers(self) -> dict[str, str]:
        try:
            key = self._endpoint.key()
        except ValueError as error:
            raise Unavailable(str(error)) from None
        headers = {"Content-Type": "application/json"}
        return {**headers, "Authorization": f"Bearer {key}"} if key else headers

    def _count_tokens(self, reply: Mapping[str, Any]) -> float:
        prompt, completion, _cached = usage_of(reply)
        self.count("judge_prompt_tokens", prompt)
        self.count("judge_completion_tokens", completion)
        return float(prompt + completion)


async def _body(response: aiohttp.ClientResponse) -> bytes:
    read = bytearray()
    async for piece in response.content.iter_any():
        read += piece
        if len(read) > MAX_REPLY_BYTES:
            response.close()
            raise JudgeUnreadable(f"the answer is longer than {MAX_REPLY_BYTES} bytes")
    return bytes(read)
