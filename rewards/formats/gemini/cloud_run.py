"""Cloud Run: the reward of an HTTP service of the user's.

=========================== ======================= ===========================================
what comes                  again?                  if it stays so
=========================== ======================= ===========================================
no connection, no answer    after each `backoff_s`  Unavailable
408, 425, 5xx               after each `backoff_s`  Unavailable
429                         after each `backoff_s`  RateLimited
401, 403, 404, redirects    no                      Unavailable: the operator's to mend
any other status            no                      InvalidInput
200 without a finite reward no                      InvalidResult
=========================== ======================= ===========================================

No try starts that the item's time has no room for.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, cast

from ...deadline import left_s
from ...result import plain, shown
from ...text.protojson import example_dict
from ...types import (
    Example,
    InvalidInput,
    InvalidResult,
    RateLimited,
    Response,
    RewardFault,
    Unavailable,
)
from .options import CloudRun
from .reader import read_float
from .token import Tokens

if TYPE_CHECKING:
    import aiohttp

MAX_REPLY_BYTES = 2**20
KEEP_ALIVE_S = 60.0

_OPERATOR = frozenset({*range(300, 400), 401, 403, 404, 405, 407})
_AGAIN = frozenset({408, 425, 429, *range(500, 600)})


@dataclass(slots=True, frozen=True)
class CloudRunReward:
    """What the service answers: a finite reward, not clipped, and words for the user."""

    reward: float
    aux_info: str = ""


class _Again(Exception):
    """A try that failed and may be worth another; with what it ends in if not."""

    def __init__(self, fault: RewardFault) -> None:
        super().__init__(str(fault))
        self.fault = fault


class Lines:
    """The connections of one event loop to one service. Any number of calls may wait."""

    def __init__(self, uri: str, options: CloudRun) -> None:
        import aiohttp  # a tenth of a second, which listing the kinds must not cost

        self._uri = uri
        self._options = options
        self._places = asyncio.Semaphore(options.concurrency)
        self._tokens = None if options.token is None else Tokens(options.token, uri)
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE_S)
        self._session = aiohttp.ClientSession(connector=connector)
        self.retries = 0

    async def ask(
        self, example: Example, response: Response, content: Mapping[str, Any]
    ) -> CloudRunReward:
        """The reward of an item.

        Raises:
            RewardFault: see the module.
        """
        body: dict[str, Any] = {"example": example_dict(example, response), "response": content}
        if self._options.metadata:
            body["metadata"] = dict(self._options.metadata)
        data = json.dumps(body, separators=(",", ":")).encode("utf-8", "replace")
        waits = iter(self._options.backoff_s)
        while True:
            try:
                async with self._places:
                    return reward_of(await self._try(data))
            except _Again as error:
                wait_s = next(waits, None)
                if wait_s is None or wait_s >= left_s():
                    raise error.fault from None
            self.retries += 1
            await asyncio.sleep(wait_s)

    async def close(self) -> None:
        """Closes the connections."""
        await self._session.close()

    async def _try(self, data: bytes) -> bytes:
        import aiohttp

        headers = {"Content-Type": "application/json"}
        if self._tokens is not None:
            headers["Authorization"] = f"Bearer {await self._tokens.take(self._session)}"
        try:
            # Not redirected: the token is for this address and no other.
            async with self._session.post(
                self._uri,
                data=data,
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=self._options.timeout_s),
                allow_redirects=False,
            ) as answer:
                body = await _read(answer.content)
                status = answer.status
        except TimeoutError:
            raise _Again(
                Unavailable(f"{self._uri} did not answer within {self._options.timeout_s:g} s")
            ) from None
        except aiohttp.ClientError as error:
            raise _Again(Unavailable(f"{self._uri}: {error!r}")) from None
        if status != 200:
            self._refuse(status, body)
        return body

    def _refuse(self, status: int, body: bytes) -> NoReturn:
        told = f"{self._uri} answered {status}: {plain(body[:500].decode('utf-8', 'replace'), 300)}"
        if status == 429:
            raise _Again(RateLimited(told))
        if status in _AGAIN:
            raise _Again(Unavailable(told))
        if status in (401, 403):
            told += " (the caller needs roles/run.invoker)"
        raise (Unavailable if status in _OPERATOR else InvalidInput)(told)


def reward_of(body: bytes) -> CloudRunReward:
    """The reward that a service's answer holds; other fields of it are ignored.

    Raises:
        InvalidResult: it holds none that is finite.
    """
    try:
        answer: Any = json.loads(body)
    except (ValueError, RecursionError):
        raise InvalidResult(f"the answer is no JSON: {shown(body[:200])}") from None
    fields = cast("dict[str, Any]", answer) if isinstance(answer, dict) else {}
    if "reward" not in fields:
        raise InvalidResult(f'want {{"reward": number}}, not {shown(body[:200])}')
    reward = read_float(fields["reward"])
    if reward is None or not math.isfinite(reward):
        raise InvalidResult(f"the reward is {shown(fields['reward'])}, which is no finite number")
    told = fields.get("user_requested_aux_info")
    if told is None:
        return CloudRunReward(reward)
    return CloudRunReward(reward, told if isinstance(told, str) else json.dumps(told))


async def _read(content: aiohttp.StreamReader) -> bytes:
    pieces: list[bytes] = []
    size = 0
    async for piece in content.iter_any():
        size += len(piece)
        if size > MAX_REPLY_BYTES:
            raise InvalidResult(f"the answer is longer than {MAX_REPLY_BYTES} bytes")
        pieces.append(piece)
    return b"".join(pieces)
