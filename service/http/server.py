"""The HTTP server of a gateway, on its own port and in the gateway's loop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import resource
import socket
from collections.abc import Generator
from typing import TYPE_CHECKING

import uvicorn
from rewardplane.gateway.server import identities_of
from rewardplane.rewards.formats.gemini.reader import BadMessage
from rewardplane.wire.errors import CallError, Internal, InvalidRequest
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response as HttpResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from .cloud_run import CloudRun
from .connection import GONE, TASK, BoundedConnection
from .eval_protocol import EvalProtocol
from .facade import Answered, Facade, Handler
from .gemini import GeminiValidation
from .nemo_gym import NemoGym
from .open_instruct import OpenInstruct
from .openai import OpenAIGraders
from .openrlhf import OpenRlhf
from .remote_rm import RemoteRm
from .request import Bodies, TooLarge, error_status, json_response
from .sandbox_fusion import SandboxFusion
from .tls import certificate_of, server_context
from .ui import Ui

if TYPE_CHECKING:
    from rewardplane.access.caller import Caller
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

GEMINI_VALIDATE = (
    "/v1beta1/projects/{project}/locations/{location}/tuningJobs:validateReinforcementTuningReward"
)
_REWARDS = "/rewards/"
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
        most = limits.max_item_bytes
        gemini = GeminiValidation(validator, rewards, most)
        openai = OpenAIGraders(validator, rewards, most)
        routes = [
            Route(GEMINI_VALIDATE, self._answered(gemini.answer), methods=["POST"]),
            Route(f"{OPENAI_GRADERS}/validate", self._answered(openai.validate), methods=["POST"]),
            Route(f"{OPENAI_GRADERS}/run", self._answered(openai.run), methods=["POST"]),
            Route("/healthz", _health, methods=["GET"]),
        ]
        if ui:
            page = Ui(rewards, metrics)
            status = self._answered(page.status)
            routes += [
                Route("/ui", page.page, methods=["GET"]),
                Route("/ui/status.json", status, methods=["GET"]),
            ]
        self._posts: dict[str, Handler] = {}
        for facade in FACADES:
            handlers = facade(scorer, rewards, metrics, most).routes()
            self._posts |= {path: self._answered(handler) for path, handler in handlers.items()}
        routes += [Route(path, post, methods=["POST"]) for path, post in self._posts.items()]
        self._app = Starlette(routes=routes)
        self._app.state.bodies = Bodies(limits.max_in_flight_bytes)
        self._server: uvicorn.Server | None = None
        self._task: asyncio.Task[None] | None = None

    async def _respond(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The application. What trainers call thousandfold goes past routes and middleware.

        They cost as much as all that is done for a call of a cheap reward.
        """
        path: str = scope["path"]
        reward = path.removeprefix(_REWARDS) if path.startswith(_REWARDS) else ""
        post = self._posts.get(_REWARDS + "{reward}" if reward else path)
        if post is None or scope["method"] != "POST" or "/" in reward:
            await self._app(scope, receive, send)
            return
        scope["app"] = self._app
        scope["path_params"] = {"reward": reward} if reward else {}
        response = await post(Request(scope, receive))
        await response(scope, receive, send)

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
        config = uvicorn.Config(
            self._respond,
            backlog=BACKLOG,
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            interface="asgi3",
            server_header=False,
            ws="none",
            http=BoundedConnection,
            timeout_keep_alive=75,
        )
        if self._gate is not None and (identities := identities_of(self._gate)) is not None:
            config.load()
            config.ssl = server_context(identities)
        self._server = _Quiet(config)
        self._task = asyncio.create_task(self._server.serve([listener]))
        while not self._server.started:
            await asyncio.sleep(0.005)
            if self._task.done():
                self._task.result()
        return int(listener.getsockname()[1])

    async def stop(self, grace_s: float) -> None:
        """Stops accepting, lets what was admitted end within `grace_s`, closes."""
        if self._server is None or self._task is None:
            return
        self._server.should_exit = True
        done, _pending = await asyncio.wait((self._task,), timeout=grace_s)
        if not done:
            self._server.force_exit = True
            await asyncio.wait((self._task,))

    def _answered(self, handler: Handler) -> Handler:
        """The outermost layer: errors of a call become its status, whatever they are."""

        async def answer(request: Request) -> HttpResponse:
            request.scope[TASK] = asyncio.current_task()
            request.state.caller = None
            try:
                if self._gate is not None:
                    request.state.caller = _caller(self._gate, request)
                return await handler(request)
            except Answered as answered:
                return answered.response
            except (asyncio.CancelledError, ClientDisconnect):
                if not request.scope.get(GONE):
                    raise
                return HttpResponse(status_code=499)  # nobody reads it
            except TooLarge as error:
                return _refused(413, "TOO_LARGE", str(error), {})
            except BadMessage as error:
                return _refused(400, InvalidRequest.reason, str(error), {})
            except CallError as error:
                why = error.metadata.get("why") or error.metadata.get("quota") or error.reason
                caller = request.state.caller
                self._metrics.refused(why, caller.name if caller is not None else "")
                status, headers = error_status(error)
                return _refused(status, error.reason, error.message, headers)
            except Exception:  # noqa: BLE001 - the outermost layer: our own faults end here
                _log.exception("a request failed by our own fault")
                return _refused(500, Internal.reason, "internal error; the log has the rest", {})

        return answer


def _caller(gate: Gate, request: Request) -> Caller:
    """Who calls. Raises CallError."""
    headers = request.headers
    return gate.caller(
        headers.get("authorization"),
        lambda: certificate_of(request.scope),
        headers.get("x-forwarded-client-cert"),
    )


class _Quiet(uvicorn.Server):
    """Leaves the signals to the process that it is part of."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Captures none."""
        yield


async def _health(_request: Request) -> HttpResponse:
    return json_response({"status": "SERVING"})


def _refused(status: int, reason: str, message: str, headers: dict[str, str]) -> HttpResponse:
    # Under the names that Google's and OpenAI's clients look for.
    error = {
        "code": status,
        "status": reason,
        "type": "invalid_request_error" if status < 500 else "server_error",
        "message": message,
        "reason": reason,
        "retryable": status in (429, 503),
    }
    return json_response({"error": error}, status, headers)


def _allow_descriptors() -> None:
    """Each connection is a descriptor, and many come at once: all that the system lets us have."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
