"""What is a refusal in words, and what only sounds like one."""

from __future__ import annotations

import pytest
from rewardplane.rewards.models.refusal import is_refusal


@pytest.mark.parametrize(
    "text",
    [
        "I cannot help with that.",
        "I can't assist with this request.",
        "I can\u2019t judge that.",
        "I'm sorry, but I can't help with that.",
        "I\u2019m sorry, I can\u2019t assist.",
        "Sorry, I won't rate that.",
        "I apologize, but I am unable to provide a rating.",
        "Unfortunately, I am not able to evaluate this response.",
        "As an AI language model, I cannot score that.",
        "As an AI, I don't rate such texts.",
        "I must decline.",
        "I have to refuse to judge this.",
        "I decline to answer.",
        "I cannot say.",
        "I can't tell.",
        "**I cannot comply with that.**",
        "  \n I am unable\nto judge this.",
        "We are not able to help you.",
        "This request violates our policies.",
        "I'm not comfortable rating this.",
        "抱歉，我无法评价。",
        "我不能回答这个问题。",
    ],
)
def test_refusals(text: str) -> None:
    assert is_refusal(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Yes",
        "I",
        "0.5",
        "I think that it is right.",
        "I can't find any fault: 1.0",
        "I cannot see a mistake here. Yes",
        "I will rate it 7.",
        "Sorry state of an answer: 2",
        "Unfortunately the answer is wrong. 0",
        "I'm sorry, the answer is wrong.",
        "The response cannot help the user: 2",
        "The model says: I cannot help with that. So it refuses: <v>No</v>",
        "As an AI answer it is good: 8",
        "Ice cream",
        "I cannot help with that. " * 100,
    ],
)
def test_no_refusals(text: str) -> None:
    assert not is_refusal(text)
