"""What every peer of the benchmark answers: the trivial reward, and outcomes as rewardplane's."""

from __future__ import annotations

from rewardplane.v1 import reward_service_pb2 as pb

REWARD = "exact"
METHOD = "/rewardplane.v1.RewardService/Score"


def exact(text: str, gold: str) -> float:
    """1.0 when the text is the gold, white space at both ends aside, else 0.0."""
    return 1.0 if text.strip() == gold.strip() else 0.0


def answer(request: pb.ScoreRequest) -> pb.ScoreResponse:
    """One score per response, in the order sent."""
    reply = pb.ScoreResponse(request_id=request.request_id)
    reply.rewards.add(name=request.reward, version="1", digest="0" * 64)
    for group in request.groups:
        gold = group.example.references["answer"]
        outcomes = reply.groups.add().outcomes
        for response in group.responses:
            outcomes.add().score.reward = exact(response.text, gold)
    return reply
