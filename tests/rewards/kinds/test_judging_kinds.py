"""Judges, pairs and rubrics: what answers are worth, and what no answer is worth: an error."""

from __future__ import annotations

import asyncio
import json
import random
import re
import statistics
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from pydantic import ValidationError
from rewardplane.rewards.models.endpoint_model import EndpointModel
from rewardplane.rewards.models.model import LabelReading
from rewardplane.rewards.models.model_endpoint import ModelEndpoint
from rewardplane.rewards.registry import build
from rewardplane.rewards.run import Clip, run_items_async
from rewardplane.rewards.types import (
    Blob,
    Content,
    Example,
    InvalidInput,
    JudgeRefused,
    JudgeUnreadable,
    Outcome,
    Part,
    Reason,
    Response,
    RewardFault,
    Score,
    ScoreError,
    Unavailable,
)

from ...support.endpoint_server import WAYS, EndpointServer, serving
from ...support.stub_model import StubModel, bound

PROMPT = Example([Content("user", [Part("What is 2 + 2?")])], {"answer": "four"})
SCORE = {"kind": "score", "instructions": "How good?", "levels": [1, 2, 3, 4, 5]}


async def outcomes(reward: Any, example: Example, texts: Sequence[str]) -> list[Outcome]:
    """Of one call: of a group for pairs, of the first response for others."""
    items = [(example, Response(text)) for text in texts]
    return await run_items_async(reward, items, Clip(), 30)


def judge(model: StubModel, **params: Any) -> Any:
    return bound(build("judge", {"model": "m", "ask": SCORE, **params}), model)


def pairwise(model: StubModel, **params: Any) -> Any:
    return bound(build("pairwise", {"model": "m", **params}), model)


def rubric(model: StubModel, **params: Any) -> Any:
    return bound(build("rubric", {"model": "m", **params}), model)


class TestJudge:
    async def test_the_reward_is_the_expectation(self) -> None:
        reward = judge(StubModel(lambda text: 0.6))
        (score,) = await outcomes(reward, PROMPT, ["4"])
        assert isinstance(score, Score)
        assert score.reward == pytest.approx(0.6 * 1 + 0.1 * (2 + 3 + 4 + 5))
        assert score.components == {"label_mass": 0.9, "cut_tokens": 2.0}
        assert reward.component_names == ("label_mass", "cut_tokens")
        (told,) = score.judgements
        assert told.question == "How good?"
        assert told.probs["1"] == 0.6
        assert score.usage.prompt_tokens == 10

    async def test_too_little_label_mass_is_no_number(self) -> None:
        (error,) = await outcomes(judge(StubModel(label_mass=0.3)), PROMPT, ["4"])
        assert isinstance(error, ScoreError)
        assert error.reason is Reason.JUDGE_UNREADABLE
        assert "are 0.3, want 0.5" in error.message
        assert error.usage is not None
        (score,) = await outcomes(
            judge(StubModel(label_mass=0.3), min_label_mass=0.2), PROMPT, ["4"]
        )
        assert isinstance(score, Score)

    async def test_a_model_that_tells_no_label_mass_is_taken_only_knowingly(self) -> None:
        model = StubModel(label_mass=None, read="decisions")
        with pytest.raises(ValueError, match="min_label_mass: null"):
            judge(model)
        (score,) = await outcomes(judge(model, min_label_mass=None), PROMPT, ["4"])
        assert isinstance(score, Score)
        assert score.components == {"cut_tokens": 2.0}
        with pytest.raises(ValueError, match="says no text"):
            judge(model, min_label_mass=None, read="text")
        with pytest.raises(ValueError, match="reward_model"):
            judge(StubModel(head="scalar"))

    async def test_by_text_the_named_label_counts_after_its_reasons(self) -> None:
        model = StubModel()
        step = {"description": "sum", "conclusion": "right"}
        model.says = lambda text: json.dumps({"steps": [step], "result": "4"})
        reward = judge(model, read="text", min_label_mass=None)
        (score,) = await outcomes(reward, PROMPT, ["4"])
        assert isinstance(score, Score)
        assert score.reward == 4.0
        assert "sum: right" in score.explanation

    @pytest.mark.parametrize(
        ("said", "reason"),
        [
            ("I'd say 4", Reason.JUDGE_UNREADABLE),
            ('{"steps": [], "result": "7"}', Reason.JUDGE_UNREADABLE),
            ('{"steps": [], "result": 4', Reason.JUDGE_UNREADABLE),
            ("", Reason.JUDGE_UNREADABLE),
            ("I'm sorry, but I can't help with that.", Reason.JUDGE_REFUSED),
        ],
    )
    async def test_by_text_what_is_no_verdict_is_no_number(self, said: str, reason: Reason) -> None:
        model = StubModel()
        model.says = lambda text: said
        (error,) = await outcomes(judge(model, read="text", min_label_mass=None), PROMPT, ["4"])
        assert isinstance(error, ScoreError)
        assert error.reason is reason
        assert len(model.asked) == (1 if reason is Reason.JUDGE_REFUSED else 2)

    async def test_a_verdict_that_is_cut_off_is_none(self) -> None:
        model = StubModel()
        model.says = lambda text: '{"steps": [], "result": "4"}'
        model.finish_reason = "length"
        (error,) = await outcomes(judge(model, read="text", min_label_mass=None), PROMPT, ["4"])
        assert isinstance(error, ScoreError)
        assert error.reason is Reason.JUDGE_UNREADABLE

    async def test_the_prompt_comes_first_and_is_shared(self) -> None:
        model = StubModel()
        reward = judge(model)
        for text in ("one", "another"):
            await outcomes(reward, PROMPT, [text])
        assert model.asked[0].partition("one")[0] == model.asked[1].partition("another")[0]
        assert "2 + 2" in model.asked[0].partition("one")[0]

    async def test_an_image_of_the_prompt_reaches_the_model(self) -> None:
        model = StubModel()
        seen = Example([Content("user", [Part("See."), Part(Blob("image/png", b"p"))])])
        await outcomes(judge(model), seen, ["4"])
        assert [part["type"] for part in model.shown[0][0]["content"]] == [
            "text",
            "image_url",
            "text",
        ]

    def test_what_it_needs_is_told(self) -> None:
        reward = build(
            "judge", {"model": "m", "ask": "Is it {{x}}?", "show": "{{references.gold}}"}
        )
        assert reward.needs_model is not None
        assert reward.needs_model.names == ("m",)
        assert reward.reference_keys == ("gold",)
        assert reward.facts.is_async
        for wrong in ({"show": "{{ answer }}"}, {"min_label_mass": 0}, {"read": "tea leaves"}):
            with pytest.raises(ValidationError):
                build("judge", {"model": "m", "ask": "?", **wrong})

    def test_a_reward_without_a_question_takes_no_model(self) -> None:
        with pytest.raises(ValueError, match="asks no model"):
            build("exact", {}).bind(StubModel())


def quality(text: str) -> float:
    """Which of two responses is better, by the number that each states; 0.5 for none."""
    found = [int(number) for number in re.findall(r"quality (\d+)", text)]
    return 1 / (1 + 2.718281828 ** (found[1] - found[0])) if len(found) == 2 else 0.5


GROUP = [f"quality {n}" for n in (3, 1, 4, 2, 5, 0)]


class TestPairwise:
    @pytest.mark.parametrize("design", ["all", "ring", "chunks"])
    async def test_the_better_earn_more(self, design: str) -> None:
        found = await outcomes(
            pairwise(StubModel(quality), pairs={"design": design}), PROMPT, GROUP
        )
        rewards = [score.reward for score in found if isinstance(score, Score)]
        assert len(rewards) == len(GROUP)
        assert max(rewards) == rewards[4]
        assert min(rewards) == rewards[5]
        assert all(0 < reward < 1 for reward in rewards)

    async def test_strengths_are_log_odds(self) -> None:
        reward = pairwise(StubModel(quality), pairs={"design": "all"}, aggregate="bradley_terry")
        found = await outcomes(reward, PROMPT, GROUP)
        rewards = [score.reward for score in found if isinstance(score, Score)]
        assert rewards == pytest.approx([n - 2.5 for n in (3, 1, 4, 2, 5, 0)], abs=1e-3)

    @pytest.mark.parametrize("aggregate", ["mean_win", "bradley_terry"])
    async def test_a_judge_that_always_says_a_says_nothing(self, aggregate: str) -> None:
        model = StubModel(lambda text: 0.98)
        both = await outcomes(pairwise(model, aggregate=aggregate), PROMPT, GROUP)
        rewards = [score.reward for score in both if isinstance(score, Score)]
        assert statistics.pvariance(rewards) == 0
        assert len(rewards) == len(GROUP)
        for score in both:
            assert isinstance(score, Score)
            assert score.components["order_gap"] > 7
        one = await outcomes(pairwise(model, aggregate=aggregate, swap=False), PROMPT, GROUP)
        rewards = [score.reward for score in one if isinstance(score, Score)]
        assert statistics.pvariance(rewards) > 0.001

    async def test_both_seats_are_asked_and_the_prompt_comes_first(self) -> None:
        model = StubModel(quality)
        await outcomes(pairwise(model, pairs={"design": "all"}), PROMPT, GROUP[:2])
        assert len(model.asked) == 2
        first, second = (re.findall(r"quality (\d)", text) for text in model.asked)
        assert first == second[::-1] == ["3", "1"]
        assert model.asked[0].index("2 + 2") < model.asked[0].index("Response A")

    @pytest.mark.parametrize("fault", [InvalidInput("too long"), JudgeUnreadable("hm")])
    async def test_one_broken_response_spoils_no_other(self, fault: Any) -> None:
        def prefer(text: str) -> Any:
            return type(fault)(str(fault)) if "quality 4" in text else quality(text)

        reward = pairwise(StubModel(prefer), pairs={"design": "ring", "meets": 4})
        found = await outcomes(reward, PROMPT, GROUP)
        broken = [index for index, one in enumerate(found) if isinstance(one, ScoreError)]
        assert broken == [2]
        error = found[2]
        assert isinstance(error, ScoreError)
        assert error.reason is fault.reason
        assert "4 of 4 comparisons failed" in error.message
        for index, met in ((0, 3), (5, 4)):
            score = found[index]
            assert isinstance(score, Score)
            assert score.components["comparisons"] == met

    async def test_one_broken_seat_takes_its_comparison_along(self) -> None:
        def prefer(text: str) -> Any:
            seats = re.findall(r"quality (\d)", text)
            return JudgeRefused("no") if seats == ["1", "3"] else quality(text)

        found = await outcomes(
            pairwise(StubModel(prefer), pairs={"design": "all"}), PROMPT, GROUP[:3]
        )
        met = [one.components["comparisons"] for one in found if isinstance(one, Score)]
        assert met == [1, 1, 2]
        strict = pairwise(StubModel(prefer), pairs={"design": "all"}, min_answered=1.0)
        found = await outcomes(strict, PROMPT, GROUP[:3])
        assert [isinstance(one, Score) for one in found] == [False, False, True]

    async def test_what_may_go_away_is_told_first(self) -> None:
        def prefer(text: str) -> Any:
            return Unavailable("busy") if "quality 1" in text else JudgeRefused("no")

        found = await outcomes(
            pairwise(StubModel(prefer), pairs={"design": "all"}), PROMPT, GROUP[:3]
        )
        assert all(isinstance(one, ScoreError) and one.retryable for one in found)

    async def test_equal_responses_are_equal_without_a_question(self) -> None:
        model = StubModel(quality)
        found = await outcomes(pairwise(model), PROMPT, ["same", "same"])
        assert model.asked == []
        assert [one.reward for one in found if isinstance(one, Score)] == [0.5, 0.5]

    async def test_an_anchor_is_a_reference_answer(self) -> None:
        model = StubModel(quality)
        case = Example(PROMPT.contents, {"answer": "quality 2"})
        reward = pairwise(model, pairs={"design": "anchor"})
        assert reward.reference_keys == ("answer",)
        found = await outcomes(reward, case, GROUP)
        rewards = [one.reward for one in found if isinstance(one, Score)]
        assert rewards[3] == 0.5
        assert rewards[5] < rewards[1] < 0.5 < rewards[0] < rewards[2] < rewards[4]
        alone = await outcomes(reward, case, GROUP[:1])
        assert alone[0].reward == rewards[0]  # type: ignore[union-attr]
        (error,) = await outcomes(reward, Example(PROMPT.contents), GROUP[:1])
        assert isinstance(error, ScoreError)
        assert error.reason is Reason.INVALID_REFERENCE

    async def test_a_group_of_one_is_told(self) -> None:
        (error,) = await outcomes(pairwise(StubModel()), PROMPT, ["x"])
        assert isinstance(error, ScoreError)
        assert error.reason is Reason.INVALID_INPUT

    async def test_each_question_is_paid_once(self) -> None:
        model = StubModel(quality)
        found = await outcomes(pairwise(model), PROMPT, GROUP)
        calls = sum(one.usage.calls for one in found if isinstance(one, Score))
        assert calls == len(model.asked) == 24
        assert sum(len(one.judgements) for one in found if isinstance(one, Score)) == 48

    def test_what_makes_no_sense_is_refused(self) -> None:
        for wrong in (
            {"show": "{{ response }}"},
            {"pairs": {"design": "chunks"}, "aggregate": "bradley_terry"},
            {"pairs": {"meets": 3}},
        ):
            with pytest.raises(ValidationError):
                build("pairwise", {"model": "m", **wrong})


def answering(shares: dict[str, float]) -> StubModel:
    """Says Yes with the probability of the question's own word."""
    return StubModel(lambda text: next(p for word, p in shares.items() if word in text[-20:]))


ITEMS = [
    {"name": "answers", "ask": "answers?", "weight": 3, "gate": 0.5},
    {"name": "cites", "ask": "cites?", "weight": 1},
    {"name": "rude", "ask": "rude?", "weight": -2},
]


class TestRubric:
    async def test_the_reward_is_the_weighted_share(self) -> None:
        reward = rubric(answering({"answers": 0.9, "cites": 0.5, "rude": 0.1}), items=ITEMS)
        (score,) = await outcomes(reward, PROMPT, ["4"])
        assert isinstance(score, Score)
        assert score.reward == pytest.approx((3 * 0.9 + 0.5 - 2 * 0.1) / 4)
        want = {"answers": 0.9, "cites": 0.5, "rude": 0.1, "label_mass": 0.9, "cut_tokens": 6.0}
        assert score.components == pytest.approx(want)
        assert tuple(want) == reward.component_names
        assert score.usage.calls == 3

    async def test_a_gate_that_is_not_passed_decides(self) -> None:
        model = answering({"answers": 0.4, "cites": 0.5, "rude": 0.1})
        (score,) = await outcomes(rubric(model, items=ITEMS, gated_reward=-1), PROMPT, ["4"])
        assert isinstance(score, Score)
        assert score.reward == -1
        assert "below its gate: answers" in score.explanation

    async def test_an_item_without_an_answer_fails_the_response(self) -> None:
        def prefer(text: str) -> Any:
            return JudgeUnreadable("hm") if "cites" in text[-20:] else 0.9

        (error,) = await outcomes(rubric(StubModel(prefer), items=ITEMS), PROMPT, ["4"])
        assert isinstance(error, ScoreError)
        assert error.reason is Reason.JUDGE_UNREADABLE
        assert error.message.startswith("cites: hm")
        assert error.usage is not None
        assert error.usage.calls == 2

    async def test_items_of_each_example(self) -> None:
        model = answering({"short": 0.75, "long": 0.5})
        reward = rubric(model, items_from="rubric")
        assert reward.component_names == ("items", "label_mass", "cut_tokens")
        assert reward.reference_keys == ("rubric",)
        given = [{"criterion": "short?", "points": 2}, {"criterion": "long?", "points": -1}]
        case = Example(PROMPT.contents, json_references={"rubric": json.dumps(given)})
        (score,) = await outcomes(reward, case, ["4"])
        assert isinstance(score, Score)
        assert score.reward == pytest.approx((2 * 0.75 - 0.5) / 2)
        assert score.components["items"] == 2
        (error,) = await outcomes(reward, PROMPT, ["4"])
        assert isinstance(error, ScoreError)
        assert error.reason is Reason.INVALID_REFERENCE

    def test_what_makes_no_sense_is_refused(self) -> None:
        for wrong in (
            {},
            {"items": ITEMS, "items_from": "rubric"},
            {"items": [ITEMS[0], ITEMS[0]]},
            {"items": [{"name": "label_mass", "ask": "?"}]},
            {"items": [{"name": "a b", "ask": "?"}]},
            {"items": [ITEMS[2]]},
        ):
            with pytest.raises(ValidationError):
                build("rubric", {"model": "m", **wrong})


REASONS = {
    "http 500": Reason.UNAVAILABLE,
    "http 400": Reason.INVALID_INPUT,
    "no json": Reason.JUDGE_UNREADABLE,
    "no choices": Reason.JUDGE_UNREADABLE,
    "no logprobs": Reason.JUDGE_UNREADABLE,
    "off menu": Reason.JUDGE_UNREADABLE,
    "nan": Reason.INVALID_RESULT,
    "refusal": Reason.JUDGE_REFUSED,
    "filtered": Reason.JUDGE_REFUSED,
    "hangs up": Reason.UNAVAILABLE,
}


async def test_a_thousand_items_of_which_three_hundred_break(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """30 % of the replies broken in ten ways: no invented number, no healthy item lost."""
    monkeypatch.setattr("rewardplane.rewards.http.client.FIRST_BACKOFF_S", 0.001)
    monkeypatch.setattr("rewardplane.rewards.http.client.MAX_BACKOFF_S", 0.001)
    chosen = random.Random(7).sample(range(1000), 300)
    way_of = {index: WAYS[place % len(WAYS)] for place, index in enumerate(chosen)}

    def number(text: str) -> int | None:
        found = re.search(r"item (\d+)\.", text)
        return int(found[1]) if found else None

    async with serving(EndpointServer().features - {"logprob_token_ids"}) as endpoint:
        options = ModelEndpoint(base_url=endpoint.base_url, name="m", concurrency=64)
        model = EndpointModel("m", options)
        await model.start()
        endpoint.breaks = lambda text: way_of.get(number(text) or -1, "")
        endpoint.prefer = lambda text: 0.2 + 0.6 * (number(text) or 0) / 1000
        way_of.pop(0, None)
        reward = bound(build("judge", {"model": "m", "ask": "Good?"}), model)
        texts = [f"item {n}." for n in range(1000)]
        each = await asyncio.gather(*(outcomes(reward, PROMPT, [text]) for text in texts))
        found = [outcome for (outcome,) in each]
        await model.close()
    wrong: Counter[str] = Counter()
    for index, outcome in enumerate(found):
        way = way_of.get(index)
        if way is None:
            want = 0.2 + 0.6 * index / 1000
            healthy = isinstance(outcome, Score) and abs(outcome.reward - want) < 1e-6
            wrong["healthy lost"] += not healthy
        elif isinstance(outcome, Score):
            wrong[f"invented: {way}"] += 1
        else:
            wrong[f"reason of {way}: {outcome.reason}"] += outcome.reason is not REASONS[way]
    assert +wrong == Counter()


RUBRIC = '[{"ask": "Is it short?"}]'
SHOWN = "{{ prompt }} {{ references.why }} {{ response }}"


@pytest.mark.parametrize(
    ("kind", "params", "references", "reason"),
    [
        ("judge", {"ask": "Good?", "show": SHOWN}, {"why": "so"}, None),
        ("judge", {"ask": "Good?", "show": SHOWN}, {}, Reason.INVALID_REFERENCE),
        ("pairwise", {"show": "{{ references.why }}"}, {}, Reason.INVALID_REFERENCE),
        ("pairwise", {"pairs": {"design": "anchor"}}, {"answer": "4"}, None),
        ("pairwise", {"pairs": {"design": "anchor"}}, {"answer": " "}, Reason.INVALID_REFERENCE),
        ("pairwise", {}, {}, None),
        ("rubric", {"items_from": "rubric"}, {"rubric": RUBRIC}, None),
        ("rubric", {"items_from": "rubric"}, {"rubric": "[]"}, Reason.INVALID_REFERENCE),
        ("rubric", {"items_from": "rubric"}, {}, Reason.INVALID_REFERENCE),
        ("reward_model", {}, {}, None),
    ],
)
def test_what_an_example_lacks_is_told_without_a_model(
    kind: str, params: dict[str, Any], references: dict[str, str], reason: Reason | None
) -> None:
    json_references = {k: v for k, v in references.items() if v.startswith("[")}
    plain = {k: v for k, v in references.items() if k not in json_references}
    example = Example(PROMPT.contents, plain, json_references)
    reward = build(kind, {"model": "m", **params})
    if reason is None:
        reward.examine(example)
    else:
        with pytest.raises(RewardFault) as told:
            reward.examine(example)
        assert told.value.reason is reason


def test_an_example_without_a_prompt_is_none_for_a_reward_model() -> None:
    with pytest.raises(InvalidInput, match="no contents"):
        build("reward_model", {"model": "m"}).examine(Example())


class Troubled(StubModel):
    """Raises what is no `RewardFault` where it is shown a bad response; the others take a while."""

    def __init__(self, error: Exception, delay_s: float = 0.0) -> None:
        super().__init__(quality)
        self.error = error
        self.delay_s = delay_s
        self.at_once = self.most_at_once = self.ended = 0

    async def labels(self, messages: Any, question: Any, **options: Any) -> Any:
        if "quality 4" in str(messages):
            raise self.error
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(self.delay_s)
        finally:
            self.at_once -= 1
        self.ended += 1
        return await super().labels(messages, question, **options)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (MemoryError("no room"), Reason.OUT_OF_MEMORY),
        (IndexError("index out of range in self"), Reason.RAISED),
    ],
)
async def test_an_engine_that_fails_on_one_response_spoils_no_other(
    error: Exception, reason: Reason
) -> None:
    found = await outcomes(pairwise(Troubled(error)), PROMPT, GROUP)
    assert [isinstance(one, Score) for one in found] == [True, True, False, True, True, True]
    broken = found[2]
    assert isinstance(broken, ScoreError)
    assert broken.reason is reason
    assert str(error) in broken.message


async def test_questions_of_a_call_are_bounded_and_end_with_it() -> None:
    model = Troubled(MemoryError(), 0.02)
    many = [f"quality {n}" for n in range(50, 80)]
    found = await outcomes(pairwise(model, pairs={"design": "all"}), PROMPT, many)
    assert all(isinstance(one, Score) for one in found)
    assert model.ended == len(many) * (len(many) - 1)
    assert model.most_at_once == 256
    slow = Troubled(MemoryError(), 60)
    call = asyncio.create_task(outcomes(pairwise(slow), PROMPT, GROUP))
    await asyncio.sleep(0.05)
    assert slow.at_once > 0
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    assert slow.at_once == 0
    (error, *_) = await outcomes(pairwise(model, pairs={"design": "all"}), PROMPT, ["x"] * 257)
    assert isinstance(error, ScoreError)
    assert error.reason is Reason.INVALID_INPUT


@pytest.mark.parametrize("probs", [{"Yes": 7.0, "No": 2.0}, {"Yes": 0.1, "No": 0.1}, {"Yes": 1.0}])
async def test_an_engine_of_your_own_that_says_no_distribution_earns_nobody_a_reward(
    probs: dict[str, float],
) -> None:
    class Own(StubModel):
        async def labels(self, *_: Any, **__: Any) -> LabelReading:
            return LabelReading(probs, 0.9, "logits")

    (error,) = await outcomes(judge(Own(), ask="Is it good?"), PROMPT, ["4"])
    assert isinstance(error, ScoreError)
    assert error.reason in (Reason.INVALID_RESULT, Reason.JUDGE_UNREADABLE)
