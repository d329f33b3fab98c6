"""Whatever a reward function does is an outcome: a score xor an error, and a score is sound."""

from __future__ import annotations

import asyncio
import math
from array import array
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rewardplane.rewards import (
    Example,
    InvalidInput,
    NotApplicable,
    RateLimited,
    Reason,
    Response,
    RewardFault,
    Score,
    ScoreError,
    Usage,
)
from rewardplane.rewards.result import MAX_EXPLANATION_CHARS
from rewardplane.rewards.reward import Reward, Unit
from rewardplane.rewards.run import Clip, run_each, run_item, run_items, run_items_async
from rewardplane.rewards.types import MAX_MESSAGE_CHARS, MAX_SCORE_ANSWER_CHARS, Outcome

ITEM = (Example(), Response("text"))
ANY = Clip()


class Does(Reward):
    """A reward that does what it is told."""

    what: Any
    names: tuple[str, ...] = ()
    gets: Unit = Unit.ITEM

    @property
    def unit(self) -> Unit:
        return self.gets

    @property
    def component_names(self) -> tuple[str, ...]:
        return self.names

    def score(self, example: Example, response: Response) -> Any:
        return self.what()

    def score_items(self, items: Any) -> Any:
        return self.what()


class DoesAsync(Does):
    @property
    def is_async(self) -> bool:
        return True

    async def score(self, example: Example, response: Response) -> Any:
        await asyncio.sleep(0)
        return self.what()

    async def score_items(self, items: Any) -> Any:
        await asyncio.sleep(0)
        return self.what()


def returns(value: Any) -> Callable[[], Any]:
    return lambda: value


def raises(error: BaseException) -> Callable[[], Any]:
    def do() -> Any:
        raise error

    return do


class EvilFloat:
    shape = ()

    def __float__(self) -> float:
        raise SystemExit(3)


class EvilEverything:
    """Each look at it raises."""

    @property
    def shape(self) -> Any:
        raise KeyboardInterrupt

    def __repr__(self) -> str:
        raise GeneratorExit


class EvilText(Exception):
    def __str__(self) -> str:
        raise ValueError("no text")


class EvilReason(RewardFault):
    reason = "made up"  # type: ignore[assignment]


class EvilMapping(dict):
    def items(self) -> Any:
        raise MemoryError


GOOD = [
    (1, 1.0),
    (True, 1.0),
    (0.25, 0.25),
    (np.float32(0.5), 0.5),
    (np.int64(3), 3.0),
    (np.bool_(True), 1.0),
    (np.array(0.5), 0.5),
    (Decimal("0.125"), 0.125),
    (Fraction(1, 4), 0.25),
    ({"score": 2}, 2.0),
    (Score(-1), -1.0),
    (Score(np.float64(0.5)), 0.5),
]

BAD = [
    "1",
    b"1",
    "",
    math.nan,
    math.inf,
    -math.inf,
    10**400,
    Decimal("NaN"),
    Decimal("1e999"),
    1 + 2j,
    np.complex64(1),
    np.str_("1"),
    np.array([0.5]),
    np.array([0.5, 0.25]),
    np.float64("nan"),
    object(),
    [1.0],
    (1.0,),
    EvilFloat(),
    {},
    {"reward": 1.0},
    {"score": "1"},
    {"score": None},
    {"score": math.nan},
    {"score": 1.0, "extra": 1.0},
    {"score": 1.0, 3: 1.0},
    Score(math.nan),
    Score("1"),  # type: ignore[arg-type]
    Score(1.0, {"extra": 1.0}),
    Score(1.0, explanation=b"bytes"),  # type: ignore[arg-type]
    Score(1.0, answer=18),  # type: ignore[arg-type]
    Score(1.0, step_rewards=[0.0, math.inf]),
    Score(1.0, step_rewards=["1"]),  # type: ignore[list-item]
]


@pytest.mark.parametrize(("value", "reward"), GOOD, ids=lambda v: type(v).__name__)
def test_numbers_are_scores(value: Any, reward: float) -> None:
    outcome = run_item(Does(what=returns(value)), ITEM, ANY)
    assert outcome == Score(reward)
    assert type(outcome.reward) is float


@pytest.mark.parametrize("value", BAD, ids=lambda v: f"{type(v).__name__}")
def test_what_is_no_score_is_invalid(value: Any) -> None:
    outcome = run_item(Does(what=returns(value)), ITEM, ANY)
    assert isinstance(outcome, ScoreError)
    assert outcome.reason is Reason.INVALID_RESULT
    assert outcome.message


def test_none_does_not_apply() -> None:
    outcome = run_item(Does(what=returns(None)), ITEM, ANY)
    assert isinstance(outcome, ScoreError)
    assert outcome.reason is Reason.NOT_APPLICABLE


@pytest.mark.parametrize(
    ("error", "reason", "says"),
    [
        (ValueError("bad value"), Reason.RAISED, "ValueError: bad value"),
        (SystemExit(2), Reason.RAISED, "SystemExit"),
        (KeyboardInterrupt(), Reason.RAISED, "KeyboardInterrupt"),
        (GeneratorExit(), Reason.RAISED, "GeneratorExit"),
        (asyncio.CancelledError(), Reason.RAISED, "CancelledError"),
        (TimeoutError("theirs"), Reason.RAISED, "theirs"),
        (MemoryError(), Reason.OUT_OF_MEMORY, "memory"),
        (RecursionError(), Reason.RAISED, "recursion"),
        (EvilText(), Reason.RAISED, "EvilText"),
        (EvilReason("why"), Reason.RAISED, "why"),
        (NotApplicable(), Reason.NOT_APPLICABLE, "NotApplicable"),
        (InvalidInput("no tokens"), Reason.INVALID_INPUT, "no tokens"),
        (RateLimited("slow down"), Reason.RATE_LIMITED, "slow down"),
        (ValueError("x" * 10_000), Reason.RAISED, "xxx"),
        (ValueError("\ud800"), Reason.RAISED, "?"),
        (StopIteration(3), Reason.RAISED, ""),
        (ExceptionGroup("many", [ValueError("one")]), Reason.RAISED, "many"),
    ],
    ids=lambda v: type(v).__name__ if isinstance(v, BaseException) else "",
)
@pytest.mark.parametrize("kind", [Does, DoesAsync])
async def test_what_is_raised_is_an_error(
    kind: type[Does], error: BaseException, reason: Reason, says: str
) -> None:
    async def outcomes(unit: Unit, count: int) -> list[Any]:
        reward, items = kind(what=raises(error), gets=unit), [ITEM] * count
        if reward.is_async:
            return await run_items_async(reward, items, ANY, 30.0)
        return [run_item(reward, ITEM, ANY)] if unit is Unit.ITEM else run_items(reward, items, ANY)

    for got in (await outcomes(Unit.ITEM, 1), await outcomes(Unit.GROUP, 3)):
        for outcome in got:
            assert isinstance(outcome, ScoreError)
            assert outcome.reason is reason
            assert says in outcome.message
            assert 0 < len(outcome.message) <= MAX_MESSAGE_CHARS
            outcome.message.encode("utf-8")
    assert len(got) == 3


@pytest.mark.parametrize("evil", [EvilEverything(), EvilMapping(score=1.0)])
def test_objects_with_code_of_their_own(evil: Any) -> None:
    assert isinstance(run_item(Does(what=returns(evil)), ITEM, ANY), ScoreError)
    good, bad = run_items(Does(what=returns([1.0, evil]), gets=Unit.GROUP), [ITEM] * 2, ANY)
    assert good == Score(1.0)
    assert isinstance(bad, ScoreError)


def test_a_fault_names_the_line_it_came_from() -> None:
    outcome = run_item(Does(what=raises(ValueError("here"))), ITEM, ANY)
    assert isinstance(outcome, ScoreError)
    assert f"{__file__}:" in outcome.message


class TestComponents:
    names = ("a", "b")

    @pytest.mark.parametrize(
        "value",
        [
            {"score": 1, "b": True, "a": np.float32(0.5)},
            Score(1.0, {"a": 0.5, "b": 1.0}),
            Score(1.0, {"b": 1, "a": 0.5}),
        ],
    )
    def test_exactly_the_declared_ones(self, value: Any) -> None:
        outcome = run_item(Does(what=returns(value), names=self.names), ITEM, ANY)
        assert outcome == Score(1.0, {"a": 0.5, "b": 1.0})

    @pytest.mark.parametrize(
        ("value", "says"),
        [
            (1.0, "no components"),
            ({"score": 1.0, "a": 1.0}, "missing: ['b']"),
            ({"score": 1.0, "a": 1.0, "b": 1.0, "c": 1.0}, "unknown: str 'c'"),
            ({"score": 1.0, "a": 1.0, "b": math.nan}, "component 'b'"),
            ({"score": 1.0, "a": 1.0, "b": "1"}, "component 'b'"),
            (Score(1.0, {"a": 1.0, "b": math.inf}), "component 'b'"),
            (Score(1.0, {"a": 1.0, "c": 1.0}), "unknown"),
        ],
    )
    def test_others_are_invalid(self, value: Any, says: str) -> None:
        outcome = run_item(Does(what=returns(value), names=self.names), ITEM, ANY)
        assert isinstance(outcome, ScoreError)
        assert outcome.reason is Reason.INVALID_RESULT
        assert says in outcome.message


def test_explanations_and_steps_are_made_sound() -> None:
    given_score = Score(1.0, {}, "\ud800" + "x" * 99_999, np.array([0.5, 1.0]))  # type: ignore[arg-type]
    outcome = run_item(Does(what=returns(given_score)), ITEM, ANY)
    assert isinstance(outcome, Score)
    assert outcome.explanation == "?" + "x" * (MAX_EXPLANATION_CHARS - 1)
    assert list(outcome.step_rewards) == [0.5, 1.0]


@pytest.mark.parametrize(
    ("given", "kept"),
    [("18", "18"), ("é", "é"), ("\ud800x", "?x"), ("x" * 9_999, "x" * MAX_SCORE_ANSWER_CHARS)],
)
def test_the_answer_that_was_read_is_made_sound(given: str, kept: str) -> None:
    outcome = run_item(Does(what=returns(Score(3.0, {}, "", (), given))), ITEM, Clip(-1.0, 1.0))
    assert outcome == Score(1.0, {}, "", (), kept)


def test_clipping() -> None:
    clip = Clip(-1.0, 1.0)
    for value, clipped in ((5, 1.0), (-5.0, -1.0), (0.5, 0.5), (1.0, 1.0)):
        assert run_item(Does(what=returns(value)), ITEM, clip) == Score(clipped)
    kept = Score(9.0, {"a": 9.0}, "why", (9.0,))
    outcome = run_item(Does(what=returns(kept), names=("a",)), ITEM, clip)
    assert outcome == Score(1.0, {"a": 9.0}, "why", (9.0,))
    assert isinstance(run_item(Does(what=returns(math.inf)), ITEM, clip), ScoreError)


class TestMany:
    @pytest.mark.parametrize(
        "results",
        [
            [1.0],
            [1.0] * 3,
            [],
            "ab",
            {"a": 1, "b": 2},
            {1.0, 2.0},
            None,
            1.0,
            (float(n) for n in range(2)),
            object(),
        ],
        ids=lambda v: type(v).__name__,
    )
    def test_a_result_that_is_no_list_of_that_length(self, results: Any) -> None:
        outcomes = run_items(Does(what=returns(results)), [ITEM] * 2, ANY)
        assert [o.reason for o in outcomes if isinstance(o, ScoreError)] == (
            [Reason.INVALID_RESULT] * 2
        )

    @pytest.mark.parametrize(
        "results", [[1.0, 0.5], (1, 0.5), np.array([1.0, 0.5]), [np.float32(1), Fraction(1, 2)]]
    )
    def test_lists_tuples_and_arrays(self, results: Any) -> None:
        outcomes = run_items(Does(what=returns(results)), [ITEM] * 2, ANY)
        assert outcomes == [Score(1.0), Score(0.5)]

    def test_each_item_stands_for_itself(self) -> None:
        results = [1.0, None, "x", math.nan, {"score": 2}]
        outcomes = run_items(Does(what=returns(results)), [ITEM] * 5, ANY)
        reasons = [o.reason.name if isinstance(o, ScoreError) else o.reward for o in outcomes]
        assert reasons == [1.0, "NOT_APPLICABLE", "INVALID_RESULT", "INVALID_RESULT", 2.0]

    def test_a_list_that_lies_about_its_length(self) -> None:
        class Liar(list):
            def __len__(self) -> int:
                return 2

        outcomes = run_items(Does(what=returns(Liar([1.0] * 9))), [ITEM] * 2, ANY)
        assert all(isinstance(o, ScoreError) for o in outcomes)
        assert len(outcomes) == 2


@pytest.mark.parametrize("value", [*(v for v, _ in GOOD), *BAD, None, 7.0])
def test_run_each_says_what_run_item_says(value: Any) -> None:
    reward, clip = Does(what=returns(value)), Clip(-1.0, 1.0)
    one = run_item(reward, ITEM, clip)
    rewards, others = array("d", [0.0, 0.0]), dict[int, Outcome]()

    def other(index: int, outcome: Outcome) -> bool:
        others[index] = outcome
        return True

    assert run_each(reward, ITEM[0], [ITEM[1]], clip, rewards, 1, other) == 2
    assert others.get(1, Score(rewards[1])) == one
    assert rewards[0] == 0.0


def test_run_each_marks_what_runs_and_stops_when_told() -> None:
    cursor, stop, seen = [0], [0], list[int]()

    class Counts(Does):
        def score(self, example: Example, response: Response) -> Any:
            seen.append(cursor[0])
            if len(seen) == 3:
                stop[0] = 1
            return 0.5 if len(seen) != 2 else None

    rewards, others = array("d", bytes(8 * 8)), list[int]()

    def other(index: int, outcome: Outcome) -> bool:
        assert isinstance(outcome, ScoreError)
        others.append(index)
        return True

    responses = [ITEM[1]] * 5
    reward = Counts(what=None)
    assert run_each(reward, ITEM[0], responses, ANY, rewards, 2, other, cursor, stop) == 5
    assert seen == [3, 4, 5]  # the index + 1 of each, before it ran
    assert others == [3]
    assert rewards.tolist() == [0, 0, 0.5, 0, 0.5, 0, 0, 0]
    assert run_each(reward, ITEM[0], responses, ANY, rewards, 2, other, cursor, [0], [1]) == 2
    stop[0] = 0
    assert run_each(reward, ITEM[0], responses, ANY, rewards, 2, lambda *_: False, cursor) == 7


class TestAsync:
    async def test_a_score(self) -> None:
        assert await run_items_async(DoesAsync(what=returns(1)), [ITEM], ANY, 30.0) == [Score(1.0)]
        reward = DoesAsync(what=returns([1, None]), gets=Unit.SHARD)
        first, second = await run_items_async(reward, [ITEM] * 2, ANY, 30.0)
        assert first == Score(1.0)
        assert isinstance(second, ScoreError)

    async def test_time_is_up(self) -> None:
        class Sleeps(DoesAsync):
            async def score(self, example: Example, response: Response) -> Any:
                await asyncio.sleep(30)

        (outcome,) = await run_items_async(Sleeps(what=None), [ITEM], ANY, 0.01)
        assert isinstance(outcome, ScoreError)
        assert outcome.reason is Reason.TIMED_OUT

    @pytest.mark.parametrize("then", [returns(1.0), raises(ValueError("late"))])
    async def test_time_is_up_for_who_swallows_cancellation(self, then: Any) -> None:
        class Swallows(DoesAsync):
            async def score(self, example: Example, response: Response) -> Any:
                try:
                    await asyncio.sleep(30)
                except asyncio.CancelledError:
                    return then()

        (outcome,) = await run_items_async(Swallows(what=None), [ITEM], ANY, 0.01)
        assert isinstance(outcome, ScoreError)
        assert outcome.reason is Reason.TIMED_OUT

    async def test_the_caller_cancels(self) -> None:
        class Sleeps(DoesAsync):
            async def score(self, example: Example, response: Response) -> Any:
                await asyncio.sleep(30)

        task = asyncio.create_task(run_items_async(Sleeps(what=None), [ITEM], ANY, 30.0))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    async def test_a_sync_function_that_returns_a_coroutine(self) -> None:
        async def late() -> float:
            return 1.0

        outcome = run_item(Does(what=lambda: late()), ITEM, ANY)
        assert isinstance(outcome, ScoreError)
        assert "async def" in outcome.message
        (outcome,) = run_items(Does(what=lambda: late()), [ITEM], ANY)
        assert isinstance(outcome, ScoreError)

    async def test_an_async_function_that_returns_at_once(self) -> None:
        (outcome,) = await run_items_async(Does(what=returns(1.0)), [ITEM], ANY, 30.0)
        assert isinstance(outcome, ScoreError)
        assert outcome.reason is Reason.RAISED


numbers = st.one_of(st.floats(), st.integers(), st.booleans(), st.decimals(), st.fractions())
anything = st.recursive(
    st.one_of(numbers, st.none(), st.text(), st.binary(), st.complex_numbers()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(st.just("score"), st.text(max_size=3)), inner, max_size=3),
        st.builds(
            Score,
            inner,
            st.dictionaries(st.text(max_size=3), inner, max_size=2),
            st.one_of(st.text(), inner),
            st.lists(inner, max_size=2),
        ),
    ),
    max_leaves=6,
)


@settings(deadline=None)
@given(anything, st.one_of(st.just(ANY), st.just(Clip(-1.0, 1.0))))
def test_an_outcome_is_a_score_xor_an_error(value: Any, clip: Clip) -> None:
    outcome = run_item(Does(what=returns(value)), ITEM, clip)
    assert isinstance(outcome, Score) is not isinstance(outcome, ScoreError)
    if isinstance(outcome, Score):
        assert type(outcome.reward) is float
        assert math.isfinite(outcome.reward)
        assert clip.low <= outcome.reward <= clip.high
        assert not outcome.components
        assert all(type(s) is float and math.isfinite(s) for s in outcome.step_rewards)
        outcome.explanation.encode("utf-8")


def test_a_fault_tells_what_it_has_cost() -> None:
    class Refused(RewardFault):
        reason = Reason.JUDGE_REFUSED

    class Asking(Reward):
        calls: int

        def score(self, example: Example, response: Response) -> float:
            fault = Refused("no" * 2_000)
            fault.usage = Usage(100, 20, 7, self.calls) if self.calls else None
            raise fault

    item = (Example(), Response(""))
    message = ("no" * 2_000)[:MAX_MESSAGE_CHARS]
    for calls in (1, 2):
        error = run_item(Asking(calls=calls), item, Clip())
        assert error == ScoreError(Reason.JUDGE_REFUSED, message, Usage(100, 20, 7, calls))
    assert run_item(Asking(calls=0), item, Clip()) == ScoreError(Reason.JUDGE_REFUSED, message)
