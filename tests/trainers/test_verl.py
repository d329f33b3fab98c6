"""verl's own `load_reward_manager` and reward-loop worker, with `compute_score` named in the
configuration as a user names it."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from rewardplane.client import ItemsFailed

from ..support.fake_server import FakeService, serving
from .installed import module

module("verl", "verl")

pytestmark = pytest.mark.filterwarnings("ignore")

SAMPLES = 256
FAILING = {i * 25 for i in range(10)}


@pytest.fixture
def fake() -> FakeService:
    return FakeService()


@pytest.fixture
async def target(fake: FakeService) -> AsyncIterator[str]:
    async with serving(fake) as target:
        yield target


def configuration(model: Path, target: str, manager: str = "naive", **reward_kwargs: Any) -> Any:
    from omegaconf import OmegaConf

    name = "compute_score_sync" if manager == "remote" else "compute_score"
    manager_config: dict[str, Any] = {"source": "register", "name": manager, "module": None}
    if manager == "RawPromptRewardManager":
        manager_config["source"] = "importlib"
        manager_config["module"] = {"path": "pkg://rewardplane.integrations.verl"}
    return OmegaConf.create(
        {
            "actor_rollout_ref": {"model": {"path": str(model), "tokenizer_path": str(model)}},
            "reward": {
                "num_workers": 1,
                "max_concurrent": 1000,
                "custom_reward_function": {
                    "path": "pkg://rewardplane.integrations.verl",
                    "name": reward_kwargs.pop("name", name),
                    "reward_kwargs": {"target": target, "reward": "math", **reward_kwargs},
                },
                "reward_manager": manager_config,
                "reward_model": {"enable": False},
            },
        }
    )


def batch(model: Path, texts: list[str], **extra: Any) -> Any:
    """Samples as verl's agent loop hands them to its reward workers."""
    import numpy as np
    import torch
    from transformers import AutoTokenizer
    from verl import DataProto

    tokenizer = AutoTokenizer.from_pretrained(str(model))
    ids = [tokenizer(text)["input_ids"] for text in texts]
    width = max(map(len, ids))
    n = len(texts)
    responses = torch.tensor([row + [0] * (width - len(row)) for row in ids])
    mask = torch.tensor([[1] * (4 + len(row)) + [0] * (width - len(row)) for row in ids])

    def column(values: list[Any]) -> Any:
        array = np.empty(n, dtype=object)
        array[:] = values
        return array

    return DataProto.from_dict(
        tensors={
            "prompts": torch.ones(n, 4, dtype=torch.long),
            "responses": responses,
            "attention_mask": mask,
        },
        non_tensors={
            "data_source": column([extra.get("data_source", "openai/gsm8k")] * n),
            "reward_model": column([{"ground_truth": "4", "style": "rule"}] * n),
            "extra_info": column([{"index": np.int64(i), "split": "train"} for i in range(n)]),
            "raw_prompt": column([[{"role": "user", "content": f"2+2? {i}"}] for i in range(n)]),
        },
    )


def texts(failing: set[int] = FAILING) -> list[str]:
    return ["RAISED" if i in failing else str(i) for i in range(SAMPLES)]


async def scored(config: Any, data: Any) -> list[dict[str, Any]]:
    from verl.experimental.reward_loop.reward_loop import RewardLoopWorker

    return await RewardLoopWorker(config).compute_score_batch(data)


def aggregated(outputs: list[dict[str, Any]]) -> dict[str, Any]:
    """The lines of verl's RewardLoopManager.compute_rm_score that take the keys of sample 0."""
    infos = [output.get("reward_extra_info", {}) for output in outputs]
    return {key: [info[key] for info in infos] for key in infos[0]}


@pytest.mark.parametrize("manager", ["naive", "dapo", "rate_limited", "RawPromptRewardManager"])
async def test_256_samples_of_which_10_fail(
    manager: str, fake: FakeService, target: str, model_folder: Path
) -> None:
    config = configuration(
        model_folder, target, manager, on_error="value", value=-1.0, components=["length"]
    )
    outputs = await scored(config, batch(model_folder, texts()))
    assert [o["reward_score"] for o in outputs] == [
        -1.0 if i in FAILING else float(i) for i in range(SAMPLES)
    ]
    columns = aggregated(outputs)
    assert {len(values) for values in columns.values()} == {SAMPLES}
    assert {"score", "acc", "rewardplane_ok", "rewardplane_reason", "length"} <= set(columns)
    assert [i for i, ok in enumerate(columns["rewardplane_ok"]) if not ok] == sorted(FAILING)
    assert columns["rewardplane_reason"][0] == "RAISED"
    assert columns["rewardplane_reason"][1] == ""
    assert math.isnan(columns["length"][0])
    assert columns["length"][1] == 1.0
    assert fake.items == SAMPLES
    assert len(fake.calls) <= 3


async def test_what_arrives(fake: FakeService, target: str, model_folder: Path) -> None:
    config = configuration(
        model_folder,
        target,
        "RawPromptRewardManager",
        reward="",
        routes={"openai/gsm8k": "math2"},
        columns=["ground_truth", "index"],
        rename={"ground_truth": "answer"},
    )
    data = batch(model_folder, ["7"])
    (output,) = await scored(config, data)
    assert output["reward_score"] == 7.0
    (call,) = fake.calls
    (group,) = call.groups
    assert call.reward == "math2"
    assert dict(group.example.references) == {"answer": "4"}
    assert dict(group.example.json_references) == {"index": "0"}
    assert group.example.contents[0].parts[0].text == "2+2? 0"
    # verl's own sample is as it was.
    assert "rewardplane_prompt" not in data.non_tensor_batch["extra_info"][0]


async def test_an_unknown_data_source_is_named(target: str, model_folder: Path) -> None:
    config = configuration(model_folder, target, reward="", routes={"a": "math"})
    with pytest.raises(ValueError, match=r"no reward for data source 'openai/gsm8k'.*there are: a"):
        await scored(config, batch(model_folder, ["1"]))


async def test_a_failing_item_raises_unless_the_user_says_otherwise(
    target: str, model_folder: Path
) -> None:
    with pytest.raises(ItemsFailed, match="RAISED as told"):
        await scored(configuration(model_folder, target), batch(model_folder, ["1", "RAISED"]))


async def test_sync_functions_in_threads_are_batched(
    fake: FakeService, target: str, model_folder: Path
) -> None:
    config = configuration(model_folder, target, name="compute_score_sync")
    outputs = await scored(config, batch(model_folder, texts(set())))
    assert [o["reward_score"] for o in outputs] == [float(i) for i in range(SAMPLES)]
    assert len(fake.calls) < SAMPLES / 2


@pytest.fixture
def ray_instance() -> Iterator[Any]:
    ray = module("ray", "ray")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        yield ray
    finally:
        ray.shutdown()


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_the_manager_that_scores_in_ray_actors(
    ray_instance: Any, target: str, model_folder: Path
) -> None:
    config = configuration(model_folder, target, "remote", on_error="value", value=0.5)
    outputs = await scored(config, batch(model_folder, ["1", "RAISED", "3"]))
    assert [o["reward_score"] for o in outputs] == [1.0, 0.5, 3.0]
    assert aggregated(outputs)["rewardplane_ok"] == [1, 0, 1]
