"""Counts the outcomes of calls in the figures of their rewards, by columns."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence

from rewardplane.replica.segment import SCORED
from rewardplane.rewards.types import Reason

from .call import LEFT_OUT, Call, Piece
from .figures import RewardFigures
from .served import ServedReward

REWARD_BOUNDS = (-1.0, -0.75, -0.5, -0.25, -0.1, -1e-9, 0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)
"""Upper bounds of the bins of rewards; the last bin has none."""


def count_score(call: Call, figures: RewardFigures) -> None:
    """The one item of a call, which has a score."""
    reward = call.rewards[0]
    figures.execution.add(call.elapsed_us[0])
    figures.items["SCORED"] += 1
    figures.rewards[bisect_left(REWARD_BOUNDS, reward)] += 1
    if reward < 0:
        figures.loss -= reward
    else:
        figures.gain += reward
    figures.groups += 1
    if call.isolation[0]:
        figures.isolation = call.isolation[0]
    figures.queue.add(call.queue_us[0])


def count_piece(call: Call, piece: Piece, failed: Mapping[Reason, int]) -> None:
    """The items of a piece, and the groups that end in it; `failed`: how many for which reason."""
    figures = piece.served.figures
    first, end = piece.first, piece.end
    states = call.states[first:end]
    if call.sparse and states.count(LEFT_OUT) == end - first:
        return
    rewards: Sequence[float] = call.rewards[first:end]
    elapsed_us: Sequence[int] = call.elapsed_us[first:end]
    if call.sparse:
        elapsed_us = [us for us, s in zip(elapsed_us, states, strict=True) if s != LEFT_OUT]
    figures.execution.add_all(elapsed_us)
    if failed or call.sparse:
        for reason, count in failed.items():
            figures.items[reason.name] += count
        rewards = [r for r, s in zip(rewards, states, strict=True) if s == SCORED]
    figures.items["SCORED"] += len(rewards)
    if len(rewards) == 1:
        figures.rewards[bisect_left(REWARD_BOUNDS, rewards[0])] += 1
    else:  # rewards of a batch are mostly few different numbers
        for value, times in Counter(rewards).items():
            figures.rewards[bisect_left(REWARD_BOUNDS, value)] += times
    total = sum(rewards)
    loss = -sum(r for r in rewards if r < 0) if rewards and min(rewards) < 0 else 0.0
    figures.gain += total + loss
    figures.loss += loss
    if piece.groups:
        _count_groups(call, piece.served, piece.groups)


def _count_groups(call: Call, served: ServedReward, groups: range) -> None:
    figures = served.figures
    figures.groups += len(groups)
    if ran := call.isolation[groups.start : groups.stop].replace(b"\0", b""):
        goes_on = groups.start > 0 and call.served[groups.start - 1] is served
        figures.isolation = min((*ran, figures.isolation)) if goes_on else min(ran)
    offsets, queue_us = call.offsets, call.queue_us[groups.start : groups.stop]
    begin, end = offsets[groups.start], offsets[groups.stop]
    if end - begin == len(groups):  # of one item each
        figures.queue.add_all(queue_us)
        return
    waited = any(queue_us)
    if not waited:
        figures.queue.add(0, end - begin)
    rewards, whole = call.rewards, not call.extras and not call.sparse
    for group in groups:
        begin, end = offsets[group], offsets[group + 1]
        size = end - begin
        if waited:
            figures.queue.add(call.queue_us[group], size)
        if size > 1 and (whole or call.states.count(SCORED, begin, end) == size):
            figures.zero_variance_groups += rewards[begin:end].count(rewards[begin]) == size
