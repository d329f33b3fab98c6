"""Custom functions: every shape, what reaches them, what they may return, what is refused."""

from __future__ import annotations

import asyncio
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from rewardplane.rewards import (
    Blob,
    Content,
    Example,
    FileData,
    FunctionCall,
    FunctionResponse,
    Outcome,
    Part,
    Reason,
    Response,
    Score,
    ScoreError,
)
from rewardplane.rewards.functions.importing import LoadError
from rewardplane.rewards.registry import build
from rewardplane.rewards.reward import Reward, Unit
from rewardplane.rewards.run import Clip, run_item, run_items, run_items_async

FOLDER = str(Path(__file__).parents[1] / "functions")
EXAMPLE = Example((Content("user", [Part("What?")]),), {"answer": "a"})
TEXTS = ("a", "bb", "a")


def reward_of(name: str, module: str = "reward_samples", **params: Any) -> Reward:
    return build("python", {"function": f"{module}:{name}", "python_path": [FOLDER], **params})


async def run(reward: Reward, items: Sequence[tuple[Example, Response]]) -> list[Outcome]:
    """As the service does: one call for an item, or for all items of the group."""
    reward.setup()
    if reward.is_async:
        if reward.unit is Unit.ITEM:
            return [(await run_items_async(reward, [i], Clip(), 30.0))[0] for i in items]
        return await run_items_async(reward, items, Clip(), 30.0)
    if reward.unit is Unit.ITEM:
        return [run_item(reward, item, Clip()) for item in items]
    return run_items(reward, items, Clip())


@pytest.mark.parametrize(
    ("name", "params", "unit", "whole", "is_async", "rewards"),
    [
        ("evaluate", {}, Unit.ITEM, False, False, [1, -1, 1]),
        ("evaluate_async", {}, Unit.ITEM, False, True, [1, -1, 1]),
        ("grade", {}, Unit.ITEM, False, False, [1, 0, 1]),
        ("grade_async", {}, Unit.ITEM, False, True, [1, 0, 1]),
        ("compute_score", {"components": ["acc"]}, Unit.ITEM, False, False, [1, 0, 1]),
        ("compute_score_async", {"components": ["acc"]}, Unit.ITEM, False, True, [1, 0, 1]),
        ("short_compute_score", {}, Unit.ITEM, False, False, [1, 0, 1]),
        ("trl", {}, Unit.GROUP, False, False, [1, 0, 1]),
        ("trl_async", {}, Unit.GROUP, False, True, [1, 0, 1]),
        ("trl", {"batch": "items"}, Unit.SHARD, False, False, [1, 0, 1]),
        ("score_group", {}, Unit.GROUP, True, False, [0, 1, 0]),
        ("score_group_async", {}, Unit.GROUP, True, True, [0, 1, 0]),
        ("Model", {}, Unit.SHARD, False, False, [1, 2, 1]),
        ("Model", {"kwargs": {"weight": 0.5}}, Unit.SHARD, False, False, [0.5, 1, 0.5]),
        ("AsyncModel", {}, Unit.SHARD, False, True, [1, 2, 1]),
        ("Bare", {}, Unit.SHARD, False, False, [0.5] * 3),
        ("an_instance", {}, Unit.ITEM, False, True, [0.25] * 3),
        ("a_partial", {"components": ["acc"]}, Unit.ITEM, False, False, [1, 0, 1]),
        ("a_partial_async", {}, Unit.ITEM, False, True, [1, -1, 1]),
        ("weighted", {"kwargs": {"weight": 2, "bonus": 1}}, Unit.ITEM, False, False, [3, 3, 3]),
        ("strangely_named", {"shape": "evaluate"}, Unit.ITEM, False, False, [1, 0, 1]),
        ("positional", {}, Unit.ITEM, False, False, [0.75] * 3),
    ],
)
async def test_every_shape(
    name: str,
    params: dict[str, Any],
    unit: Unit,
    whole: bool,
    is_async: bool,
    rewards: list[float],
) -> None:
    if "compute_score" in name or name == "a_partial":
        params = {**params, "reference": "answer"}
    reward = reward_of(name, **params)
    reward.check()
    assert (reward.unit, reward.whole_group, reward.is_async) == (unit, whole, is_async)
    outcomes = await run(reward, [(EXAMPLE, Response(text)) for text in TEXTS])
    assert [o.reward for o in outcomes if isinstance(o, Score)] == rewards
    if "components" in params:
        assert all(isinstance(o, Score) and o.components == {"acc": 1.0} for o in outcomes)


@pytest.mark.parametrize("shape", ["evaluate", "grade", "compute_score", "trl", "score_group"])
def test_a_named_shape_needs_no_import_to_plan_by(shape: str) -> None:
    reward = build("python", {"function": "no_such_module_anywhere:fn", "shape": shape})
    assert reward.whole_group is (shape == "score_group")
    assert reward.unit is (Unit.GROUP if shape in ("trl", "score_group") else Unit.ITEM)


async def test_a_trl_function_gets_one_call_for_what_it_is_given() -> None:
    items = [(EXAMPLE, Response(text)) for text in TEXTS]
    assert await run(reward_of("trl_size"), items) == [Score(3.0)] * 3


class TestFaultsOfTheConfiguration:
    @pytest.mark.parametrize(
        ("name", "params", "says"),
        [
            ("nothing", {}, "fit no shape"),
            ("ambiguous", {}, "evaluate and score_group"),
            ("wants_more", {}, "temperature"),
            ("evaluate", {"kwargs": {"unknown": 1}}, "does not take unknown"),
            ("evaluate", {"kwargs": {"response": 1}}, "must not set response"),
            ("evaluate", {"shape": "compute_score"}, "takes 2 arguments"),
            ("evaluate", {"shape": "class"}, "no class"),
            ("Model", {"shape": "evaluate"}, "is a class"),
            ("Model", {"kwargs": {"unknown": 1}}, "cannot be made"),
            ("NeedsArguments", {}, "cannot be made"),
            ("NoScore", {}, "without a method score"),
            ("AsyncSetup", {}, "must not be async"),
            ("NOT_CALLABLE", {}, "want a function or a class"),
            ("evaluat", {}, "did you mean 'evaluate'"),
            ("evaluate", {"batch": "items"}, "shape 'trl'"),
            ("evaluate", {"conversational": True}, "shape 'trl'"),
        ],
    )
    def test_found_by_check(self, name: str, params: dict[str, Any], says: str) -> None:
        reward = reward_of(name, **params)
        with pytest.raises(LoadError, match=says):
            reward.check()
        with pytest.raises(LoadError, match=says):
            reward.setup()

    def test_a_shape_settles_what_is_ambiguous(self) -> None:
        reward = reward_of("ambiguous", shape="evaluate", kwargs={"responses": None})
        reward.check()
        assert reward.unit is Unit.ITEM

    @pytest.mark.parametrize(
        "params",
        [
            {},
            {"function": "evaluate"},
            {"function": "pkg.mod:"},
            {"function": "../x:fn"},
            {"function": "a:b", "shape": "other"},
            {"function": "a:b", "components": ["score"]},
            {"function": "a:b", "components": ["x", "x"]},
            {"function": "a:b", "components": [""]},
            {"function": "a:b", "batch": "all"},
        ],
    )
    def test_refused_when_it_is_read(self, params: dict[str, Any]) -> None:
        with pytest.raises(ValidationError):
            build("python", params)


RICH = Example(
    contents=(
        Content("user", [Part("Look: "), Part(Blob("image/png", b"\x01"))]),
        Content("model", [Part("Hm."), Part(FunctionCall("add", {"a": 1}, "c1"))]),
        Content("tool", [Part(FunctionResponse("add", {"sum": 2}, "c1"))]),
        Content("user", [Part(FileData("video/mp4", "gs://b/v"))]),
    ),
    references={"answer": "a"},
    json_references={"n": "3", "list": "[1, 2.5, null]", "ground_truth": '{"x": true}'},
    system_instruction=Content("", [Part("Be brief.")]),
    tools_json='[{"name": "add"}]',
)
TRAJECTORY = Response(
    "done",
    "stop",
    7,
    turns=(
        Content("model", [Part("think", thought=True), Part(FunctionCall("add", {"b": 2}))]),
        Content("tool", [Part(FunctionResponse("add", {"sum": 4}))]),
        Content("model", [Part("done"), Part(FunctionCall("end", {"c": 3}, "c2"))]),
    ),
    references={"answer": "mine"},
)


def seen(tmp_path: Path, source: str, items: Sequence[tuple[Example, Response]]) -> Any:
    """What a function got: it writes its arguments to a file."""
    module, out = f"seen_{abs(hash((source, str(tmp_path))))}", tmp_path / "out.json"
    (tmp_path / f"{module}.py").write_text(source.replace("OUT", repr(str(out))))
    reward = build("python", {"function": f"{module}:fn", "python_path": [str(tmp_path)]})
    reward.setup()
    if reward.unit is Unit.ITEM:
        outcomes = [run_item(reward, item, Clip()) for item in items]
    else:
        outcomes = run_items(reward, items, Clip())
    assert outcomes == [Score(1.0)] * len(items)
    sys.modules.pop(module)
    return json.loads(out.read_text())


WRITE = """
import json
import pathlib
def fn({0}):
    pathlib.Path(OUT).write_text(json.dumps(dict({1})))
    return {2}
"""


class TestWhatReachesTheAuthor:
    def test_evaluate_gets_camel_case(self, tmp_path: Path) -> None:
        source = WRITE.format("example, response", "e=example, r=response", "1")
        got = seen(tmp_path, source, [(RICH, TRAJECTORY)])
        assert got["e"] == {
            "contents": [
                {
                    "role": "user",
                    "parts": [
                        {"text": "Look: "},
                        {"inlineData": {"mimeType": "image/png", "data": "AQ=="}},
                    ],
                },
                {
                    "role": "model",
                    "parts": [
                        {"text": "Hm."},
                        {"functionCall": {"id": "c1", "name": "add", "args": {"a": 1}}},
                    ],
                },
                {
                    "role": "tool",
                    "parts": [
                        {"functionResponse": {"id": "c1", "name": "add", "response": {"sum": 2}}}
                    ],
                },
                {
                    "role": "user",
                    "parts": [{"fileData": {"mimeType": "video/mp4", "fileUri": "gs://b/v"}}],
                },
            ],
            "systemInstruction": {"parts": [{"text": "Be brief."}]},
            "references": {
                "answer": "mine",
                "n": 3,
                "list": [1, 2.5, None],
                "ground_truth": {"x": True},
            },
            "tools": [{"name": "add"}],
        }
        assert got["r"]["role"] == "model"
        assert got["r"]["parts"] == [
            {"text": "done"},
            {"functionCall": {"id": "c2", "name": "end", "args": {"c": 3}}},
        ]
        assert got["r"]["turns"][0]["parts"][0] == {"text": "think", "thought": True}
        plain = seen(tmp_path, source, [(EXAMPLE, Response("a"))])
        assert plain["r"] == {"role": "model", "parts": [{"text": "a"}]}

    def test_grade_gets_openai_dicts(self, tmp_path: Path) -> None:
        source = WRITE.format("sample, item", "s=sample, i=item", "1")
        got = seen(tmp_path, source, [(RICH, TRAJECTORY)])
        sample, item = got["s"], got["i"]
        assert sample["output_text"] == "done"
        assert sample["output_json"] is None
        # The calls of all turns, not of the last alone.
        earlier, call = sample["output_tools"]
        assert earlier["function"]["name"] == "add"
        assert call["function"] == {"name": "end", "arguments": '{"c": 3}'}
        assert sample["choices"][0]["finish_reason"] == "stop"
        assert sample["choices"][0]["message"]["content"] == "done"
        assert item["answer"] == "mine"
        assert item["list"] == [1, 2.5, None]
        assert [m["role"] for m in item["messages"]] == (
            ["system", "user", "assistant", "tool", "user"]
        )
        assert item["messages"][1]["content"][1]["image_url"]["url"] == (
            "data:image/png;base64,AQ=="
        )
        got = seen(tmp_path, source, [(EXAMPLE, Response('{"a": 1}'))])
        assert got["s"]["output_json"] == {"a": 1}

    def test_compute_score_gets_verl_arguments(self, tmp_path: Path) -> None:
        names = "data_source, solution_str, ground_truth, extra_info"
        source = WRITE.format(
            names, "d=data_source, s=solution_str, g=ground_truth, e=extra_info", "1"
        )
        got = seen(tmp_path, source, [(RICH, TRAJECTORY)])
        assert got == {
            "d": "",
            "s": "done",
            "g": {"x": True},
            "e": {"answer": "mine", "n": 3, "list": [1, 2.5, None]},
        }
        example = Example(
            references={"ground_truth": "4", "data_source": "gsm8k"},
            json_references={"extra_info": '{"index": 7}'},
        )
        got = seen(tmp_path, source, [(example, Response("x"))])
        assert got == {"d": "gsm8k", "s": "x", "g": "4", "e": {"index": 7}}

    def test_trl_gets_texts_and_columns(self, tmp_path: Path) -> None:
        source = WRITE.format(
            "prompts, completions, **columns", "p=prompts, c=completions, k=columns", "[1] * 2"
        )
        items = [
            (EXAMPLE, Response("x")),
            (EXAMPLE, Response("y", json_references={"answer": "7", "own": "[1]"})),
        ]
        got = seen(tmp_path, source, items)
        assert got["p"] == ["What?", "What?"]
        assert got["c"] == ["x", "y"]
        assert got["k"] == {"answer": ["a", 7], "own": [None, [1]]}

    def test_trl_gets_messages_where_the_prompt_is_a_chat(self, tmp_path: Path) -> None:
        source = WRITE.format(
            "prompts, completions, **columns", "p=prompts, c=completions", "[1] * 2"
        )
        got = seen(tmp_path, source, [(RICH, Response("x")), (EXAMPLE, TRAJECTORY)])
        assert [m["role"] for m in got["p"][0]] == ["system", "user", "assistant", "tool", "user"]
        assert got["c"][0] == [{"role": "assistant", "content": "x"}]
        assert got["p"][1] == [{"role": "user", "content": "What?"}]
        assert [m["role"] for m in got["c"][1]] == ["assistant", "tool", "assistant"]
        assert got["c"][1][0]["reasoning_content"] == "think"

    @pytest.mark.parametrize("conversational", [True, False])
    async def test_trl_as_the_configuration_says(self, conversational: bool) -> None:
        reward = reward_of("trl", conversational=conversational)
        (outcome,) = await run(reward, [(EXAMPLE, Response("a"))])
        assert outcome == Score(0.0 if conversational else 1.0)

    def test_references_the_function_cannot_do_without(self) -> None:
        reward = reward_of("trl")
        assert reward.reference_keys == ("answer",)
        (outcome,) = run_items(reward, [(Example(), Response("a"))], Clip())
        assert isinstance(outcome, ScoreError)
        assert outcome.reason is Reason.INVALID_REFERENCE
        assert reward_of("compute_score", reference="gold").reference_keys == ("gold",)

    def test_a_missing_ground_truth(self) -> None:
        outcome = run_item(reward_of("compute_score"), (EXAMPLE, Response("a")), Clip())
        assert isinstance(outcome, ScoreError)
        assert outcome.reason is Reason.INVALID_REFERENCE
        assert "there are: answer" in outcome.message


BODIES: list[tuple[str, Reason]] = [
    ("return None", Reason.NOT_APPLICABLE),
    ("return 'text'", Reason.INVALID_RESULT),
    ("return float('nan')", Reason.INVALID_RESULT),
    ("return float('inf')", Reason.INVALID_RESULT),
    ("return 10 ** 400", Reason.INVALID_RESULT),
    ("return {'score': 1.0, 'other': 1.0, 'part': 0.0}", Reason.INVALID_RESULT),
    ("return {'part': 1.0}", Reason.INVALID_RESULT),
    ("return {'score': 1.0}", Reason.INVALID_RESULT),
    ("return 1.0", Reason.INVALID_RESULT),
    ("return Evil()", Reason.INVALID_RESULT),
    ("raise SystemExit(1)", Reason.RAISED),
    ("raise KeyboardInterrupt", Reason.RAISED),
    ("raise GeneratorExit", Reason.RAISED),
    ("raise Unsayable", Reason.RAISED),
    ("raise NotApplicable('not mine')", Reason.NOT_APPLICABLE),
    ("return 1 / 0", Reason.RAISED),
    ("return example['nothing']", Reason.RAISED),
    ("def f(): return f()\n    return f()", Reason.RAISED),
    ("raise MemoryError", Reason.OUT_OF_MEMORY),
]
HEAD = """
from rewardplane.rewards import NotApplicable
class Evil:
    def __float__(self):
        raise SystemExit(9)
class Unsayable(Exception):
    def __str__(self):
        raise ValueError
"""


@pytest.fixture(scope="module")
def bodies(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A module with each body in four functions: of one item and of many, sync and async."""
    folder = tmp_path_factory.mktemp("bodies")
    lines = [HEAD]
    for index, (body, _) in enumerate(BODIES):
        for way in ("def", "async def"):
            name = way.replace(" ", "_")
            lines.append(f"{way} one_{name}_{index}(example, response):\n    {body}\n")
            inner = f"    {way} each(example, response):\n        " + body.replace("\n", "\n    ")
            call = "each({}, response)" if way == "def" else "await each({}, response)"
            lines.append(
                f"{way} many_{name}_{index}(example, responses):\n{inner}\n"
                f"    return [{call} for response in responses]\n"
            )
    (folder / "reward_bodies.py").write_text("\n".join(lines))
    return str(folder)


@pytest.mark.parametrize("way", ["def", "async_def"])
@pytest.mark.parametrize("index", range(len(BODIES)), ids=[body for body, _ in BODIES])
async def test_whatever_a_function_does(bodies: str, index: int, way: str) -> None:
    reason = BODIES[index][1]
    for name, count in ((f"one_{way}_{index}", 1), (f"many_{way}_{index}", 3)):
        reward = reward_of(name, "reward_bodies", python_path=[bodies], components=["part"])
        outcomes = await run(reward, [(EXAMPLE, Response("x"))] * count)
        assert len(outcomes) == count
        for outcome in outcomes:
            assert isinstance(outcome, ScoreError)
            assert outcome.reason is reason
            assert outcome.message


@pytest.mark.parametrize("document", ["[1.0]", "[1.0, 2.0, 3.0]", "[]", "1.0", '"ab"', "null"])
async def test_many_results_of_the_wrong_length(document: str) -> None:
    example = Example(json_references={"results": document})
    outcomes = await run(reward_of("gives_back_many"), [(example, Response(t)) for t in "ab"])
    assert [o.reason for o in outcomes if isinstance(o, ScoreError)] == [Reason.INVALID_RESULT] * 2


async def test_many_results_each_for_itself() -> None:
    example = Example(json_references={"results": '[1, null, "x", true]'})
    outcomes = await run(reward_of("gives_back_many"), [(example, Response(t)) for t in "abcd"])
    shown = [o.reward if isinstance(o, Score) else o.reason for o in outcomes]
    assert shown == [1.0, Reason.NOT_APPLICABLE, Reason.INVALID_RESULT, 1.0]


async def test_components_come_in_any_order_and_number_type() -> None:
    example = Example(json_references={"components": '{"b": 1, "a": 0.5}'})
    (outcome,) = await run(reward_of("gives_back", components=["a", "b"]), [(example, Response())])
    assert outcome == Score(1.0, {"a": 0.5, "b": 1.0})
    nan = Example(json_references={"components": '{"b": NaN, "a": 0.5}'})
    (outcome,) = await run(reward_of("gives_back", components=["a", "b"]), [(nan, Response())])
    assert isinstance(outcome, ScoreError)
    assert math.isnan(json.loads("NaN"))


def test_a_function_may_change_what_it_gets(tmp_path: Path) -> None:
    (tmp_path / "greedy.py").write_text(
        "def fn(example, response):\n"
        "    return 1.0 if example['references'].pop('answer') == 'a' else 0.0\n"
    )
    reward = build("python", {"function": "greedy:fn", "python_path": [str(tmp_path)]})
    for _ in range(3):
        assert run_item(reward, (EXAMPLE, Response("x")), Clip()) == Score(1.0)


def test_deterministic_is_what_the_author_says() -> None:
    assert not reward_of("evaluate").deterministic
    assert reward_of("evaluate", deterministic=True).deterministic


@pytest.mark.parametrize(
    "name",
    [
        "async_partial",
        "async_partial_twice",
        "async_partial_of_a_method",
        "async_decorated",
        "async_by_hand",
        "async_run_inside",
        "async_keeps_its_loop",
    ],
)
def test_what_is_awaitable_is_awaited(name: str) -> None:
    reward = reward_of(name)
    reward.setup()
    items = [(Example(), Response("a")), (Example(), Response("bb"))]
    for _ in range(2):
        if reward.is_async:
            outcomes = asyncio.run(run_items_async(reward, items, Clip(), 30.0))
        else:
            outcomes = run_items(reward, items, Clip())
        assert outcomes == [Score(1.0), Score(2.0)]
    if runner := vars(reward).get("_runner"):
        runner.close()
