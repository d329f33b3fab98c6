"""A resources server for NeMo Gym whose `verify` a service answers.

`resources_servers/rewardplane/app.py`::

    from rewardplane.integrations import nemo_gym

    if __name__ == "__main__":
        nemo_gym.RewardplaneResourcesServer.run_webserver()

with `reward: math` and `target: localhost:50051` in its configuration. NeMo Gym 0.7.0 (Python 3.13)
calls `await verify(body)` with the task's fields, and takes `mask_sample`, `failure_kind` and
`failure_reason` beside the reward (nemo_gym/base_resources_server.py).
"""

from __future__ import annotations

import functools
import importlib
from typing import Any, ClassVar

from rewardplane.rewards.formats.nemo_gym import row, verdict_of
from rewardplane.rewards.types import Outcome

from .remote_reward import Policy, RemoteReward

POLICIES: tuple[Policy, ...] = ("mask", "raise", "value")


def verdict(remote: RemoteReward, outcome: Outcome) -> dict[str, Any]:
    """The fields that a verify response adds to its request.

    Raises:
        ItemsFailed: the item has no reward, and `on_error` is "raise".
    """
    (reward,) = remote.settle([outcome])
    for failed in remote.failures([outcome]):
        return verdict_of(reward, failed.reason, failed.message)
    return verdict_of(reward)


def __getattr__(name: str) -> Any:
    if name in ("RewardplaneResourcesServer", "RewardplaneConfig"):
        return _classes()[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


@functools.cache
def _classes() -> dict[str, type]:
    # NeMo Gym is imported when its server asks for the class.
    server = importlib.import_module("nemo_gym.base_resources_server")
    config_base: Any = server.BaseResourcesServerConfig
    request_base: Any = server.BaseVerifyRequest
    response_base: Any = server.BaseVerifyResponse
    server_base: Any = server.SimpleResourcesServer

    class RewardplaneConfig(config_base):
        """`on_error`: "mask" (the default), "raise" answers an error, "value" gives `value`."""

        reward: str
        target: str | list[str] | None = None
        on_error: str = "mask"
        value: float | None = None
        timeout_s: float = 300.0
        rename: dict[str, str] = {}  # noqa: RUF012 - pydantic copies it

    class RewardplaneVerifyRequest(request_base):
        """The task's own fields come beside those of every request."""

        model_config: ClassVar[Any] = {**request_base.model_config, "extra": "allow"}

    class RewardplaneVerifyResponse(response_base):
        """The request and the verdict."""

        model_config: ClassVar[Any] = {**response_base.model_config, "extra": "allow"}

    class RewardplaneResourcesServer(server_base):
        """One reward of one service as a resources server."""

        config: RewardplaneConfig

        async def verify(self, body: RewardplaneVerifyRequest) -> RewardplaneVerifyResponse:
            settings = {"on_error": self.config.on_error, "timeout_s": self.config.timeout_s}
            remote = RemoteReward.of(
                self.config.reward,
                self.config.target,
                POLICIES,
                {**settings, "value": self.config.value, "rename": self.config.rename},
            )
            request: Any = body
            fields = request.model_dump(mode="json")
            prompt, text, columns = row(fields)
            outcome = await remote.score_row(prompt, text, columns)
            return RewardplaneVerifyResponse(**{**fields, **verdict(remote, outcome)})

    # FastAPI reads the annotations of `verify`, which are text, by the names of this module.
    verify: Any = RewardplaneResourcesServer.verify
    verify.__annotations__ = {
        "body": RewardplaneVerifyRequest,
        "return": RewardplaneVerifyResponse,
    }
    return {
        "RewardplaneResourcesServer": RewardplaneResourcesServer,
        "RewardplaneConfig": RewardplaneConfig,
    }
