"""The adapters of trainers too large to install: each called exactly as its framework calls it.

The framework's file and version stand with each; `tests/trainers` has those that can be installed.
"""

from __future__ import annotations

import asyncio
import dataclasses
import inspect
import logging
import math
import pickle
import sys
import types
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rewardplane.client import ItemsFailed
from rewardplane.client.failures import FailedItem
from rewardplane.integrations import (
    areal,
    axolotl,
    miles,
    ms_swift,
    nemo_gym,
    nemo_rl,
    open_instruct,
    openrlhf,
    prime_rl,
    rllm,
    roll,
    slime,
    tinker,
    trl,
    unsloth,
    verifiers,
    verl,
)
from rewardplane.integrations.columns import by_column
from rewardplane.integrations.failure_log import FailureLog
from rewardplane.rewards.formats.openrlhf import response_of
from rewardplane.rewards.references import references
from rewardplane.rewards.text.end_tokens import END_TOKENS, without_end_tokens
from rewardplane.rewards.types import Reason
from rewardplane.v1 import reward_service_pb2 as pb
from rewardplane.wire.errors import DeadlineExceeded, NotReady
from rewardplane.wire.messages import example_from, response_from

from ..support.fake_server import FakeService, serving


@pytest.fixture
def service() -> FakeService:
    return FakeService()


@pytest.fixture
async def target(service: FakeService) -> AsyncIterator[str]:
    async with serving(service) as target:
        yield target


def groups(service: FakeService) -> list[pb.Group]:
    return [group for call in service.calls for group in call.groups]


def row(group: pb.Group, response: int = 0) -> dict[str, Any]:
    return references(example_from(group.example), response_from(group.responses[response]))


def module(monkeypatch: pytest.MonkeyPatch, name: str, **members: Any) -> Any:
    """A module of a framework, with the members that the adapter takes from it."""
    parts = name.split(".")
    for n in range(1, len(parts) + 1):
        path = ".".join(parts[:n])
        if path not in sys.modules:
            monkeypatch.setitem(sys.modules, path, types.ModuleType(path))
    made = sys.modules[name]
    for key, value in members.items():
        setattr(made, key, value)
    return made


# ---- policies, the same for all ------------------------------------------------------------------

FACTORIES: dict[str, tuple[Callable[..., Any], set[str]]] = {
    "areal": (areal.reward_fn, {"raise", "value"}),
    "axolotl": (axolotl.reward_fn, {"none", "raise", "value"}),
    "miles": (miles.reward_fn, {"raise", "mask", "value"}),
    "ms_swift": (ms_swift.orm, {"none", "raise", "value"}),
    "openrlhf": (openrlhf.reward_fn, {"raise", "value"}),
    "prime_rl": (prime_rl.reward_fn, {"raise", "value"}),
    "rllm": (rllm.evaluate_fn, {"raise", "value"}),
    "slime": (slime.reward_fn, {"raise", "mask", "value"}),
    "tinker": (tinker.remote, {"raise", "value"}),
    "trl": (trl.reward_fn, {"none", "raise", "value"}),
    "trl sync": (trl.sync_reward_fn, {"none", "raise", "value"}),
    "unsloth": (unsloth.reward_fn, {"none", "raise", "value"}),
    "verifiers": (verifiers.reward_fn, {"raise", "value"}),
}


@pytest.mark.parametrize("name", sorted(FACTORIES))
def test_settings_are_checked_when_they_are_given(name: str) -> None:
    make, policies = FACTORIES[name]
    for policy in ("raise", "none", "mask", "value", "zero"):
        more = {"value": -1.0} if policy == "value" else {}
        if policy in policies:
            make("math", "a:1", on_error=policy, **more)
        else:
            with pytest.raises(ValueError, match=f"on_error is '{policy}'; this trainer can do"):
                make("math", "a:1", on_error=policy, **more)
    with pytest.raises(ValueError, match="value` goes with"):
        make("math", "a:1", on_error="value")
    with pytest.raises(ValueError, match="value` goes with"):
        make("math", "a:1", value=0.0)
    with pytest.raises(ValueError, match="want a finite number"):
        make("math", "a:1", on_error="value", value=math.nan)
    with pytest.raises(ValueError, match="has no port"):
        make("math", "nonsense")
    with pytest.raises(TypeError):
        make("math", "a:1", on_erorr="raise")
    # It may still come from the environment of the process that calls.
    make("math")


@pytest.mark.parametrize("name", sorted(set(FACTORIES) - {"ms_swift", "tinker"}))
def test_functions_have_names_and_survive_pickling(name: str) -> None:
    make, _ = FACTORIES[name]
    function = make("math", "a:1", name="mine")
    again = pickle.loads(pickle.dumps(function))  # noqa: S301 - our own bytes
    assert again.__name__ == function.__name__ == "mine"
    assert again.remote == function.remote
    assert make("math", "a:1").__name__ == "math"
    is_async = inspect.iscoroutinefunction(type(function).__call__)
    assert inspect.iscoroutinefunction(again) is is_async


def test_ms_swift_classes_have_names_and_their_instances_survive_pickling() -> None:
    made = ms_swift.orm("math", "a:1", name="mine")
    again = pickle.loads(pickle.dumps(made()))  # noqa: S301 - our own bytes
    assert type(again).__name__ == made.__name__ == "mine"
    assert again.remote == made.remote


# ---- slime and miles -----------------------------------------------------------------------------


@dataclasses.dataclass
class Sample:
    """As slime/utils/types.py has it (624b824a8), in what a reward function reads and sets."""

    prompt: Any
    response: str
    label: Any
    metadata: Any = dataclasses.field(default_factory=dict)
    response_length: int = 3
    remove_sample: bool = False
    reward: Any = None


ARGS = types.SimpleNamespace(reward_key=None)


async def test_slime_scores_one_sample(service: FakeService, target: str) -> None:
    function = slime.reward_fn("math", target)
    chat = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "2+2?"}]
    sample = Sample(chat, "4", "4", {"rm_type": "math", "n": 1})
    assert await function(ARGS, sample) == 4.0
    (group,) = groups(service)
    assert row(group) == {"answer": "4", "rm_type": "math", "n": 1}
    assert group.responses[0].token_count == 3
    assert example_from(group.example).system_instruction is not None
    assert await function(types.SimpleNamespace(reward_key="score"), sample) == {"score": 4.0}
    with pytest.raises(ItemsFailed, match="TIMED_OUT"):
        await function(ARGS, Sample("q", "TIMED_OUT", "4"))


async def test_slime_scores_a_group_in_one_call_and_masks(
    service: FakeService, target: str
) -> None:
    function = slime.reward_fn("math", target, on_error="mask")
    texts = ["1", "RAISED", "3", "NOT_APPLICABLE"]
    samples = [Sample("q", text, {"gold": "x", "n": 2}) for text in texts]
    assert await function(ARGS, samples) == [1.0, 2.0, 3.0, 2.0]
    assert [sample.remove_sample for sample in samples] == [False, True, False, True]
    assert len(service.calls) == 1
    (group,) = groups(service)
    assert row(group) == {"gold": "x", "n": 2}
    lone = Sample("q", "RAISED", "x")
    assert await function(ARGS, lone) == 0.0
    assert lone.remove_sample


@pytest.mark.parametrize("module_of", [slime, miles])
async def test_slime_and_miles_need_no_file(
    module_of: Any, service: FakeService, target: str
) -> None:
    args = types.SimpleNamespace(
        reward_key=None, rewardplane={"reward": "math2", "target": target, "gold": "label"}
    )
    assert await module_of.custom_rm(args, Sample("q", "7", "4")) == 7.0
    assert await module_of.custom_rm(args, [Sample("q", "7", "4")] * 2) == [7.0, 7.0]
    assert service.calls[0].reward == "math2"
    assert row(groups(service)[0]) == {"label": "4"}
    with pytest.raises(ValueError, match="no reward: want `rewardplane:"):
        await module_of.custom_rm(types.SimpleNamespace(), Sample("q", "7", "4"))


async def test_4096_samples_of_slime_are_few_calls(service: FakeService, target: str) -> None:
    function = slime.reward_fn("math", target)
    calls = [function(ARGS, Sample("q", str(i), "4")) for i in range(4_096)]
    assert await asyncio.gather(*calls) == [float(i) for i in range(4_096)]
    assert len(service.calls) <= 20


# ---- OpenRLHF ------------------------------------------------------------------------------------


async def test_openrlhf_batches_and_single_queries(service: FakeService, target: str) -> None:
    function = openrlhf.reward_fn("math", target, on_error="value", value=-2.0)
    prompts = ["<s>user: q\n", "<s>user: r\n"]
    got = await asyncio.to_thread(
        function,
        [p + t + "<|im_end|>" for p, t in zip(prompts, ("3", "RAISED"), strict=True)],
        prompts,
        ["4", "5"],
    )
    assert got == {
        "rewards": [3.0, -2.0],
        "scores": [3.0, -2.0],
        "extra_logs": {"rewardplane_ok": [1.0, 0.0]},
    }
    assert [row(group)["answer"] for group in groups(service)] == ["4", "5"]
    one = await asyncio.to_thread(function, [prompts[0] + "5</s>"], prompts[:1], ["4"])
    assert one == {"rewards": 5.0, "scores": 5.0, "extra_logs": {"rewardplane_ok": 1.0}}
    none = await asyncio.to_thread(function, [], [], [])
    assert none["rewards"] == []


async def test_single_queries_of_many_threads_are_few_calls(
    service: FakeService, target: str
) -> None:
    function = openrlhf.reward_fn("math", target)

    def all_at_once() -> list[Any]:
        with ThreadPoolExecutor(64) as pool:
            return list(pool.map(lambda i: function([f"q {i}"], ["q "], ["4"]), range(256)))

    got = await asyncio.to_thread(all_at_once)
    assert [one["rewards"] for one in got] == [float(i) for i in range(256)]
    assert len(service.calls) < 128


async def test_openrlhf_logs_why_a_call_failed(
    free_port: int, caplog: pytest.LogCaptureFixture
) -> None:
    function = openrlhf.reward_fn("math", f"127.0.0.1:{free_port}", timeout_s=0.5)
    with pytest.raises((NotReady, DeadlineExceeded)):
        await asyncio.to_thread(function, ["q1"], ["q"], ["4"])
    assert "OpenRLHF goes on without it" in caplog.text
    assert "refused" in caplog.text.lower()


@given(st.text("ab", max_size=40), st.text("abc", max_size=20))
def test_the_response_is_what_follows_the_prompt(prompt: str, response: str) -> None:
    assert response_of(prompt + response, prompt) == response


@given(st.text(min_size=60, max_size=90), st.integers(0, 40), st.text(max_size=20))
def test_a_prompt_that_lost_its_beginning_is_found(prompt: str, cut: int, response: str) -> None:
    query = prompt[cut:] + response
    found = response_of(query, prompt)
    # A text that repeats itself may have a longer end that fits too, never a shorter one.
    assert response.endswith(found)
    if len(set(prompt)) == len(prompt) and not set(response) & set(prompt):
        assert found == response


def test_a_query_that_is_not_the_prompts_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot be told from the prompt"):
        response_of("something else altogether", "the prompt")


@given(st.text(max_size=30), st.lists(st.sampled_from(END_TOKENS), max_size=4))
def test_end_tokens_are_cut_at_the_end_alone(text: str, ends: list[str]) -> None:
    whole = text + "".join(ends)
    got = without_end_tokens(whole)
    assert not got.endswith(END_TOKENS)
    assert whole.startswith(got)
    # Nothing but end tokens is gone.
    cut = whole[len(got) :]
    for token in END_TOKENS:
        cut = cut.replace(token, "")
    assert cut == ""
    assert without_end_tokens(f"{text}</s>x") == f"{text}</s>x"


# ---- verifiers, rllm -----------------------------------------------------------------------------


async def test_a_task_of_verifiers_as_pydantic_model(service: FakeService, target: str) -> None:
    pydantic: Any = pytest.importorskip("pydantic")

    class Task(pydantic.BaseModel):  # type: ignore[misc]
        idx: int = 1
        prompt: Any = None
        system_prompt: str | None = None
        timeout: dict[str, float] | None = None
        answer: str = "4"
        info: Any = None

    task = Task(
        prompt=[{"role": "user", "content": "2+2?"}],
        system_prompt="be brief",
        info={"level": 5},
    )
    function = verifiers.reward_fn("math", target)
    assert await function(task=task, trace=types.SimpleNamespace(last_reply="4")) == 4.0
    (group,) = groups(service)
    assert row(group) == {"answer": "4", "info": {"level": 5}}
    example = example_from(group.example)
    assert example.system_instruction is not None
    assert example.system_instruction.text == "be brief"
    assert example.prompt == "2+2?"


@dataclasses.dataclass
class EvalOutput:
    """As rllm/eval/types.py has it (9beb6e0f)."""

    reward: float
    is_correct: bool
    signals: list[Any] = dataclasses.field(default_factory=list)
    metadata: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class Signal:
    name: str
    value: float
    metadata: dict[str, Any] = dataclasses.field(default_factory=dict)


async def test_rllm_evaluates(
    service: FakeService, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module(monkeypatch, "rllm.eval.types", EvalOutput=EvalOutput, Signal=Signal)
    function = rllm.evaluate_fn("math", target, correct_above=2.0)
    step = types.SimpleNamespace(output=None, model_response="3")
    trajectory = types.SimpleNamespace(output=None, steps=[step])
    episode = types.SimpleNamespace(artifacts={}, trajectories=[trajectory])
    # rllm/eval/rollout_decorator.py, EvaluatorFn.evaluate: a plain call, with a task or its row.
    for task in (
        {"question": "1+2?", "ground_truth": "3"},
        types.SimpleNamespace(instruction="1+2?", metadata={"ground_truth": "3"}),
    ):
        output = await asyncio.to_thread(function, task, episode)
        assert (output.reward, output.is_correct) == (3.0, True)
        assert output.signals == [Signal("length", 1.0), Signal("tokens", 0.0)]
    assert row(groups(service)[1]) == {"ground_truth": "3"}
    assert groups(service)[0].example.contents[0].parts[0].text == "1+2?"
    failing = types.SimpleNamespace(artifacts={"answer": "RAISED"}, trajectories=[])
    with pytest.raises(ItemsFailed, match="RAISED"):
        await asyncio.to_thread(function, {}, failing)
    valued = rllm.evaluate_fn("math", target, on_error="value", value=9.0)
    output = await asyncio.to_thread(valued, {}, failing)
    assert (output.reward, output.is_correct) == (9.0, False)
    assert output.metadata["rewardplane"]["reason"] == "RAISED"


# ---- open-instruct -------------------------------------------------------------------------------


class VerifierFunction:
    """As open_instruct/ground_truth_utils.py has it (e6c3044aa)."""

    def __init__(self, name: str, weight: float = 1.0, verifier_config: Any = None) -> None:
        self.name = name
        self.weight = weight
        self.verifier_config = verifier_config

    @classmethod
    def get_config_class(cls) -> type:
        return types.SimpleNamespace


@dataclasses.dataclass
class VerificationResult:
    score: float
    cost: float = 0.0
    reasoning: str | None = None


async def test_open_instruct_verifies(
    service: FakeService, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module(
        monkeypatch,
        "open_instruct.ground_truth_utils",
        VerifierFunction=VerifierFunction,
        VerificationResult=VerificationResult,
    )
    made = open_instruct.verifier("math", target, name="Rewardplane_Math", weight=2.0)
    # build_all_verifiers makes every subclass, and keys it by its name in lower case.
    found = {one(object()).name.lower(): one(object()) for one in VerifierFunction.__subclasses__()}
    verifier = found["rewardplane_math"]
    assert isinstance(verifier, made)
    assert verifier.weight == 2.0
    # apply_verifiable_reward awaits all of them at once.
    results = await asyncio.gather(
        *(
            verifier.async_call(
                tokenized_prediction=[1, 2],
                prediction=str(i),
                label="4",
                query="2+2?",
                rollout_state=None,
            )
            for i in range(64)
        )
    )
    assert [result.score for result in results] == [float(i) for i in range(64)]
    assert len(service.calls) <= 3
    assert row(groups(service)[0]) == {"answer": "4"}
    assert (await asyncio.to_thread(verifier, [1], "5", "4")).score == 5.0
    with pytest.raises(ItemsFailed, match="RAISED"):
        await verifier.async_call([1], "RAISED", "4")


# ---- NeMo Gym ------------------------------------------------------------------------------------

REQUEST = {
    "responses_create_params": {
        "input": [
            {"role": "user", "content": "2+2?", "type": "message"},
            {"type": "reasoning", "summary": []},
        ],
        "instructions": "be brief",
    },
    "response": {
        "output": [
            {"type": "reasoning", "summary": []},
            {"type": "message", "content": [{"type": "output_text", "text": "4"}]},
        ]
    },
    "expected_answer": "4",
    "_ng_rollout_id": "r",
}


async def test_nemo_gym_verifies(
    service: FakeService, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pydantic: Any = pytest.importorskip("pydantic")

    # nemo_gym/base_resources_server.py (0.7.0), in what the adapter takes from it.
    class Config(pydantic.BaseModel):  # type: ignore[misc]
        name: str = ""

    class Request(pydantic.BaseModel):  # type: ignore[misc]
        model_config = pydantic.ConfigDict(populate_by_name=True)
        responses_create_params: dict[str, Any]
        response: dict[str, Any]

    class Answer(Request):
        reward: float
        mask_sample: bool = False
        failure_kind: str | None = None
        failure_reason: str | None = None

    class Server:
        def __init__(self, config: Any) -> None:
            self.config = config

    module(
        monkeypatch,
        "nemo_gym.base_resources_server",
        BaseResourcesServerConfig=Config,
        BaseVerifyRequest=Request,
        BaseVerifyResponse=Answer,
        SimpleResourcesServer=Server,
    )
    nemo_gym._classes.cache_clear()
    config = nemo_gym.RewardplaneConfig(reward="math", target=target)
    server = nemo_gym.RewardplaneResourcesServer(config)
    # FastAPI makes the body of what `verify` is annotated with.
    body_class = inspect.signature(server.verify).parameters["body"].annotation
    answer = await server.verify(body_class(**REQUEST))
    assert (answer.reward, answer.mask_sample, answer.failure_kind) == (4.0, False, None)
    assert answer.expected_answer == "4"
    (group,) = groups(service)
    assert row(group) == {"expected_answer": "4"}
    assert example_from(group.example).system_instruction is not None
    assert example_from(group.example).prompt == "2+2?"

    def saying(text: str) -> Any:
        said = {"output": [{"type": "message", "content": [{"type": "output_text", "text": text}]}]}
        return body_class(**{**REQUEST, "response": said})

    kinds = {
        "RAISED": "verifier_error",
        "UNAVAILABLE": "provider_unavailable",
        "RATE_LIMITED": "provider_quota_exhausted",
        "OUT_OF_MEMORY": "provider_oom_killed",
        "JUDGE_UNREADABLE": "judge_unparseable",
        "JUDGE_REFUSED": "judge_failed",
        "CANCELLED": "cancelled",
    }
    for reason, kind in kinds.items():
        answer = await server.verify(saying(reason))
        assert (answer.mask_sample, answer.failure_kind) == (True, kind)
        assert answer.failure_reason == f"{reason} as told: {reason}"
    answer = await server.verify(saying("NOT_APPLICABLE"))
    assert (answer.mask_sample, answer.failure_kind) == (True, None)
    raising = nemo_gym.RewardplaneConfig(reward="math", target=target, on_error="raise")
    with pytest.raises(ItemsFailed):
        await nemo_gym.RewardplaneResourcesServer(raising).verify(saying("RAISED"))
    nemo_gym._classes.cache_clear()


# ---- NeMo RL and ROLL ----------------------------------------------------------------------------

LOGS = [
    [
        {"role": "user", "content": "2+2?", "token_ids": object()},
        {"role": "assistant", "content": text, "token_ids": object()},
    ]
    for text in ("4", "5", "RAISED")
]


async def test_nemo_rl_steps(service: FakeService, target: str) -> None:
    remote = nemo_rl.remote(
        {"reward": "math", "target": target, "on_error": "value", "value": -1.0}
    )
    metadata = [{"ground_truth": "4"}, {"ground_truth": "5", "extra": [1]}, None]
    outcomes = await asyncio.to_thread(nemo_rl.outcomes_of, remote, LOGS, metadata)
    assert remote.settle(outcomes) == [4.0, 5.0, -1.0]
    assert len(service.calls) == 1
    rows = [row(group) for group in groups(service)]
    assert rows[0] == {"ground_truth": "4", "extra": None}
    assert groups(service)[0].example.contents[0].parts[0].text == "2+2?"
    strict = nemo_rl.remote({"reward": "math", "target": target})
    with pytest.raises(ItemsFailed):
        strict.settle(outcomes)
    with pytest.raises(ValueError, match="no reward"):
        nemo_rl.remote({"target": target})


async def test_nemo_rl_has_an_environment(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # nemo_rl/environments/interfaces.py (7ea279abf); numpy stands for torch's tensors.
    class EnvironmentReturn(NamedTuple):
        observations: Any
        metadata: Any
        next_stop_strings: Any
        rewards: Any
        terminateds: Any
        answers: Any

    module(
        monkeypatch,
        "torch",
        tensor=lambda values, dtype: np.array(values, dtype=dtype),
        ones=np.ones,
        float32=np.float32,
    )
    module(
        monkeypatch,
        "nemo_rl.environments.interfaces",
        EnvironmentInterface=object,
        EnvironmentReturn=EnvironmentReturn,
    )
    nemo_rl.environment_class.cache_clear()
    cfg = {"reward": "math", "target": target, "on_error": "value", "value": -1.0}
    environment = nemo_rl.environment_class()(cfg)
    step = await asyncio.to_thread(environment.step, LOGS, [{"ground_truth": "4"}] * 3)
    assert step.rewards.tolist() == [4.0, 5.0, -1.0]
    assert step.terminateds.tolist() == [1.0] * 3
    assert [len(value) for value in (step.observations, step.metadata)] == [3, 3]
    assert step.next_stop_strings == [None] * 3
    nemo_rl.environment_class.cache_clear()


async def test_roll_computes_rewards(
    service: FakeService, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What ROLL's reward workers take from ROLL (8eb27cc2) and torch; numpy stands for tensors.
    class Worker:
        def __init__(self, worker_config: Any) -> None:
            self.worker_config = worker_config
            self.rank_info = types.SimpleNamespace(rank=1, world_size=2)

    class Tokenizer:
        def batch_decode(self, ids: Any, skip_special_tokens: bool) -> list[str]:
            assert skip_special_tokens is False
            return list(ids)

    class Tensor(list[float]):
        def clone(self) -> Tensor:
            return Tensor(self)

    registered: dict[str, Any] = {}

    def register(**options: Any) -> Any:
        return lambda function: registered.setdefault(function.__name__, (options, function))[1]

    module(
        monkeypatch,
        "torch",
        tensor=lambda values, dtype: Tensor(values),
        zeros_like=lambda ids, dtype: Tensor([0.0] * len(ids)),
        float16="float16",
    )
    module(monkeypatch, "roll.distributed.executor.worker", Worker=Worker)
    module(
        monkeypatch,
        "roll.distributed.scheduler.decorator",
        register=register,
        Dispatch=types.SimpleNamespace(ONE_TO_ALL="one", DP_MP_COMPUTE="dp"),
    )
    proto = types.SimpleNamespace(from_dict=lambda tensors: tensors)
    module(monkeypatch, "roll.distributed.scheduler.protocol", DataProto=proto)
    module(
        monkeypatch,
        "roll.models.model_providers",
        default_tokenizer_provider=lambda model_args: Tokenizer(),
    )
    made = roll.worker(
        *("math", target), rename={"ground_truth": "answer"}, on_error="value", value=-1.0
    )
    worker = made(types.SimpleNamespace(model_args=None))
    data = types.SimpleNamespace(
        batch={
            "prompts": ["<pad>2+2?"] * 3,
            "responses": ["4<|im_end|><pad><pad>", "5<pad>", "RAISED"],
        },
        non_tensor_batch={"ground_truth": ["4"] * 3, "domain": ["m"] * 3, "prompt_id": [1, 2, 3]},
    )
    tensors = await asyncio.to_thread(worker.compute_rewards, data)
    assert tensors["scores"] == tensors["response_level_rewards"] == [4.0, 5.0, -1.0]
    assert tensors["token_level_rewards"] == [0.0] * 3
    (group,) = groups(service)
    assert [response.text for response in group.responses] == ["4", "5", "RAISED"]
    assert row(group) == {"answer": "4"}
    assert registered["compute_rewards"][0] == {"dispatch_mode": "dp", "clear_cache": False}


# ---- verl ----------------------------------------------------------------------------------------


async def test_verl_always_gives_the_same_keys(service: FakeService, target: str) -> None:
    keys: set[tuple[str, ...]] = set()
    for text in ("1", "RAISED", "NOT_APPLICABLE"):
        got = await verl.compute_score(
            "gsm8k",
            text,
            "4",
            {"question": "q", "num_turns": None, "rollout_reward_scores": {}},
            reward="math",
            target=target,
            components=["length", "none"],
            on_error="value",
            value=0.25,
        )
        keys.add(tuple(got))
        assert got["score"] == (1.0 if text == "1" else 0.25)
        assert math.isnan(got["none"])
    assert len(keys) == 1
    assert row(groups(service)[0]) == {"question": "q", "data_source": "gsm8k", "ground_truth": "4"}
    sync = await asyncio.to_thread(
        verl.compute_score_sync,
        "gsm8k",
        "2",
        "4",
        reward="math",
        target=target,
        reward_router_address="x",
        reward_model_tokenizer=None,
    )
    assert sync["score"] == sync["acc"] == 2.0


# ---- the trainer's log ---------------------------------------------------------------------------


def test_failures_are_told_once_and_then_counted(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = 0.0
    monkeypatch.setattr("time.monotonic", lambda: now_s)
    log = FailureLog()
    failed = [FailedItem(0, Reason.TIMED_OUT, "took too long")]
    for _ in range(1_000):
        log.record("math", failed, 1)
    log.record("other", [FailedItem(2, Reason.RAISED, "boom")], 4)
    assert [record.getMessage() for record in caplog.records] == [
        "reward 'math': 1 of 1 items have no reward: 1 TIMED_OUT; for example: "
        "TIMED_OUT took too long",
        "reward 'other': 1 of 4 items have no reward: 1 RAISED; for example: RAISED boom",
    ]
    caplog.clear()
    now_s = 11.0
    log.record("math", [], 1)
    assert (
        caplog.records[0]
        .getMessage()
        .startswith("reward 'math': 999 of 1000 items have no reward: 999 TIMED_OUT;")
    )
    caplog.clear()
    log.flush()
    assert not caplog.records
    log.record("math", failed, 1)
    log.flush()
    assert "1 of 1" in caplog.text


async def test_the_log_names_the_reward_as_the_trainer_does(
    target: str, caplog: pytest.LogCaptureFixture
) -> None:
    function = trl.reward_fn("math", target, name="choosy-one")
    with caplog.at_level(logging.WARNING):
        await function(prompts=["q", "q"], completions=["1", "RAISED"])
    assert "reward 'choosy-one': 1 of 2 items have no reward: 1 RAISED" in caplog.text


@given(st.lists(st.dictionaries(st.sampled_from("abc"), st.integers(), max_size=3), max_size=5))
def test_rows_become_columns(rows: list[dict[str, int]]) -> None:
    columns = by_column(rows)
    back = [{k: v[i] for k, v in columns.items() if v[i] is not None} for i in range(len(rows))]
    assert back == rows
    assert all(len(values) == len(rows) for values in columns.values())
