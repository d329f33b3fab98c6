"""Composites, panels and standings through a real server: members in their lanes, gates first."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from rewardplane.rewards.types import Reason, Score, ScoreError, Usage
from rewardplane.v1 import reward_service_pb2 as pb
from rewardplane.wire.messages import outcome_from

from ..support.judge_server import JudgeServer, says, serving
from ..support.rig import (
    Rig,
    executions,
    flat,
    groups_of,
    poison,
    reasons,
    request_of,
    rewards,
    rig,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

SAMPLE = Path(__file__).parents[2] / "service" / "cli" / "demo_data" / "gsm8k_sample.jsonl"
TAGGED = "<think>a</think><answer>{}</answer>"


def sum_of(**weights: float) -> dict[str, Any]:
    return {"kind": "composite", "weights": weights}


REWARDS: dict[str, dict[str, Any]] = {
    "exact": {"kind": "exact"},
    "contains": {"kind": "contains"},
    "tags": {"kind": "tags"},
    "format": {"kind": "format"},
    "one": poison(),
    "slow": poison(),
    "parts": poison("parts", components=["half", "double"]),
    "whole": poison("whole"),
    "duplicates": {"kind": "duplicates"},
    "short": {"kind": "relative_length"},
    "inline": sum_of(exact=0.5, contains=0.25, tags=0.25),
    "lanes": sum_of(one=1, parts=2, contains=4),
    "guarded": {**sum_of(one=1, format=0.5), "gates": [{"reward": "format", "otherwise": -1}]},
    "guarded_group": {"kind": "composite", "formula": "whole", "gates": [{"reward": "contains"}]},
    "twice_guarded": {
        "kind": "composite",
        "formula": "guarded",
        "gates": [{"reward": "contains", "otherwise": -3}],
    },
    "slow_gate": {"kind": "composite", "formula": "contains", "gates": [{"reward": "one"}]},
    "nested": {"kind": "composite", "formula": "lanes + 10*inline", "clip": [-5, 20]},
    "scaled": {**sum_of(one=3, contains=1), "on_error": "renormalise"},
    "filled": {**sum_of(one=3, contains=1), "on_error": {"value": 0.5}},
    "product": {"kind": "composite", "formula": "one * contains"},
    "broken": {"kind": "composite", "formula": "1 / one"},
    "both": {"kind": "composite", "formula": "one + slow"},
    "best": {"kind": "best_of", "reward": "one", "as": "rank"},
    "with_groups": {"kind": "composite", "formula": "exact + duplicates + short"},
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def it() -> AsyncIterator[Rig]:
    async with rig(REWARDS, {"max_request_items": 100_000}) as made:
        yield made
        assert made.admission.items == 0
        served = [made.rewards.find(name, "") for name in made.rewards.names()]
        assert {one.name: one.calls for one in served if one.calls} == {}


async def told(it: Rig, reward: str, *groups: list[str], **references: str) -> list[Any]:
    """The outcomes with their components."""
    request = request_of(reward, *groups, references=references)
    request.options.include_components = True
    return flat(await it.answer(request))


async def test_members_of_all_lanes_are_combined_and_told(it: Rig) -> None:
    first, second = await told(it, "lanes", ["2", "3"], answer="3")
    assert (first.reward, second.reward) == (2 + 4 + 0, 3 + 6 + 4)
    assert second.components == {
        "one": 3,
        "parts": 3,
        "parts.half": 1.5,
        "parts.double": 6,
        "contains": 1,
    }


@pytest.mark.parametrize("size", [1, 16])
async def test_a_composite_is_the_sum_of_its_members_called_alone(it: Rig, size: int) -> None:
    texts = [["5", TAGGED.format(5), "6", "<answer>5</answer>"] * size] * 20
    alone = [await it.score(r, *texts, references={"answer": "5"}) for r in ("exact", "contains")]
    alone.append(await it.score("tags", *texts, references={"answer": "5"}))
    exact, contains, tags = map(rewards, alone)
    wanted = [0.5 * a + 0.25 * b + 0.25 * c for a, b, c in zip(exact, contains, tags, strict=True)]  # type: ignore[operator]
    assert rewards(await it.score("inline", *texts, references={"answer": "5"})) == wanted


async def test_composites_of_composites_are_clipped_and_told(it: Rig) -> None:
    (outcome,) = await told(it, "nested", ["3"], answer="3")
    assert outcome.reward == 20  # lanes 13, inline 0.75
    assert outcome.components["lanes.parts.double"] == 6
    assert outcome.components["inline"] == 0.75


async def test_each_item_is_one_outcome_and_a_failure_names_its_member(it: Rig) -> None:
    texts = ["1", "nan", "exit 3", "none", "unavailable", "nonsense", "2"]
    outcomes = await it.score("both", texts)
    assert rewards(outcomes)[0::6] == [2, 4]
    failed = outcomes[1:6]
    assert [o.reason for o in failed if isinstance(o, ScoreError)] == [
        Reason.INVALID_RESULT,
        Reason.CRASHED,
        Reason.NOT_APPLICABLE,
        Reason.UNAVAILABLE,
        Reason.RAISED,
    ]
    for outcome in failed:
        assert isinstance(outcome, ScoreError)
        assert "member 'one': " in outcome.message
        assert "member 'slow': " in outcome.message
        assert outcome.message.count(outcome.reason.name) >= 2
        assert outcome.retryable is (outcome.reason is Reason.UNAVAILABLE)


async def test_what_drops_out_and_what_is_filled_in(it: Rig) -> None:
    texts = ["1", "none", "nonsense 1"]
    gold = {"answer": "n"}
    # `contains` is 0, 1, 1: alone it stands for all weights.
    assert rewards(await it.score("scaled", texts, references=gold)) == [3.0, 4.0, 4.0]
    filled = await it.score("filled", texts, references=gold)
    assert rewards(filled) == [3.0, 4.0, 3 * 0.5 + 1]
    # No number may stand for a member of a product.
    assert rewards(await it.score("product", texts, references={"answer": "1"})) == [
        1.0,
        "NOT_APPLICABLE",
        "RAISED",
    ]


async def test_a_formula_without_a_value_is_an_error(it: Rig) -> None:
    outcomes = await it.score("broken", ["2", "0", "4"])
    assert rewards(outcomes) == [0.5, "INVALID_RESULT", 0.25]
    assert isinstance(outcomes[1], ScoreError)
    assert "div of 1, 0" in outcomes[1].message


async def test_what_a_gate_leaves_out_does_not_run(it: Rig, tmp_path: Path) -> None:
    log = tmp_path / "log"
    good, bad = "<think>a</think><answer>b</answer>", "bad"
    outcomes = await told(it, "guarded", [good, bad, good], [bad, bad], [good], log=str(log))
    # What passes raises in `one`, which wants numbers.
    assert rewards(outcomes) == ["RAISED", -1, "RAISED", -1, -1, "RAISED"]
    assert executions(log) == Counter({good: 3})
    assert isinstance(outcomes[1], Score)
    assert math.isnan(outcomes[1].components["one"])
    assert outcomes[1].components["format.once"] == 0


async def test_a_gate_within_a_gate(it: Rig, tmp_path: Path) -> None:
    log = tmp_path / "log"
    good = "<think>a</think><answer>{}</answer>"
    texts = [good.format("yes"), good.format("no"), "yes", "no"]
    outcomes = await it.score("twice_guarded", texts, references={"answer": "yes", "log": str(log)})
    assert rewards(outcomes) == ["RAISED", -3, -1, -3]
    assert executions(log) == Counter({texts[0]: 1})


async def test_a_group_behind_a_gate_stays_whole(it: Rig, tmp_path: Path) -> None:
    log = tmp_path / "log"
    references = {"answer": "1", "log": str(log)}
    outcomes = await it.score("guarded_group", ["1", "2", "3"], ["2", "3"], references=references)
    assert rewards(outcomes) == [3, 0, 0, 0, 0]
    assert executions(log) == Counter({"call of 3": 1})


async def test_a_gate_that_failed_fails_the_item(it: Rig) -> None:
    outcomes = await it.score("slow_gate", ["1", "0", "exit 3", "none"], references={"answer": "n"})
    assert rewards(outcomes) == [0.0, 0.0, "CRASHED", 1.0]


async def test_rewards_of_groups_are_members(it: Rig) -> None:
    group = pb.Group(
        example=pb.Example(references={"answer": "5"}),
        responses=[
            pb.Response(text="5", token_count=10),
            pb.Response(text="5", token_count=20),
            pb.Response(text="none of it"),
            pb.Response(text="6", token_count=30),
        ],
    )
    outcomes = flat(await it.answer(pb.ScoreRequest(reward="with_groups", groups=[group])))
    assert rewards(outcomes) == [1 - 1 / 3 + 0.5, 1 - 1 / 3, "INVALID_INPUT", -0.5]


async def test_a_standing_leaves_errors_and_unreadable_responses_alone(it: Rig) -> None:
    outcomes = await it.score("best", ["1", "nonsense", "3", "2"])
    assert rewards(outcomes) == [0, "RAISED", 1, 0.5]
    (one,) = groups_of(["1", "2", "3"])
    data = pb.ScoreRequest(reward="whole", groups=[one]).SerializeToString()
    at = data.index(b"\x12\x03\x0a\x011")
    broken = data[: at + 2] + b"\x0a\x01\xff" + data[at + 5 :]
    assert rewards(flat(await it.answer(broken))) == ["INVALID_INPUT", 2, 2]


async def test_composites_beside_other_rewards_and_by_stream(it: Rig) -> None:
    groups = groups_of(["5", "4"], ["5"], ["1", "2", "3"], ["5"], answer="5")
    for group, name in zip(groups, ("exact", "inline", "lanes", "inline"), strict=True):
        group.reward = name
    request = pb.ScoreRequest(groups=groups)
    request.options.include_components = True
    wanted = flat(await it.answer(request))
    assert rewards(wanted) == [1, 0, 0.75, 3, 6, 9, 0.75]
    streamed: dict[tuple[int, int], Any] = {}
    async for message in it.stream(request):
        for tagged in message.outcomes:
            where = tagged.group_index, tagged.response_index
            assert where not in streamed
            streamed[where] = outcome_from(tagged.outcome, message.reward.component_names)
    assert [streamed[where] for where in sorted(streamed)] == wanted


async def test_groups_that_are_done_are_streamed_before_slow_ones(it: Rig) -> None:
    first, began_s = -1, 0.0
    texts = ["1"], ["sleep 1"], ["sleep 1"]
    async for message in it.stream(request_of("slow_gate", *texts, references={"answer": "1"})):
        if first < 0:
            first = message.outcomes[0].group_index
            began_s = time.monotonic()
    assert first == 0
    assert time.monotonic() - began_s > 0.5


async def test_the_deadline_names_the_member_that_was_late(it: Rig) -> None:
    outcomes = flat(await it.answer(request_of("both", ["1"], ["sleep 30"]), deadline_s=2))
    assert rewards(outcomes) in ([2.0, "DEADLINE"], [2.0, "QUEUE_TIMEOUT"])
    assert isinstance(outcomes[1], ScoreError)
    assert "member 'one'" in outcomes[1].message


async def test_a_wave_whose_time_is_over_does_not_start(it: Rig) -> None:
    request = request_of("slow_gate", ["0"], ["sleep 30"], references={"answer": "1"})
    outcomes = flat(await it.answer(request, deadline_s=2))
    assert rewards(outcomes)[0] == 0
    assert reasons(outcomes[1:]) in ({"DEADLINE": 1}, {"QUEUE_TIMEOUT": 1})


async def test_a_cancelled_call_stops_its_members(it: Rig, tmp_path: Path) -> None:
    log = tmp_path / "log"
    references = {"log": str(log)}
    call = it.answer(request_of("both", *[["sleep 0.3"]] * 20, references=references))
    while not executions(log):
        await asyncio.sleep(0.01)
    call.cancel()
    await asyncio.sleep(1.5)
    ran = executions(log).total()
    await asyncio.sleep(0.7)
    assert executions(log).total() == ran < 40


async def test_members_are_counted_as_what_they_did(it: Rig) -> None:
    before = {name: figures.items["SCORED"] for name, figures in it.metrics.rewards.items()}
    batches = it.metrics.batches_sum
    texts = [TAGGED.format(1)] * 2 + ["bad"] * 3
    await it.score("twice_guarded", texts, references={"answer": "bad"})
    after = {name: figures.items["SCORED"] for name, figures in it.metrics.rewards.items()}
    grown = {name: after[name] - before.get(name, 0) for name in after}
    wanted = {"twice_guarded": 5, "contains": 5, "guarded": 3, "format": 3}
    assert {name: count for name, count in grown.items() if count} == wanted
    assert it.metrics.batches_sum - batches == 5


async def test_an_inline_configuration_is_made_of_what_is_served(it: Rig) -> None:
    async def validated(config: dict[str, Any]) -> Any:
        request = pb.ValidateRewardRequest(
            example=pb.Example(references={"answer": "5"}),
            response=pb.Response(text="5"),
            inline_config=json.dumps(config),
        )
        answer = await it.call("ValidateReward", request, pb.ValidateRewardResponse, timeout=60)
        return outcome_from(answer.outcome, answer.reward.component_names)

    outcome = await validated({"kind": "composite", "formula": "lanes - exact"})
    assert outcome.reward == 18
    assert outcome.components["lanes.contains"] == 1
    with pytest.raises(Exception, match="no reward is named 'exakt'; did you mean 'exact'"):
        await validated({"kind": "composite", "formula": "exakt"})


async def test_reload_replaces_composites_with_their_members(it: Rig) -> None:
    from rewardplane.config.load import parse

    def served(**contains: Any) -> Any:
        members = {"exact": {"kind": "exact"}, "contains": {"kind": "contains", **contains}}
        return parse({"rewards": {**members, "sum": sum_of(exact=1, contains=1)}}, Path())

    async with rig({"exact": {"kind": "exact"}}) as made:
        made.rewards.switch(served(), 2)
        first = made.rewards.find("sum", "")
        made.rewards.switch(served(), 3)
        assert made.rewards.find("sum", "") is first
        made.rewards.switch(served(replicas=2), 4)
        sized = made.rewards.find("sum", "")
        assert sized is not first
        assert sized.digest == first.digest
        assert sized.members["contains"] is made.rewards.find("contains", "")
        made.rewards.switch(served(text="x"), 5)
        assert made.rewards.find("sum", "").digest != first.digest


# ---- what it is for ---------------------------------------------------------------------------


async def test_three_inline_members_cost_little_more_than_alone(it: Rig) -> None:
    groups = [["5", TAGGED.format(5), "6", "<answer>5</answer>" * 3]] * 500
    members = ("exact", "contains", "tags")
    data = {
        name: request_of(name, *groups, references={"answer": "5"}).SerializeToString()
        for name in (*members, "inline")
    }

    async def cpu_s(*names: str) -> float:
        begin_s = time.process_time()
        for name in names:
            await it.scorer.score(data[name], 60.0, "")
        return time.process_time() - begin_s

    best = min([await cpu_s("inline") / await cpu_s(*members) for _ in range(8)])
    assert best <= 1.5


async def test_a_pool_member_adds_one_exchange() -> None:
    sent: list[int] = []
    served = {"one": poison(), "contains": {"kind": "contains"}, "both": sum_of(one=3, contains=1)}
    async with rig(served) as it:
        await it.score("one", ["1"])  # the worker is there, and known to be cheap
        pool = it.pools["one"]
        start = pool.start_at_once

        def counted(message: Any, *more: Any) -> Any:
            made = start(message, *more)
            if made is not None:
                sent.append(message[1])
            return made

        pool.start_at_once = counted  # type: ignore[method-assign]
        assert rewards(await it.score("both", ["1", "2"], references={"answer": "2"})) == [3, 7]
    assert sent == [2]


def solutions() -> list[dict[str, Any]]:
    return [json.loads(line) for line in SAMPLE.read_text("utf-8").splitlines()]


CONTRACTS: dict[str, dict[str, Any]] = {
    # `math` as all three can say it: the line that states the answer.
    "maths": {"kind": "math"},
    "math": {"kind": "contains", "reference": "line", "look_in": "all"},
    "format": {"kind": "contains", "text": "\nA: ", "look_in": "all"},
    "ours": {
        **sum_of(math=0.8, format=0.2),
        "gates": [{"reward": "format"}],
    },
    "real": {**sum_of(maths=0.8, format=0.2), "gates": [{"reward": "format"}]},
    "openai": {
        "kind": "openai_grader",
        "grader": {
            "type": "multi",
            "name": "all",
            "graders": {
                name: {
                    "type": "string_check",
                    "name": name,
                    "operation": "like",
                    "input": "{{ sample.output_text }}",
                    "reference": reference,
                }
                for name, reference in (("math", "{{ item.line }}"), ("format", "\nA: "))
            },
            "calculate_output": "format * (0.8*math + 0.2*format)",
        },
    },
    "gemini": {
        "kind": "gemini",
        "config": {
            "compositeRewardConfig": {
                "weightedRewardConfigs": [
                    {
                        "weight": weight,
                        "rewardConfig": {
                            "rewardName": name,
                            "stringMatchRewardScorer": {
                                "correctAnswerReward": 1.0,
                                "wrongAnswerReward": 0.0,
                                "stringMatchExpression": {
                                    "matchOperation": "PARTIAL_MATCH",
                                    "expression": expression,
                                },
                            },
                        },
                    }
                    for name, weight, expression in (
                        ("math", 0.8, "{{references.line}}"),
                        ("format", 0.2, "\nA: "),
                    )
                ]
            }
        },
    },
}


async def test_gsm8k_by_three_contracts() -> None:
    """Every third response loses its format: "A: 18" becomes "18".

    Gemini's composite has no gates: where the format fails and the answer is right all the same it
    gives 0.8, by design. (Here `math` wants the line with the format, so there is no such item.)
    """
    groups: list[pb.Group] = []
    right: list[bool] = []
    formed: list[bool] = []
    for problem in solutions():
        gold = problem["references"]["answer"]
        example = pb.Example(references={"answer": gold, "line": f"\nA: {gold}"})
        group = pb.Group(example=example)
        for response in problem["responses"]:
            text = response["text"]
            keeps = len(right) % 3 != 0
            text = text if keeps else text.replace("\nA: ", "\nThe answer is ")
            group.responses.append(pb.Response(text=text))
            right.append(response["is_correct"])
            formed.append("\nA: " in text)
        groups.append(group)
    async with rig(CONTRACTS) as it:
        by_name = {
            name: rewards(flat(await it.answer(pb.ScoreRequest(reward=name, groups=groups))))
            for name in ("ours", "openai", "gemini", "real")
        }
    assert by_name["ours"] == by_name["openai"] == by_name["gemini"]
    assert by_name["real"] == [
        (0.8 * is_right + 0.2) * is_formed
        for is_right, is_formed in zip(right, formed, strict=True)
    ]


@pytest_asyncio.fixture(loop_scope="module")
async def judge() -> AsyncIterator[JudgeServer]:
    async with serving() as server:
        yield server


def asks(judge: JudgeServer) -> dict[str, Any]:
    grader = {
        "type": "score_model",
        "name": "judge",
        "model": "judge-1",
        "input": [{"role": "user", "content": "{{ sample.output_text }}"}],
    }
    endpoint = {"base_url": judge.base_url, "timeout_s": 5}
    return {"kind": "openai_grader", "grader": grader, "judge": endpoint}


async def by_length(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
    """A judge whose number follows from the response."""
    size = len(body["messages"][-1]["content"])
    return await says(json.dumps({"steps": [], "result": size % 100 / 100}))(request, body)


async def test_sixty_percent_without_format_are_sixty_percent_fewer_calls(
    judge: JudgeServer,
) -> None:
    judge.replies = [by_length]
    both = {**sum_of(judge=0.8, format=0.2)}
    served = {
        "judge": asks(judge),
        "format": {"kind": "format"},
        "open": both,
        "gated": {**both, "gates": [{"reward": "format"}]},
    }
    texts = [
        [TAGGED.format("x" * (7 * g + r + 1)) if r < 2 else f"no format {g} {r}" for r in range(5)]
        for g in range(20)
    ]
    async with rig(served) as it:
        every = await it.score("open", *texts)
        calls = len(judge.bodies)
        gated = await it.score("gated", *texts)
        # Quotas of tokens charge a composite with what its members take, and no more.
        tokens = {name: it.rewards.find(name, "").judge_tokens_per_item for name in served}
        health = {name: it.metrics.health.health(name, "") for name in served}
    each = tokens["judge"]
    assert each > 0
    assert tokens == {"judge": each, "format": 0, "open": each, "gated": 0.4 * each}
    # Of the rewards that calls named, not of their members.
    assert {name: one.items for name, one in health.items() if one} == {"open": 100, "gated": 100}
    assert calls == 100
    assert len(judge.bodies) - calls == 40
    for at, (one, other) in enumerate(zip(every, gated, strict=True)):
        assert isinstance(one, Score)
        assert other == (one if at % 5 < 2 else Score(0.0))


async def test_a_panel_of_three_with_one_failing_judge(judge: JudgeServer) -> None:
    judge.replies = [says(None, refusal="not this")]
    members = {"one": 1, "parts": {"affine": {"mean": 2, "std": 2}}, "judge": 1}
    served = {
        "one": poison(),
        "parts": poison("parts", components=["half", "double"]),
        "judge": asks(judge),
        "strict": {"kind": "panel", "members": members},
        "two": {"kind": "panel", "members": members, "quorum": 2},
        "median": {"kind": "panel", "members": members, "quorum": 2, "combine": "median"},
    }
    async with rig(served) as it:
        two = await told(it, "two", ["6", "nan"])
        (strict,) = await it.score("strict", ["6"])
        judge.replies = [says('{"steps": [], "result": 1.0}')]
        (median,) = await told(it, "median", ["6"])
    assert two[0].reward == (6 + 2) / 2
    assert two[0].components["spread"] == 2
    assert two[0].components["votes"] == 2
    assert math.isnan(two[0].components["judge"])
    assert isinstance(two[1], ScoreError)
    assert two[1].reason is Reason.INVALID_RESULT
    assert two[1].message.startswith("0 of 3 members have a reward, want 2: member 'one': INVALID")
    assert isinstance(strict, ScoreError)
    assert strict.reason is Reason.JUDGE_REFUSED
    assert strict.usage == Usage(100, 20, 0, 1)
    assert strict.message.startswith("2 of 3 members have a reward, want 3: member 'judge': JUDGE_")
    assert median.reward == 2
    assert median.components["votes"] == 3


async def test_details_are_one_document_and_usage_is_summed() -> None:
    served: dict[str, dict[str, Any]] = {
        "telling": {"kind": "python", "function": "telling:grade"},
        "plain": poison(),
        "sum": {
            "kind": "composite",
            "formula": "a + 0*b + plain",
            "members": {"a": "telling", "b": "telling"},
        },
    }
    async with rig(served) as it:
        request = request_of("sum", ["7", "refused"])
        request.options.include_details = True
        scored, failed = (await it.answer(request)).groups[0].outcomes
        assert json.loads(scored.score.details_json) == {"a": {"it": "7"}, "b": {"it": "7"}}
        assert not scored.score.explanation
        assert (failed.error.usage.prompt_tokens, failed.error.usage.calls) == (200, 4)
        request.options.include_details = False
        request.options.include_explanations = True
        scored, _ = (await it.answer(request)).groups[0].outcomes
        assert not scored.score.details_json
        assert scored.score.explanation == "a: words\nb: words"
