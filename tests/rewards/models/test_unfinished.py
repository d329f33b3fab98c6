"""What is no whole answer, or not of the question or the model that was asked, is no number."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from rewardplane.rewards.http.endpoint import Endpoint
from rewardplane.rewards.models.completion import JudgeCutOff, is_cut, text_of
from rewardplane.rewards.models.model import Completion, Label, LabelQuestion
from rewardplane.rewards.models.model_judge import ModelJudge
from rewardplane.rewards.models.openai_chat import OpenAIChat
from rewardplane.rewards.models.question import Ask, Option, Question, Sampling
from rewardplane.rewards.models.wires import classify, decisions
from rewardplane.rewards.types import JudgeRefused, JudgeUnreadable, RewardFault, Usage

CHOICE = Question("choice", (Option("Yes", 1.0), Option("No", 0.0)))
YES_NO = LabelQuestion("predicate", "Good?", (Label("Yes", 1.0), Label("No", 0.0)))


def reply(finish: Any, text: str = '{"steps": [], "result": "Yes"}') -> dict[str, Any]:
    message = {"role": "assistant", "content": text}
    return {"choices": [{"index": 0, "message": message, "finish_reason": finish}]}


@pytest.mark.parametrize("finish", ["stop", None, "", "STOP", "end_turn", "eos_token"])
def test_an_answer_that_ended_by_itself_counts(finish: Any) -> None:
    assert text_of(reply(finish)).endswith('"Yes"}')
    assert not is_cut(reply(finish))


@pytest.mark.parametrize("finish", ["length", "LENGTH", "max_tokens", "MAX_TOKENS"])
def test_one_that_was_cut_off_does_not(finish: str) -> None:
    with pytest.raises(JudgeCutOff):
        text_of(reply(finish))
    assert text_of(reply(finish), may_be_cut=True)
    assert is_cut(reply(finish))


@pytest.mark.parametrize(
    "finish",
    ["content_filter", "SAFETY", "content_filter: RECITATION", "PROHIBITED_CONTENT", "refusal"],
)
def test_one_that_a_filter_ended_is_a_refusal(finish: str) -> None:
    with pytest.raises(JudgeRefused):
        text_of(reply(finish), may_be_cut=True)


@pytest.mark.parametrize("finish", ["abort", "error", "tool_calls", "malformed", 7, ["stop"]])
def test_one_that_something_else_ended_is_unreadable(finish: Any) -> None:
    """The half of it that came may hold a number."""
    for may_be_cut in (False, True):
        with pytest.raises(JudgeUnreadable, match="not by itself"):
            text_of(reply(finish), may_be_cut=may_be_cut)


class Half:
    """A model of one's own whose answers end as it says."""

    name = "half"

    def __init__(self, finish: str) -> None:
        self.finish = finish

    async def text(self, *_: Any, **__: Any) -> Completion:
        return Completion("Yes", self.finish, Usage(5, 1, 0, 1))


@pytest.mark.parametrize("finish", ["abort", "error", "", "eos", "length"])
async def test_a_model_of_the_service_is_held_to_it_too(finish: str) -> None:
    asked = Ask("half", [{"role": "user", "content": "?"}], CHOICE, Sampling())
    model: Any = Half(finish)
    (answer,) = await ModelJudge(model).decide([asked], 5.0)
    assert isinstance(answer, JudgeUnreadable)
    assert answer.usage == Usage(5, 1, 0, 1), "it was paid for all the same"


@pytest.mark.parametrize("rows", [[], [{"probs": [1.0]}] * 2, [{"probs": [1.0, 2.0]}], None])
def test_of_several_rows_none_is_the_reward(rows: Any) -> None:
    assert classify.reading({"data": [{"probs": [0.25]}]}) == 0.25
    with pytest.raises(JudgeUnreadable):
        classify.reading({"data": rows})


def test_of_several_answers_none_is_the_judgement() -> None:
    one = {"type": "predicate", "probability": 0.75}
    assert decisions.reading({"answers": [one]}, YES_NO)[0] == {"Yes": 0.75, "No": 0.25}
    for answers in ([one, one], [one, {**one, "probability": 0.0}], []):
        with pytest.raises(JudgeUnreadable):
            decisions.reading({"answers": answers}, YES_NO)


@pytest.mark.parametrize("whose", [[0, 0], [1, 1], [0, 2], [0], [0, 1, 2], [1, 2]])
async def test_an_embedding_of_another_text_is_none(whose: list[int]) -> None:
    """Two texts were sent; which of them a row is of is not to be guessed."""
    indices = [1, 0]

    async def answer(_request: web.Request) -> web.Response:
        rows = [{"index": index, "embedding": [float(index), 1.0]} for index in indices]
        return web.json_response({"data": rows})

    app = web.Application()
    app.router.add_post("/v1/embeddings", answer)
    async with TestServer(app) as server:
        chat = OpenAIChat(Endpoint(base_url=str(server.make_url("/v1"))))
        try:
            assert await chat.embed("m", ["a", "b"], 5.0) == [[0.0, 1.0], [1.0, 1.0]]
            indices[:] = whose
            with pytest.raises(RewardFault, match="embeddings of the texts"):
                await chat.embed("m", ["a", "b"], 5.0)
        finally:
            await chat.close()
