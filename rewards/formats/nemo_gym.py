"""What NeMo Gym sends to be verified, and what it takes for a verdict (0.7.0)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from ..types import Reason

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


def verdict_of(
    reward: float | None, reason: Reason | None = None, message: str = ""
) -> dict[str, Any]:
    """The fields that a verify response adds to its request.

    A masked sample, one whose reward is None, has the reward 0.0, which NeMo Gym does not read.
    `reason`: why there is none of the reward's own.
    """
    return {
        "reward": 0.0 if reward is None else reward,
        "mask_sample": reward is None,
        "failure_kind": None if reason is None else FAILURE_KINDS.get(reason, "verifier_error"),
        "failure_reason": None if reason is None else f"{reason.name} {message}",
    }


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
