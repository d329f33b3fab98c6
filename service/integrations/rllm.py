"""An evaluator for rllm.

    import rllm
    from rewardplane.integrations.rllm import evaluate_fn

    math = rllm.evaluator(evaluate_fn("math", "localhost:50051"))

rllm 9beb6e0f calls `fn(task, episode)` without awaiting it (rllm/eval/rollout_decorator.py,
`EvaluatorFn`).
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, Unpack, cast

from rewardplane.client.target import Target
from rewardplane.rewards.types import Score

from .columns import mapping
from .named_function import NamedFunction
from .remote_reward import AdapterArgs, Policy, RemoteReward

POLICIES: tuple[Policy, ...] = ("raise", "value")


class RllmArgs(AdapterArgs, total=False):
    """The keyword arguments of `evaluate_fn`; `on_error` is "raise" by default."""

    correct_above: float
    """A response is correct where its reward is above this; 0."""


def evaluate_fn(
    reward: str, target: Target | None = None, **args: Unpack[RllmArgs]
) -> EvaluateFunction:
    """A function for `rllm.evaluator`.

    The columns are those of the task, or of its `metadata`. `on_error`: "raise" (the default)
    raises, "value" gives `value`.

    Raises:
        ValueError: the target or a setting is malformed.
    """
    settings: dict[str, Any] = dict(args)
    correct_above = settings.pop("correct_above", 0.0)
    return EvaluateFunction(RemoteReward.of(reward, target, POLICIES, settings), correct_above)


class EvaluateFunction(NamedFunction):
    """What `evaluate_fn` makes."""

    def __init__(self, remote: RemoteReward, correct_above: float = 0.0) -> None:
        super().__init__(remote)
        self.correct_above = correct_above

    def __call__(self, task: Any, episode: Any) -> Any:
        """Rllm's `EvalOutput`: the reward, and a signal for each component.

        Raises:
            ItemsFailed: it has no reward, and `on_error` is "raise".
            CallError: the call failed as a whole.
        """
        types: Any = importlib.import_module("rllm.eval.types")
        prompt, columns = _row(task)
        outcome = self.remote.score_row_sync(
            prompt, answer_text(episode), columns, include_components=True
        )
        reward = self.remote.settle_one(outcome)
        if isinstance(outcome, Score):
            signals = [types.Signal(name=k, value=v) for k, v in outcome.components.items()]
            return types.EvalOutput(reward, reward > self.correct_above, signals, {})
        failure = {"reason": outcome.reason.name, "message": outcome.message}
        return types.EvalOutput(reward, False, [], {"rewardplane": failure})


def _row(task: Any) -> tuple[Any, dict[str, Any]]:
    if isinstance(task, Mapping):
        columns = dict(cast("Mapping[str, Any]", task))
        return columns.get("question") or columns.get("prompt"), columns
    return task.instruction, dict(task.metadata)


def answer_text(episode: Any) -> str:
    """The answer of an episode: its artifact "answer", else what its last trajectory ended with.

    The order is that of rllm's own graders (rllm/eval/reward_fns/_helpers.py).
    """
    artifacts = mapping(getattr(episode, "artifacts", None))
    if "answer" in artifacts:
        return str(artifacts["answer"])
    trajectories = list(getattr(episode, "trajectories", None) or ())
    if not trajectories:
        return ""
    last = trajectories[-1]
    steps = list(getattr(last, "steps", None) or ())
    said = [getattr(last, "output", None), getattr(steps[-1], "output", None) if steps else None]
    said += [getattr(step, "model_response", None) for step in reversed(steps)]
    return next((str(text) for text in said if text), "")
