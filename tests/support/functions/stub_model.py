"""A model for tests of what surrounds models: numbers from the text, and faults on command.

What the last message holds decides: `crash` ends the process, `hang` never answers, `nan` gives no
number, `die` is the end of its engine, `slow` takes ten times as long. It tells in the file of
`log` what it was asked, one line each, with its process's id.
"""

from __future__ import annotations

import asyncio
import math
import os
import signal
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rewardplane.rewards.models.model import Completion, Head, LabelQuestion, LabelReading, Scalar
from rewardplane.rewards.models.model_facts import ModelFacts
from rewardplane.rewards.models.question import Sampling
from rewardplane.rewards.text.chat import Message
from rewardplane.rewards.types import InvalidResult, Usage


def number_of(text: str) -> float:
    """What the stub says of a text."""
    return zlib.crc32(text.encode()) % 1000 / 1000


class StubModel:
    """Implements `Model` without weights."""

    def __init__(
        self,
        name: str,
        head: Head = "scalar",
        latency_s: float = 0.0,
        log: str = "",
        weights: str = "one",
        fails: str = "",
        tells_label_mass: bool = True,
        noise: float = 0.0,
        weights_file: str = "",
    ) -> None:
        self.name = name
        self.head = head
        self._latency_s = latency_s
        self._log = Path(log) if log else None
        self._fails = fails
        self._noise = noise
        self._readings = 0
        self.broken = self.dead = ""
        self.facts = ModelFacts(
            source="stub",
            weights_digest=Path(weights_file).read_text() if weights_file else weights,
            engine="stub",
            dtype="float32",
            read="logits",
            tells_label_mass=tells_label_mass,
        )

    async def start(self) -> None:
        if self._fails:
            raise RuntimeError(self._fails)

    async def close(self) -> None:
        pass

    async def scalar(self, messages: Sequence[Message], *, timeout_s: float) -> Scalar:
        return Scalar(await self._number(messages), 10)

    async def labels(
        self,
        messages: Sequence[Message],
        question: LabelQuestion,
        *,
        sampling: Sampling,
        timeout_s: float,
    ) -> LabelReading:
        first = await self._number(messages)
        rest = (1 - first) / (len(question.labels) - 1)
        probs = {label.text: rest for label in question.labels}
        probs[question.labels[0].text] = first
        return LabelReading(probs, 0.9, "logits", Usage(10, 1, 0, 1))

    async def text(
        self,
        messages: Sequence[Message],
        *,
        sampling: Sampling,
        schema: Mapping[str, Any] | None,
        timeout_s: float,
    ) -> Completion:
        return Completion(str(await self._number(messages)), usage=Usage(10, 1, 0, 1))

    async def _number(self, messages: Sequence[Message]) -> float:
        text = str(messages[-1]["content"])
        if self._log is not None:
            with self._log.open("a") as file:
                file.write(f"{os.getpid()} {text}\n")
        if "crash" in text:
            os.kill(os.getpid(), signal.SIGKILL)
        await asyncio.sleep(
            3600 if "hang" in text else self._latency_s * (10 if "slow" in text else 1)
        )
        if "die" in text:
            self.broken = self.dead = "its engine is gone"
        if self.dead:
            raise RuntimeError(self.dead)
        if "nan" in text:
            raise InvalidResult(f"the model's number is {math.nan}")
        self._readings += 1
        return number_of(text) + self._noise * (self._readings > 2)
