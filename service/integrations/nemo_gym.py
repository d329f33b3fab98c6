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
from collections.abc import Mapping
from typing import Any, ClassVar, cast

from rewardplane.rewards.types import Outcome, Reason

from .remote_reward import Policy, RemoteReward

POLICIES: tuple[Policy, ...] = ("mask", "raise", "value")

FAILURE_KINDS: Mapping[Reason, str] = {
    Reason.UNAVAILABLE: "provider_unavailable",
    Reason.RATE_LIMITED: "provider_quota_exhausted",
    Reason.OUT_OF_MEMORY: "provider_oom_killed",
    Reason.JUDGE_UNREADABLE: "judge_unparseable",
    Reason.JUDGE_REFUSED: "judge_failed",
    Reason.CANCELLED: "cancelled",
}
"""NeMo Gym's names (nemo_gym/failure_kinds.py); every other reason is a "verifier_error"."""

NOT_SENT = frozenset({"responses_create_params", "response", "agent_ref", "instance_config"})


def verdict(remote: RemoteReward, outcome: Outcome) -> dict[str, Any]:
    """The fields that a verify response adds to its request.

    A masked sample has the reward 0.0, which NeMo Gym does not read.

    Raises:
        ItemsFailed: the item has no reward, and `on_error` is "raise".
    """
    (reward,) = remote.settle([outcome])
    failed = remote.failures([outcome])
    fields: dict[str, Any] = {
        "reward": 0.0 if reward is None else reward,
        "mask_sample": reward is None,
        "failure_kind": None,
        "failure_reason": None,
    }
    if failed:
        fields["failure_kind"] = FAILURE_KINDS.get(failed[0].reason, "verifier_error")
        fields["failure_reason"] = f"{failed[0].reason.name} {failed[0].message}"
    return fields


def row(body: Mapping[str, Any]) -> tuple[Any, str, dict[str, Any]]:
    """The prompt, the response's text and the columns of a verify request, as plain JSON values."""
    params = cast("Mapping[str, Any]", body.get("responses_create_params") or {})
    prompt = _messages(params)
    text = _output_text(cast("Mapping[str, Any]", body.get("response") or {}))
    columns = {k: v for k, v in body.items() if k not in NOT_SENT and not k.startswith("_ng_")}
    return prompt, text, columns


def _messages(params: Mapping[str, Any]) -> Any:
    said = params.get("input")
    instructions = params.get("instructions")
    messages: list[Any] = []
    if instructions:
        messages.append({"role": "system", "content": instructions})
    if isinstance(said, str):
        messages.append({"role": "user", "content": said})
    else:
        # Items of a Responses input that are no messages (calls, reasoning) are not the prompt.
        items = cast("list[Mapping[str, Any]]", said or [])
        messages += [{"role": i["role"], "content": i["content"]} for i in items if "role" in i]
    return messages


def _output_text(response: Mapping[str, Any]) -> str:
    texts: list[str] = []
    for item in cast("list[Mapping[str, Any]]", response.get("output") or []):
        if item.get("type") == "message":
            parts = cast("list[Mapping[str, Any]]", item.get("content") or [])
            texts += [str(part["text"]) for part in parts if part.get("type") == "output_text"]
    return "".join(texts)


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
