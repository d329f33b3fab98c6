"""A model in this process that answers as it is told: for what rewards make of answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rewardplane.rewards.models.model import Completion, Head, LabelQuestion, LabelReading, Scalar
from rewardplane.rewards.models.model_facts import ModelFacts
from rewardplane.rewards.models.question import Sampling
from rewardplane.rewards.reward import Reward
from rewardplane.rewards.types import RewardFault, Usage

from .endpoint_server import text_in

USAGE = Usage(10, 1, 0, 1)
Prefer = Callable[[str], float | RewardFault]


class StubModel:
    """`prefer` gives the probability of the first label for all text that is shown, or a fault."""

    def __init__(
        self,
        prefer: Prefer = lambda text: 0.8,
        *,
        label_mass: float | None = 0.9,
        head: Head = "chat",
        read: str = "logits",
    ) -> None:
        self.prefer = prefer
        self.says: Callable[[str], str | RewardFault] = lambda text: "fine"
        self.finish_reason = "stop"
        self.label_mass = label_mass
        self.name = "stub"
        self.head: Head = head
        self.facts = ModelFacts("stub", read=read, tells_label_mass=label_mass is not None)
        self.asked: list[str] = []
        self.shown: list[Sequence[Mapping[str, Any]]] = []
        self.questions: list[LabelQuestion] = []

    async def scalar(self, messages: Sequence[Any], *, timeout_s: float) -> Scalar:
        return Scalar(1.0)

    async def labels(
        self,
        messages: Sequence[Any],
        question: LabelQuestion,
        *,
        sampling: Sampling,
        timeout_s: float,
    ) -> LabelReading:
        text = "\n".join(text_in(message["content"]) for message in messages)
        self.asked.append(text)
        self.shown.append(messages)
        self.questions.append(question)
        first = self.prefer(f"{text}\n{question.instructions}")
        if isinstance(first, RewardFault):
            raise first
        rest = (1 - first) / (len(question.labels) - 1)
        probs = {one.text: rest if n else first for n, one in enumerate(question.labels)}
        return LabelReading(probs, self.label_mass, self.facts.read, USAGE, cut_tokens=2)

    async def text(
        self,
        messages: Sequence[Any],
        *,
        sampling: Sampling,
        schema: Mapping[str, Any] | None,
        timeout_s: float,
    ) -> Completion:
        text = "\n".join(text_in(message["content"]) for message in messages)
        self.asked.append(text)
        said = self.says(text)
        if isinstance(said, RewardFault):
            raise said
        return Completion(said, self.finish_reason, USAGE)


def bound(reward: Reward, model: Any) -> Any:
    """The reward with its model, set up."""
    reward.bind(model)
    reward.setup()
    return reward
