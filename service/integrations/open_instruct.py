"""A verifier for open-instruct, found by the name of the data set.

    from rewardplane.integrations.open_instruct import verifier

    Math = verifier("math", "localhost:50051", name="rewardplane_math")

imported before `build_all_verifiers` runs; rows with `dataset: rewardplane_math` are scored by it.
open-instruct e6c3044aa makes every subclass of `VerifierFunction` and awaits its `async_call`
(open_instruct/ground_truth_utils.py); an exception ends the batch.
"""

from __future__ import annotations

import importlib
from typing import Any, Unpack

from rewardplane.client.target import Target

from .remote_reward import AdapterArgs, Policy, RemoteReward

POLICIES: tuple[Policy, ...] = ("raise", "value")


class OpenInstructArgs(AdapterArgs, total=False):
    """The keyword arguments of `verifier`; `on_error` is "raise" by default."""

    gold: str
    """The reference that a label becomes; "answer"."""
    weight: float
    """The weight of the verifier; 1."""


def verifier(reward: str, target: Target | None = None, **args: Unpack[OpenInstructArgs]) -> type:
    """A subclass of open-instruct's `VerifierFunction`; keep it, so that it is found.

    `name` is the data set's `dataset`. `on_error`: "raise" (the default), or "value" with `value`.

    Raises:
        ValueError: the target or a setting is malformed.
    """
    # open-instruct is imported when its verifier is made.
    utils = importlib.import_module("open_instruct.ground_truth_utils")
    base: Any = utils.VerifierFunction
    settings: dict[str, Any] = dict(args)
    gold = settings.pop("gold", "answer")
    weight = settings.pop("weight", 1.0)
    remote = RemoteReward.of(reward, target, POLICIES, settings)

    class RewardplaneVerifier(base):
        """One reward of one service."""

        def __init__(self, verifier_config: Any = None) -> None:
            base.__init__(self, remote.label, weight=weight, verifier_config=verifier_config)

        async def async_call(
            self,
            tokenized_prediction: Any,
            prediction: str,
            label: Any,
            query: str | None = None,
            rollout_state: Any = None,
        ) -> Any:
            del rollout_state
            outcome = await remote.score_row(
                query, prediction, {gold: label}, token_count=_count(tokenized_prediction)
            )
            return utils.VerificationResult(score=remote.settle_one(outcome))

        def __call__(
            self,
            tokenized_prediction: Any,
            prediction: str,
            label: Any,
            query: str | None = None,
            rollout_state: Any = None,
        ) -> Any:
            del rollout_state
            outcome = remote.score_row_sync(
                query, prediction, {gold: label}, token_count=_count(tokenized_prediction)
            )
            return utils.VerificationResult(score=remote.settle_one(outcome))

    return RewardplaneVerifier


def _count(tokens: Any) -> int | None:
    return None if tokens is None else len(tokens)
