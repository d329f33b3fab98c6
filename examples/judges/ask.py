"""Asks the judges of rewards.yaml about two groups of responses, and shows what they say.

python examples/judges/ask.py [host:port]
"""

from __future__ import annotations

import sys

from rewardplane.client import SyncRewardClient
from rewardplane.rewards import Content, Example, Group, Part, Response, Score

CASES = {
    ("What is the capital of France?", "Paris"): [
        "The capital of France is Paris.",
        "The capital of France is Berlin.",
        "Why would anybody ask that? Look it up, you fool.",
        "banana banana banana",
    ],
    ("What is 7 times 6?", "42"): [
        "7 times 6 is 42.",
        "7 times 6 is 36.",
        "Seven times",
        "The weather is nice today.",
    ],
}


def main() -> None:
    """Scores the cases with each reward."""
    target = sys.argv[1] if len(sys.argv) > 1 else "localhost:50051"
    groups = [
        Group(
            Example([Content("user", [Part(prompt)])], {"answer": answer}),
            [Response(text) for text in texts],
        )
        for (prompt, answer), texts in CASES.items()
    ]
    with SyncRewardClient(target) as client:
        for reward in ("helpful", "correct", "better", "report"):
            scores = client.score(
                reward, groups, include_components=True, include_judgements=True, timeout_s=120
            )
            print(f"\n{reward}")
            for group, outcomes in zip(groups, scores, strict=True):
                for response, outcome in zip(group.responses, outcomes, strict=True):
                    print(f"  {told(outcome)}  {response.text}")
            taken = sum(
                one.usage.prompt_tokens for o in scores for one in o if isinstance(one, Score)
            )
            print(f"  {taken} tokens read")


def told(outcome: object) -> str:
    """A line about one outcome."""
    if not isinstance(outcome, Score):
        return f"no reward: {outcome}"
    parts = ", ".join(f"{name} {value:.2f}" for name, value in outcome.components.items())
    return f"{outcome.reward:6.3f}  ({parts})"


if __name__ == "__main__":
    main()
