"""The other trainers' own code, each on the file that calls rewards."""

from __future__ import annotations

import asyncio
import importlib.metadata
import importlib.util
import logging
import sys
import types
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from rewardplane.client import ItemsFailed
from rewardplane.integrations import areal, ms_swift, tinker, verifiers

from .conftest import Service
from .installed import module

pytestmark = pytest.mark.filterwarnings("ignore")


def file_of(distribution: str, path: str, name: str) -> Any:
    """A module of an installed distribution, run without the packages around it, which want GPU
    libraries at import."""
    try:
        found = importlib.metadata.distribution(distribution)
    except importlib.metadata.PackageNotFoundError:
        pytest.skip(f"make test-trainers installs {distribution}")
    spec = importlib.util.spec_from_file_location(name, str(found.locate_file(path)))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# ---- ms-swift ------------------------------------------------------------------------------------


def test_ms_swift_computes_rewards_per_function(service: Service) -> None:
    algorithm = module("ms-swift", "swift.rl_core.grpo_algorithm")
    data = module("ms-swift", "swift.rl_core.data")
    torch = module("torch", "torch")
    samples = [
        data.GRPOSample.from_row(
            {
                "messages": [
                    {"role": "user", "content": "2+2?" if i < 4 else "please fail"},
                    {"role": "assistant", "content": f"A: {i}"},
                ],
                "solution": "2",
            }
        )
        for i in range(8)
    ]
    made = [
        ms_swift.orm("math", service.target, rename={"solution": "answer"}),
        ms_swift.orm("picky", service.target, name="choosy"),
    ]
    assert [one.__name__ for one in made] == ["math", "choosy"]
    functions = [one(args=None) for one in made]
    rewards = algorithm.compute_rewards_per_func(
        samples, functions, None, torch.device("cpu"), trainer_state=None
    )
    assert rewards[:, 0].tolist() == [0, 0, 1, 0, 0, 0, 0, 0]
    assert torch.isnan(rewards[:, 1]).tolist() == [False] * 4 + [True] * 4
    with pytest.raises(ItemsFailed, match="4 RAISED"):
        algorithm.compute_rewards_per_func(
            samples[4:], functions[1:], None, torch.device("cpu"), trainer_state=None
        )


# ---- AReaL ---------------------------------------------------------------------------------------


@pytest.fixture
def areal_rewards(monkeypatch: pytest.MonkeyPatch) -> Any:
    # The one thing that areal/api/reward_api.py wants of its own package.
    for name in ("areal", "areal.utils"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    own_logging: Any = types.ModuleType("areal.utils.logging")
    own_logging.getLogger = logging.getLogger
    monkeypatch.setitem(sys.modules, "areal.utils.logging", own_logging)
    sys.modules["areal.utils"].logging = own_logging  # type: ignore[attr-defined]
    return file_of("areal", "areal/api/reward_api.py", "areal_reward_api")


async def test_areal_scores_in_its_pool_of_processes(areal_rewards: Any, service: Service) -> None:
    function = areal.reward_fn("math", service.target)
    assert function.remote.timeout_s < 15
    wrapped = areal_rewards.AsyncRewardWrapper(function, max_workers=2)
    # Completions are decoded with their special tokens.
    calls = [
        wrapped("2+2?", f"A: {i % 8}<|im_end|>", [1], [1, 2, 3], answer="4") for i in range(16)
    ]
    assert await asyncio.gather(*calls) == [float(i % 8 == 4) for i in range(16)]
    failing = areal_rewards.AsyncRewardWrapper(
        areal.reward_fn("picky", service.target), max_workers=2, max_retries=1
    )
    with pytest.raises(ItemsFailed, match="this prompt fails by design"):
        await failing("please fail", "x", [1], [1])


# ---- SkyRL ---------------------------------------------------------------------------------------


def test_skyrl_steps_in_32_threads(service: Service) -> None:
    gym = module("skyrl-gym", "skyrl_gym")
    for name, reward in (("tested_math", "math"), ("tested_picky", "picky")):
        gym.register(
            id=name,
            entry_point="rewardplane.integrations.skyrl:RewardplaneEnv",
            kwargs={
                "reward": reward,
                "target": service.target,
                "rename": {"ground_truth": "answer"},
            },
        )

    def episode(i: int, name: str = "tested_math", prompt: str = "2+2?") -> Any:
        spec = {"method": "rule", "ground_truth": "4"}
        env = gym.make(name, env_config={}, extras={"reward_spec": spec})
        env.init([{"role": "user", "content": prompt}])
        step = env.step(f"A: {i % 8}")
        return step, env.get_metrics()

    with ThreadPoolExecutor(32) as pool:
        steps = list(pool.map(episode, range(64)))
    assert [step["reward"] for step, _ in steps] == [float(i % 8 == 4) for i in range(64)]
    assert all(step["done"] and step["observations"] == [] for step, _ in steps)
    step, metrics = steps[4]
    assert step["metadata"]["parsed"] == 1.0
    assert metrics["rewardplane_ok"] == 1.0
    with pytest.raises(ItemsFailed, match="RAISED"):
        episode(0, "tested_picky", "please fail")
    gym.register(id="tested_none", entry_point="rewardplane.integrations.skyrl:RewardplaneEnv")
    with pytest.raises(ValueError, match="no reward: want `reward`"):
        gym.make("tested_none", env_config={}, extras={})


# ---- verifiers -----------------------------------------------------------------------------------


async def test_verifiers_invokes_all_rewards(service: Service) -> None:
    decorators = file_of(
        "verifiers", "verifiers/v1/utils/decorators.py", "verifiers_v1_utils_decorators"
    )
    rewards = [
        verifiers.reward_fn("math", service.target),
        verifiers.reward_fn("length", service.target, name="long"),
    ]
    task = types.SimpleNamespace(
        idx=3, prompt="2+2?", system_prompt="be brief", timeout=object(), answer="4"
    )
    available = {"task": task, "trace": types.SimpleNamespace(last_reply="A: 4"), "runtime": None}
    assert await decorators.invoke_all(rewards, available) == [1.0, pytest.approx(0.2)]
    assert [reward.__name__ for reward in rewards] == ["math", "long"]
    wrong = {**available, "trace": types.SimpleNamespace(last_reply="A: 5")}
    assert await decorators.invoke_all(rewards[:1], wrong) == [0.0]
    fails = {"task": types.SimpleNamespace(prompt="please fail"), "trace": available["trace"]}
    with pytest.raises(ItemsFailed, match="RAISED"):
        await decorators.invoke_all([verifiers.reward_fn("picky", service.target)], fails)


# ---- OpenRLHF ------------------------------------------------------------------------------------


class Engine:
    """What OpenRLHF calls its inference engine with, and what that answers: some text's tokens."""

    def __init__(self, tokenizer: Any, text: str) -> None:
        ids = [*tokenizer(text)["input_ids"], tokenizer.eos_token_id]
        output = types.SimpleNamespace(
            token_ids=ids, finish_reason="stop", logprobs=None, text=text
        )
        self.answer = types.SimpleNamespace(outputs=[output])

    async def generate(self, *_: Any, **__: Any) -> Any:
        return self.answer


async def openrlhf_reward(where: str, model: Path, text: str, label: Any) -> dict[str, Any]:
    agent = module("openrlhf", "openrlhf.utils.agent")
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(model))
    executor = agent.SingleTurnAgentExecutor([where])
    params = types.SimpleNamespace(max_tokens=16, logprobs=None)
    engine = Engine(tokenizer, text)
    return await executor.execute("2+2? ", label, params, 64, tokenizer, engine)


async def test_openrlhf_loads_the_reward_file(
    service: Service, model_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "reward.py"
    file.write_text(
        "from rewardplane.integrations.openrlhf import reward_fn\n"
        f"reward_func = reward_fn('math', {service.target!r})\n"
    )
    right = await openrlhf_reward(str(file), model_folder, "A: 4", "4")
    assert (right["reward"], right["scores"]) == (1.0, 1.0)
    assert right["extra_logs"] == {"rewardplane_ok": 1.0}
    wrong = await openrlhf_reward(str(file), model_folder, "A: 5", {"answer": "4"})
    assert wrong["reward"] == 0.0
    # A gold that is none: OpenRLHF swallows what is raised, the reason is in the log.
    failed = await openrlhf_reward(str(file), model_folder, "A: 4", {"other": "4"})
    assert failed["reward"] is None
    assert "INVALID_REFERENCE" in caplog.text


async def test_openrlhf_calls_the_url(service: Service, model_folder: Path) -> None:
    url = f"{service.url}/get_reward"
    right = await openrlhf_reward(url, model_folder, "A: 4", "4")
    assert (right["reward"], right["scores"]) == ([1.0], [1.0])
    assert right["extra_logs"] == {"rewardplane_ok": [1.0]}
    wrong = await openrlhf_reward(url, model_folder, "A: 5", "4")
    assert wrong["reward"] == [0.0]
    # It tries 5 times, a second apart, whatever the error: it gets no number for that.
    failed = await openrlhf_reward(url, model_folder, "A: 4", {"other": "4"})
    assert failed["reward"] is None


# ---- the Tinker cookbook -------------------------------------------------------------------------


async def test_tinker_computes_group_rewards(service: Service) -> None:
    types_module = module("tinker-cookbook", "tinker_cookbook.rl.types")

    class Builder(tinker.RemoteGroupRewards, types_module.EnvGroupBuilder):  # type: ignore[misc]
        remote = tinker.remote("math", service.target)

        async def make_envs(self) -> list[Any]:
            return [environment() for _ in range(4)]

    def environment() -> Any:
        class Renderer:
            def parse_response(self, tokens: list[int]) -> tuple[dict[str, Any], object]:
                return {"role": "assistant", "content": f"A: {tokens[0]}"}, object()

        return types.SimpleNamespace(
            renderer=Renderer(),
            convo_prefix=[],
            get_question=lambda: "2+2?",
            get_reference_answer=lambda: "4",
        )

    def trajectory(answer: int) -> Any:
        step = types.SimpleNamespace(ac=types.SimpleNamespace(tokens=[answer]))
        return types.SimpleNamespace(transitions=[step])

    builder = Builder()
    envs = await builder.make_envs()
    rewards = await builder.compute_group_rewards([trajectory(i) for i in (3, 4, 5, 4)], envs)
    assert [reward for reward, _ in rewards] == [0.0, 1.0, 0.0, 1.0]
    assert all(metrics == {"rewardplane_ok": 1.0} for _, metrics in rewards)
