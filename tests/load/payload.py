"""Requests of distinct items, serialised ahead, and the check of their answers."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from rewardplane.v1 import reward_service_pb2 as pb

from .scoring import REWARD

GROUP_SIZE = 16
RESPONSE_BYTES = 2_048
_TEXT = """
so then the sum of both is twice what she had before and we add a third of it to get
how many are left after he gave half of the rest away which makes each of them worth
"""


@dataclass(frozen=True, slots=True)
class Shape:
    """How the load comes: items per call, and calls in flight."""

    items: int
    in_flight: int

    @classmethod
    def parse(cls, text: str) -> Shape:
        """From "16x8": 16 items a call, 8 calls in flight."""
        items, in_flight = text.split("x")
        return cls(int(items), int(in_flight))

    def __str__(self) -> str:
        return f"{self.items}x{self.in_flight}"


@dataclass(frozen=True, slots=True)
class Payload:
    """Serialised calls; `right[i]` has one byte an item of call `i`: 1 where it is right."""

    calls: Sequence[bytes]
    right: Sequence[bytes]

    def wrong_answers(self, answers: Sequence[bytes]) -> int:
        """How many items of the first calls got no score or another than they should have."""
        wrong = 0
        for want, raw in zip(self.right, answers, strict=False):
            got = bytearray()
            for group in pb.ScoreResponse.FromString(raw).groups:
                for outcome in group.outcomes:
                    scored = outcome.WhichOneof("result") == "score"
                    got.append(int(outcome.score.reward) if scored else 255)
            wrong += abs(len(want) - len(got)) + sum(
                a != b for a, b in zip(want, got, strict=False)
            )
        return wrong


def build(shape: Shape, calls: int, seed: int, reward: str = REWARD) -> Payload:
    """`calls` calls of `shape`, whose items differ from each other and from those of other seeds.

    A group has 16 responses (a call of fewer items: as many as it has) of 2 KB. Of every 16 items
    about one is right, at most one a group: as the whole response is the answer, two right ones
    would be the same item.
    """
    rng = random.Random(seed)
    words = _TEXT.split()
    filler = " ".join(rng.choice(words) for _ in range(40_000))
    raw: list[bytes] = []
    right: list[bytes] = []
    serial = 0
    for call in range(calls):
        request = pb.ScoreRequest(reward=reward, request_id=f"{seed}-{call}", step=call)
        marks = bytearray(shape.items)
        for start in range(0, shape.items, GROUP_SIZE):
            group = request.groups.add()
            gold = str(rng.randrange(1_000_000))
            chosen = start + rng.randrange(GROUP_SIZE)
            for i in range(start, min(start + GROUP_SIZE, shape.items)):
                head = f"Answer {seed}-{serial}: "
                text = head + _slice(filler, rng, RESPONSE_BYTES - len(head))
                group.responses.add(text=text, finish_reason=pb.FINISH_REASON_STOP)
                if i == chosen:
                    gold, marks[i] = text, 1
                serial += 1
            example = group.example
            example.references["answer"] = gold
            example.contents.add(
                role="user"
            ).parts.add().text = f"Question {seed}-{call}-{start}: {_slice(filler, rng, 240)}?"
        raw.append(request.SerializeToString())
        right.append(bytes(marks))
    return Payload(raw, right)


def _slice(text: str, rng: random.Random, length: int) -> str:
    start = int(rng.random() * (len(text) - length))
    return text[start : start + length]
