"""A model's host behind a gateway: outcomes, order, sharing, and what becomes of faults."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import time
from collections import Counter
from pathlib import Path
from typing import Any, cast

import pytest
from prometheus_client import generate_latest
from rewardplane.client.client import RewardClient
from rewardplane.config.load import ConfigError, parse
from rewardplane.models.engine import EngineFailed
from rewardplane.models.shared import MAX_KEPT_BYTES, TALLY, Shared
from rewardplane.rewards.judging.questions import predicate
from rewardplane.rewards.kinds.reward_model import RewardModel
from rewardplane.rewards.models.model import LabelReading
from rewardplane.rewards.models.model_facts import ModelFacts
from rewardplane.rewards.models.question import Sampling
from rewardplane.rewards.types import (
    Content,
    Example,
    Group,
    JudgeUnreadable,
    Part,
    RateLimited,
    Response,
    Score,
    Unavailable,
    Usage,
)
from rewardplane.v1 import reward_service_pb2 as pb

from ..support.functions.stub_model import number_of
from ..support.rig import FOLDER, flat, reasons, request_of
from .hosting import RM, STUB, hosts

JUDGE = {
    "kind": "judge",
    "model": "m",
    "ask": {"kind": "predicate", "instructions": "Is it good?"},
    "show": "{{ response }}",
}


def engine(**more: object) -> dict[str, object]:
    """The stub with some arguments."""
    return {**STUB, "engine": more}


def asked(request: pb.ScoreRequest) -> pb.ScoreRequest:
    """The request with a prompt for each group."""
    for group in request.groups:
        group.example.contents.add(role="user").parts.add(text="a prompt")
    return request


async def test_items_get_the_models_number_in_their_order() -> None:
    words = [f"answer {i}" for i in range(100)]
    async with hosts(STUB, plain=RM, flat={**RM, "transform": "sigmoid"}) as rig:
        plain = await rig.answer(asked(request_of("plain", words[:50], words[50:])))
        squashed = flat(await rig.answer(asked(request_of("flat", words))))
    assert [o.reward for o in flat(plain) if isinstance(o, Score)] == [number_of(w) for w in words]
    expected = [1 / (1 + math.exp(-number_of(w))) for w in words]
    assert [o.reward for o in squashed if isinstance(o, Score)] == pytest.approx(expected)


async def test_an_answer_says_which_model_it_is_of() -> None:
    async with hosts(STUB, it=RM) as rig:
        answer = await rig.answer(asked(request_of("it", ["a", "b"])))
        with_errors = await rig.answer(asked(request_of("it", ["a", "nan"])))
        async for message in rig.stream(asked(request_of("it", ["a"]))):
            assert message.model.name == "m"
    for told in (answer, with_errors):
        (model,) = told.models
        assert (model.name, model.engine, model.weights_digest) == ("m", "stub", "one")
        assert len(model.digest) == 16
        assert [used.model for used in told.rewards] == ["m"]


async def test_a_judge_and_a_reward_model_are_told_apart_by_head() -> None:
    async with hosts(engine(head="chat") | {"head": "chat"}, it=JUDGE) as rig:
        (outcome,) = flat(await rig.answer(asked(request_of("it", ["x"]))))
    assert isinstance(outcome, Score)
    assert 0 <= outcome.reward <= 1


async def test_a_fault_is_that_items_alone() -> None:
    async with hosts(engine(latency_s=0.01), it={**RM, "timeout_s": 1}) as rig:
        words = ["a", "nan", "b", "hang", "c"]
        outcomes = flat(await rig.answer(asked(request_of("it", words))))
    assert reasons(outcomes) == Counter(SCORED=3, INVALID_RESULT=1, TIMED_OUT=1)
    assert [isinstance(o, Score) for o in outcomes] == [True, False, True, False, True]


async def test_of_many_the_first_are_asked_while_the_others_begin(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A device that waits for the first of a thousand items must not wait for all."""
    begun, asked_at = 0, list[int]()
    plain = RewardModel.score

    async def counted(self: RewardModel, example: Example, response: Response) -> Any:
        nonlocal begun
        begun += 1
        for _ in range(3):  # what comes before the engine
            await asyncio.sleep(0)
        asked_at.append(begun)
        return await cast("Any", plain(self, example, response))

    monkeypatch.setattr(RewardModel, "score", counted)
    async with hosts(engine() | {"in_flight": 1_000}, it=RM) as rig:
        answer = flat(await rig.answer(asked(request_of("it", [f"a {n}" for n in range(600)]))))
    assert all(isinstance(one, Score) for one in answer)
    assert len(asked_at) == 600
    assert asked_at[0] <= 200
    assert asked_at[300] < 600


async def test_a_call_that_does_not_end_is_left_alone_and_its_place_given_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plain = RewardModel.score
    ends = asyncio.Event()

    async def stubborn(self: RewardModel, example: Example, response: Response) -> Any:
        while "stubborn" in response.text and not ends.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await ends.wait()
        return await cast("Any", plain(self, example, response))

    monkeypatch.setattr(RewardModel, "score", stubborn)
    model = engine(latency_s=0.01) | {"in_flight": 2}
    async with hosts(model, it={**RM, "timeout_s": 0.5}) as rig:
        begin_s = time.monotonic()
        outcomes = flat(await rig.answer(asked(request_of("it", ["stubborn", "a", "stubborn 2"]))))
        assert reasons(outcomes) == Counter(SCORED=1, TIMED_OUT=2)
        assert time.monotonic() - begin_s < 5
        (alone,) = flat(await rig.answer(asked(request_of("it", ["stubborn 3"]))))
        assert reasons([alone]) == Counter(TIMED_OUT=1)
        again = flat(await rig.answer(asked(request_of("it", ["b", "c"]))))
        assert reasons(again) == Counter(SCORED=2)
        ends.set()


async def test_what_is_in_an_engine_that_dies_in_silence_is_asked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing that was in it ends, and nobody is told: its flag is all there is to see."""
    asks = 0

    async def number(self: Any, _messages: Any) -> float:
        nonlocal asks
        asks += 1
        if asks <= 2:
            if asks == 2:
                self.dead = "its engine is gone"
            await asyncio.Event().wait()
        self.dead = ""  # of the one elsewhere
        return 0.5

    served = hosts(STUB, it={**RM, "timeout_s": 60})
    async with served as rig, asyncio.timeout(20):
        model: Any = cast("Any", served.hosts["m"])._loaded.inner
        monkeypatch.setattr(type(model), "_number", number)
        outcomes = flat(await rig.answer(asked(request_of("it", ["a", "b"]))))
    assert reasons(outcomes) == Counter(SCORED=2)


async def test_equal_questions_are_asked_once_and_kept(tmp_path: Path) -> None:
    log = tmp_path / "log"
    model = engine(latency_s=0.05, log=str(log)) | {"determinism": "item"}
    async with hosts(model, it=RM, other={**RM, "transform": "sigmoid"}) as rig:
        for name in ("it", "it", "other"):
            outcomes = flat(await rig.answer(asked(request_of(name, ["same"] * 20, ["else"]))))
            assert reasons(outcomes) == Counter(SCORED=21)
        counted = rig.metrics.rewards["it"].counted
        assert counted["model_calls.m\t"] == 2
        assert counted["model_shared.m\t"] == 40
    assert len(log.read_text().splitlines()) == 2


async def test_without_the_cache_an_item_is_asked_anew(tmp_path: Path) -> None:
    log = tmp_path / "log"
    model = engine(log=str(log)) | {"determinism": "none"}
    async with hosts(model, it=RM) as rig:
        for _ in range(3):
            await rig.answer(asked(request_of("it", ["same"])))
    assert len(log.read_text().splitlines()) == 3


async def test_the_more_urgent_call_and_the_group_nearest_to_its_end_go_first(
    tmp_path: Path,
) -> None:
    log = tmp_path / "log"
    model = engine(latency_s=0.05, log=str(log)) | {"in_flight": 1}
    async with hosts(model, it=RM) as rig, asyncio.TaskGroup() as calls:

        async def call(words: list[str], deadline_s: float) -> None:
            outcomes = flat(await rig.answer(asked(request_of("it", words)), deadline_s))
            assert reasons(outcomes) == Counter(SCORED=len(words))

        calls.create_task(call(["first"], 60.0))
        await asyncio.sleep(0.02)
        calls.create_task(call([f"patient {i}" for i in range(4)], 60.0))
        await asyncio.sleep(0.01)
        calls.create_task(call([f"urgent {i}" for i in range(3)], 20.0))
    order = [line.split()[1] for line in log.read_text().splitlines()]
    # One of the patient ones may have got the place before the urgent ones came.
    assert order.index("urgent") <= 2
    assert [w for w in order if w != "first"][-3:] == ["patient"] * 3


async def test_what_has_no_place_in_time_never_started(tmp_path: Path) -> None:
    log = tmp_path / "log"
    model = engine(latency_s=0.5, log=str(log)) | {"in_flight": 1}
    async with hosts(model, it={**RM, "queue_timeout_s": 0.7}) as rig:
        outcomes = flat(await rig.answer(asked(request_of("it", [str(i) for i in range(6)]))))
    counts = reasons(outcomes)
    assert counts["QUEUE_TIMEOUT"] == 6 - counts["SCORED"]
    assert 1 <= counts["SCORED"] <= 3
    assert len(log.read_text().splitlines()) == counts["SCORED"]


async def test_a_cancelled_call_leaves_nothing_to_run(tmp_path: Path) -> None:
    log = tmp_path / "log"
    model = engine(latency_s=0.2, log=str(log)) | {"in_flight": 2}
    async with hosts(model, it=RM) as rig:
        call = rig.answer(asked(request_of("it", [str(i) for i in range(50)])))
        await asyncio.sleep(0.3)
        call.cancel()
        before, ran = -1, 0
        while ran != before:  # what goes on writes a line each 0.1 s, to the last of them
            await asyncio.sleep(0.6)
            before, ran = ran, len(log.read_text().splitlines())
    assert 0 < ran < 50


async def test_a_cancelled_call_gives_its_place_back_at_once() -> None:
    """What it had in the engine ends with it, and does not hold the next call up."""
    async with hosts(engine() | {"in_flight": 1}, it={**RM, "timeout_s": 60}) as rig:
        call = rig.answer(asked(request_of("it", ["hang", "hang 2"])))
        await asyncio.sleep(0.3)
        call.cancel()
        outcomes = flat(await rig.answer(asked(request_of("it", ["a"])), 20))
    assert reasons(outcomes) == Counter(SCORED=1)


async def test_what_fails_with_its_engine_is_no_fault_of_the_item() -> None:
    """It is sent again, to no avail here, where there is no other engine."""
    async with hosts(engine(latency_s=0.02), it=RM) as rig:
        words = [f"a {i}" for i in range(5)] + ["die"]
        outcomes = flat(await rig.answer(asked(request_of("it", words))))
        counts = reasons(outcomes)
        assert rig.metrics.rewards["it"].retries >= 3
    assert set(counts) <= {"SCORED", "CRASHED"}
    assert counts["CRASHED"] >= 1


async def test_a_client_is_told_the_model() -> None:
    async with hosts(STUB, it=RM) as rig, RewardClient(rig.address) as client:
        group = Group(Example([Content("user", [Part("a prompt")])]), [Response("a")])
        result = await client.score("it", [group])
        infos = await client.list_rewards()
    (model,) = result.models
    assert (model.name, model.facts.engine, model.facts.dtype) == ("m", "stub", "float32")
    assert result.rewards[0].model == model
    assert [info.lane for info in infos] == ["model"]


class Impatient:
    """A model whose first answer fails as late as its caller allows; the next ones are quick."""

    name, head = "m", "chat"

    def __init__(self) -> None:
        self.asked = 0
        self.fails = 1
        self.facts = ModelFacts("stub")

    async def labels(self, *_: Any, timeout_s: float, **__: Any) -> LabelReading:
        self.asked += 1
        if self.asked <= self.fails:
            await asyncio.sleep(timeout_s)
            raise RateLimited("no room in time")
        await asyncio.sleep(0.01)
        return LabelReading({"Yes": 1.0, "No": 0.0}, 1.0, "logits", Usage(7, 1, 0, 1))


async def test_who_has_more_time_than_the_first_asks_again_and_pays_once() -> None:
    model = Impatient()
    shared = Shared(cast("Any", model), keeps=False)

    def ask(timeout_s: float) -> Any:
        shown = [{"role": "user", "content": "same"}]
        question = predicate("Good?")
        return shared.labels(shown, question, sampling=Sampling(), timeout_s=timeout_s)

    first, *others = await asyncio.gather(
        ask(0.05), *(ask(30.0) for _ in range(5)), return_exceptions=True
    )
    assert isinstance(first, RateLimited | Unavailable)
    assert [one.probs["Yes"] for one in others] == [1.0] * 5
    assert sorted(one.usage.prompt_tokens for one in others) == [0, 0, 0, 0, 7]
    assert model.asked == 2


async def test_whoever_has_time_left_asks_until_it_is_the_one_who_asks() -> None:
    """Two askers in a row have less time than a third, which waits for both of them."""
    model = Impatient()
    model.fails = 2
    shared = Shared(cast("Any", model), keeps=False)

    def ask(timeout_s: float) -> Any:
        options: Any = {"sampling": Sampling(), "timeout_s": timeout_s}
        shown = [{"role": "user", "content": "same"}]
        return shared.labels(shown, predicate("Good?"), **options)

    async def later(after_s: float, timeout_s: float) -> Any:
        await asyncio.sleep(after_s)
        return await ask(timeout_s)

    asks = ask(0.3), later(0.05, 0.6), later(0.1, 30.0)
    *others, last = await asyncio.gather(*asks, return_exceptions=True)
    assert [isinstance(one, RateLimited | Unavailable) for one in others] == [True, True]
    assert last.probs["Yes"] == 1.0
    assert model.asked == 3


class Reasons(Impatient):
    """A model that says much before its label."""

    async def labels(self, messages: Any, *_: Any, **__: Any) -> LabelReading:
        self.asked += 1
        return LabelReading({"Yes": 1.0, "No": 0.0}, 1.0, "text", text="because " * 2**15)


async def test_what_is_kept_is_bounded_by_its_bytes() -> None:
    model = Reasons()
    shared = Shared(cast("Any", model), keeps=True)

    async def ask(word: str) -> None:
        shown = [{"role": "user", "content": word}]
        await shared.labels(shown, predicate("Good?"), sampling=Sampling(), timeout_s=9)

    for number in range(200):
        await ask(str(number))
        assert shared.kept_bytes <= MAX_KEPT_BYTES
    await ask("199")
    assert model.asked == 200, "the last one is kept"
    await ask("0")
    assert model.asked == 201, "the first one is not"


class Unreadable(Impatient):
    """A model that takes tokens and says nothing that was asked."""

    async def labels(self, *_: Any, **__: Any) -> LabelReading:
        self.asked += 1
        await asyncio.sleep(0.02)
        fault = JudgeUnreadable("hm")
        fault.usage = Usage(7, 1, 0, 1)
        raise fault


async def test_what_was_taken_in_vain_is_counted_and_told_once() -> None:
    """Also where the one who asked first has gone."""
    model = Unreadable()
    shared = Shared(cast("Any", model), keeps=False)
    tally: Counter[str] = Counter()
    TALLY.set(tally)
    options: Any = {"sampling": Sampling(), "timeout_s": 30}
    asks = [asyncio.create_task(shared.labels([], predicate("Good?"), **options)) for _ in range(4)]
    await asyncio.sleep(0.005)
    asks[0].cancel()
    told = await asyncio.gather(*asks, return_exceptions=True)
    assert model.asked == 1
    assert [type(one) for one in told[1:]] == [JudgeUnreadable] * 3
    usages = [cast("JudgeUnreadable", one).usage for one in told[1:]]
    assert [u.prompt_tokens for u in usages if u is not None] == [7]
    assert tally["model_calls.m"] == 1
    assert tally["model_prompt_tokens.m"] == 7


class Rude(Impatient):
    """A model whose first answers are no answers."""

    async def labels(self, *_: Any, timeout_s: float, **__: Any) -> LabelReading:
        self.asked += 1
        number = self.asked
        await asyncio.sleep(0.01)
        if number == 1:
            raise SystemExit(3)
        if number == 2:
            raise asyncio.CancelledError
        await asyncio.sleep(0.2)
        return LabelReading({"Yes": 1.0, "No": 0.0}, 1.0, "logits", Usage(7, 1, 0, 1))


async def test_a_model_that_exits_or_cancels_itself_fails_that_question_alone() -> None:
    """All who asked it are told, and the event loop goes on."""
    shared = Shared(cast("Any", Rude()), keeps=False)

    def ask(word: str, timeout_s: float = 30.0) -> Any:
        shown = [{"role": "user", "content": word}]
        options: Any = {"sampling": Sampling(), "timeout_s": timeout_s}
        return shared.labels(shown, predicate("Good?"), **options)

    asks = [ask(word) for word in ("exits", "exits", "cancels", "cancels", "answers")]
    late = ask("answers", 0.05)
    *failed, answered, gone = await asyncio.gather(*asks, late, return_exceptions=True)
    assert [type(one) for one in failed] == [RuntimeError] * 4
    assert "SystemExit(3)" in str(failed[0])
    assert answered.probs["Yes"] == 1.0
    # Who had less time has gone without it.
    assert isinstance(gone, Unavailable)
    assert "did not answer in 0.05 s" in str(gone)


async def test_a_question_that_nobody_waits_for_is_asked_anew() -> None:
    model = Impatient()
    shared = Shared(cast("Any", model), keeps=False)
    shown = [{"role": "user", "content": "same"}]

    def ask() -> asyncio.Task[Any]:
        asked = shared.labels(shown, predicate("Good?"), sampling=Sampling(), timeout_s=30)
        return asyncio.create_task(asked)

    both = ask(), ask()
    await asyncio.sleep(0.01)
    for one in both:
        one.cancel()
    await asyncio.wait(both)
    assert (await ask()).probs["Yes"] == 1.0
    assert model.asked == 2


async def test_usage_is_counted_by_the_clients_job() -> None:
    """Calls of several jobs that travel together, and more jobs than are told apart."""
    async with hosts(engine(latency_s=0.02) | {"determinism": "none"}, it=RM) as rig:

        async def call(job: str, count: int) -> None:
            words = [f"{job} {i}" for i in range(count)]
            request = asked(request_of("it", words, job=job))
            assert reasons(flat(await rig.answer(request))) == Counter(SCORED=count)

        await asyncio.gather(*(call(f"job {n}", n) for n in range(1, 9)), call("", 3))
        counted = rig.metrics.rewards["it"].counted
        for n in range(1, 9):
            assert counted[f"model_calls.m\tjob {n}"] == n
            assert counted[f"model_prompt_tokens.m\tjob {n}"] == 10 * n
        assert counted["model_calls.m\t"] == 3
        text = generate_latest(rig.metrics.registry).decode()
        labels = '{model="m",reward="it",training_job="job 8"}'
        line = f"rewardplane_model_prompt_tokens_total{labels} 80.0"
        assert line in text
        served = rig.rewards.find("it", "")
        served.note_figures({f"model_calls.m\tname {n}": 1.0 for n in range(1_000)})
        assert len(counted) < 500
        assert sum(v for k, v in counted.items() if k.startswith("model_calls")) == 1_039


async def test_the_noise_of_golden_items_is_told_and_measured(tmp_path: Path) -> None:
    golden = tmp_path / "golden.jsonl"
    items = [
        {"messages": [{"role": "user", "content": w}], "value": number_of(w)} for w in ("a", "b")
    ]
    golden.write_text("\n".join(map(json.dumps, items)))
    model = engine(noise=0.004) | {"golden": str(golden), "golden_tolerance": 0.01}
    async with hosts(model, it=RM) as rig, RewardClient(rig.address) as client:
        example = Example([Content("user", [Part("a prompt")])])
        scores = await client.score("it", [Group(example, [Response("a")])])
        (info,) = await client.list_rewards()
        text = generate_latest(rig.metrics.registry).decode()
    (used,) = scores.models
    assert used.facts.noise == pytest.approx(0.004)
    assert info.model is not None
    assert info.model.facts == used.facts
    assert 'rewardplane_model_noise{model="m"} 0.004' in text


@pytest.mark.parametrize("value", ["NaN", "Infinity", "true", '"0.5"', "null"])
async def test_a_golden_value_that_is_no_number_lets_no_model_serve(
    value: str, tmp_path: Path
) -> None:
    golden = tmp_path / "golden.jsonl"
    messages = '[{"role": "user", "content": "a"}]'
    golden.write_text(f'{{"messages": {messages}, "value": {value}}}')
    with pytest.raises(EngineFailed, match="line 1 cannot be read"):
        async with hosts({**STUB, "golden": str(golden)}, it=RM):
            pass


def test_golden_items_of_a_chat_head_are_refused() -> None:
    with pytest.raises(ConfigError, match="golden: holds the numbers"):
        parse(
            {
                "models": {"m": {**STUB, "head": "chat", "golden": "x.jsonl"}},
                "rewards": {"it": JUDGE},
            },
            FOLDER,
        )
