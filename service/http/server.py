"""The HTTP server of a gateway, on its own port and in the gateway's loop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import resource
import socket
import time
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from functools import partial
from typing import TYPE_CHECKING

from rewardplane.gateway.server import identities_of
from rewardplane.replica.tasks import cancel_begun
from rewardplane.rewards.formats.gemini.reader import BadMessage
from rewardplane.wire.errors import CallError, Internal, InvalidRequest

from .cloud_run import CloudRun
from .connection import HEAD_S, Connection
from .eval_protocol import EvalProtocol
from .exchange import (
    Answer,
    Bodies,
    Handler,
    Request,
    Stop,
    Told,
    TooLarge,
    json_answer,
    refusal,
)
from .facade import Answered, Facade
from .gemini import GeminiValidation
from .nemo_gym import NemoGym
from .open_instruct import OpenInstruct
from .openai import OpenAIGraders
from .openrlhf import OpenRlhf
from .remote_rm import RemoteRm
from .request import error_status
from .sandbox_fusion import SandboxFusion
from .tls import server_context
from .ui import Ui

if TYPE_CHECKING:
    from rewardplane.access.gate import Gate
    from rewardplane.config.settings import Limits
    from rewardplane.gateway.metrics import Metrics
    from rewardplane.gateway.scorer import Scorer
    from rewardplane.gateway.served import ServedRewards
    from rewardplane.gateway.validate import Validator

_log = logging.getLogger(__name__)

BACKLOG = 16_384
"""Connections that may wait to be accepted: a step of the largest tuning job comes at once. Linux
takes `net.core.somaxconn` where that is less; those that find no place try again after a second."""
CLOSE_S = 1.0
"""How long a connection that is ended may take to be gone: a turn of the loop."""
EXPIRE_S = 1.0
"""How often connections are looked at for what has taken too long."""

GEMINI_VALIDATE = re.compile(
    "/v1beta1/projects/[^/]+/locations/[^/]+/tuningJobs:validateReinforcementTuningReward"
)
_REWARDS = re.compile("/rewards/([^/]+)")
_PAGE, _STATUS = "/ui", "/ui/status.json"
_HEALTH = "/healthz"
OPENAI_GRADERS = "/v1/fine_tuning/alpha/graders"

FACADES: tuple[type[Facade], ...] = (
    *(CloudRun, OpenRlhf, RemoteRm, OpenInstruct, NemoGym, EvalProtocol, SandboxFusion),
)
"""The contracts that are answered with one reward."""


class HttpFace:
    """The routes of the hosted contracts behind a port."""

    def __init__(
        self,
        scorer: Scorer,
        validator: Validator,
        rewards: ServedRewards,
        metrics: Metrics,
        limits: Limits,
        gate: Gate | None = None,
        *,
        ui: bool = False,
    ) -> None:
        """`gate` says who calls, and has the certificate; without it anybody may do anything.

        `ui`: there is a page to look at.
        """
        self._gate = gate
        self._metrics = metrics
        self._pages: dict[str, Handler] = {}
        self.bodies = Bodies(limits.max_in_flight_bytes)
        self.max_body_bytes = limits.max_item_bytes
        self._connections: set[Connection] = set()
        self._none_left = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._gemini = self._in_task(GeminiValidation(validator, rewards).answer)
        openai = OpenAIGraders(validator, rewards)
        self._posts: dict[str, Handler] = {
            f"{OPENAI_GRADERS}/validate": self._in_task(openai.validate),
            f"{OPENAI_GRADERS}/run": self._in_task(openai.run),
        }
        if ui:
            page = Ui(rewards, metrics)
            self._pages = {_PAGE: self._in_task(page.page), _STATUS: self._in_task(page.status)}
        for facade in FACADES:
            self._posts |= facade(scorer, rewards, metrics).handlers()
        self._server: asyncio.Server | None = None
        self._expiring: asyncio.TimerHandle | None = None
        self._date = 0, ""

    async def start(self, host: str, port: int) -> int:
        """Listens; returns the port (`port` 0: any free one).

        Raises:
            OSError: the port is taken.
        """
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.socket(family)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
            listener.close()
            raise OSError(f"cannot listen on {host}:{port}: {error}") from None
        _allow_descriptors()
        identities = None if self._gate is None else identities_of(self._gate)
        self._server = await asyncio.get_running_loop().create_server(
            lambda: Connection(self),
            sock=listener,
            backlog=BACKLOG,
            ssl=None if identities is None else server_context(identities),
            ssl_handshake_timeout=None if identities is None else HEAD_S,
        )
        self._expire()
        return int(listener.getsockname()[1])

    async def stop(self, grace_s: float) -> None:
        """Stops accepting, lets what was admitted end within `grace_s`, closes."""
        if self._server is None or self._expiring is None:
            return
        self._server.close()
        for connection in list(self._connections):
            connection.stop()
        await self._emptied(grace_s)
        for connection in list(self._connections):
            connection.abort()
        await self._emptied(CLOSE_S)  # each stops what runs for it
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._expiring.cancel()

    async def _emptied(self, within_s: float) -> None:
        """Waits until no connection is left, or the time is over."""
        if self._connections:
            self._none_left.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._none_left.wait(), within_s)

    # ---- what connections ask ------------------------------------------------------------------

    def made(self, connection: Connection) -> None:
        """See `Port`."""
        self._connections.add(connection)

    def lost(self, connection: Connection) -> None:
        """See `Port`."""
        self._connections.discard(connection)
        if not self._connections:
            self._none_left.set()

    def refused(self, request: Request) -> Answer | None:
        """See `Port`: whether there is such a URL, and who calls."""
        path, method = request.path, request.method
        if path == _HEALTH:
            request.handler = _health
            return None if method in ("GET", "HEAD") else _not_allowed("GET, HEAD")
        handler = self._posts.get(path)
        if handler is None and (named := _REWARDS.fullmatch(path)):
            handler, request.reward = self._posts["/rewards/{reward}"], named[1]
        elif handler is None and GEMINI_VALIDATE.fullmatch(path):
            handler = self._gemini
        if path in self._pages:
            if method not in ("GET", "HEAD"):
                return _not_allowed("GET, HEAD")
            request.handler = self._pages[path]
            return None if path == _PAGE else self._known(request)
        if handler is None:
            return refusal(404, "NOT_FOUND", f"there is nothing at {path[:200]}")
        if method != "POST":
            return _not_allowed("POST")
        request.handler = handler
        return self._known(request)

    def _known(self, request: Request) -> Answer | None:
        """Finds out who calls; the refusal of who may not."""
        if self._gate is None:
            return None
        try:
            request.caller = self._gate.caller(
                request.header("authorization"),
                lambda: request.certificate,
                request.header("x-forwarded-client-cert"),
            )
        except Exception as error:  # noqa: BLE001 - see `refusal_of`
            return self.refusal_of(error, request)
        return None

    def answer(self, request: Request, done: Callable[[Answer], None]) -> Stop | None:
        """See `Port`."""

        def told(result: Answer | Exception) -> None:
            done(result if isinstance(result, Answer) else self.refusal_of(result, request))

        try:
            return request.handler(request, told)
        except Exception as error:  # noqa: BLE001 - see `refusal_of`
            done(self.refusal_of(error, request))
            return None

    def _in_task(self, answer: Callable[[Request], Awaitable[Answer]]) -> Handler:
        """What answers in a task: where that waits for more than one call."""

        def begin(request: Request, told: Told) -> Stop:
            task = asyncio.ensure_future(_answering(answer(request), told))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            return partial(cancel_begun, task)

        return begin

    def refusal_of(self, error: Exception, request: Request) -> Answer:
        """See `Port`. The outermost layer: our own faults end here."""
        match error:
            case Answered():
                return error.answer
            case TooLarge():
                return refusal(413, "TOO_LARGE", str(error))
            case BadMessage():
                return refusal(400, InvalidRequest.reason, str(error))
            case RecursionError():
                return refusal(400, InvalidRequest.reason, "the body is nested too deeply")
            case CallError():
                why = error.metadata.get("why") or error.metadata.get("quota") or error.reason
                caller = request.caller
                self._metrics.refused(why, caller.name if caller is not None else "")
                status, headers = error_status(error)
                return refusal(status, error.reason, error.message, headers)
            case _:
                _log.error("a request failed by our own fault", exc_info=error)
                return refusal(500, Internal.reason, "internal error; the log has the rest")

    def date(self) -> str:
        """See `Port`."""
        now_s = int(time.time())
        if now_s != self._date[0]:
            self._date = now_s, formatdate(now_s, usegmt=True)
        return self._date[1]

    def _expire(self) -> None:
        self._expiring = asyncio.get_running_loop().call_later(EXPIRE_S, self._expire)
        now_s = time.monotonic()
        for connection in list(self._connections):
            try:
                connection.expire(now_s)
            except Exception:  # noqa: BLE001 - our fault: the others are looked at all the same
                _log.exception("a connection is ended by our own fault")
                connection.abort()


async def _answering(answer: Awaitable[Answer], told: Told) -> None:
    try:
        result = await answer
    except Exception as error:  # noqa: BLE001 - told to who waits for it
        told(error)
    except BaseException:
        # Nobody waits any more, as a rule; whoever does is to have an answer all the same.
        told(refusal(500, Internal.reason, "the request was cancelled"))
        raise
    else:
        told(result)


def _health(_request: Request, told: Told) -> None:
    told(json_answer({"status": "SERVING"}))


def _not_allowed(methods: str) -> Answer:
    return refusal(405, "METHOD_NOT_ALLOWED", f"want {methods}", {"allow": methods})


def _allow_descriptors() -> None:
    """Each connection is a descriptor, and many come at once: all that the system lets us have."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
