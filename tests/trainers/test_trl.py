"""TRL's own GRPOTrainer, with a tiny model on a CPU, against a real service."""

from __future__ import annotations

import copy
import json
import logging
import os
import pickle
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from rewardplane.integrations.trl import reward_fn, sync_reward_fn

from .conftest import Service
from .installed import module

trl = module("trl", "trl")
datasets = module("datasets", "datasets")

pytestmark = pytest.mark.filterwarnings("ignore")


def trainer(
    model: Path, folder: Path, functions: list[Any], rows: list[dict[str, Any]], **settings: Any
) -> Any:
    config = trl.GRPOConfig(
        output_dir=str(folder),
        use_cpu=True,
        bf16=False,
        report_to=[],
        logging_steps=1,
        save_strategy="no",
        disable_tqdm=True,
        num_generations=2,
        per_device_train_batch_size=4,
        max_completion_length=8,
        **{"max_steps": 3, **settings},
    )
    return trl.GRPOTrainer(
        model=str(model),
        reward_funcs=functions,
        args=config,
        train_dataset=datasets.Dataset.from_list(rows),
    )


def logged(trained: Any) -> list[dict[str, float]]:
    return [entry for entry in trained.state.log_history if "reward" in entry]


ROWS = [{"prompt": f"what is {i}+1?", "answer": str(i + 1)} for i in range(8)]


@pytest.mark.parametrize("make", [reward_fn, sync_reward_fn])
def test_trl_takes_our_functions_for_what_they_are(make: Any) -> None:
    from trl.trainer.utils import get_callable_name, is_async_callable

    function = make("math", "x:1", name="n")
    for one in (function, pickle.loads(pickle.dumps(function)), copy.deepcopy(function)):  # noqa: S301 - our own bytes
        assert get_callable_name(one) == "n"
        assert is_async_callable(one) is (make is reward_fn)


def test_two_rewards_are_logged_apart_and_weighted(
    service: Service,
    model_folder: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = [{"prompt": "please fail" if i % 2 else f"say {i}"} for i in range(8)]
    functions = [
        reward_fn("length", service.target),
        reward_fn("picky", service.target, name="selective"),
    ]
    trained = trainer(
        model_folder, tmp_path, functions, rows, reward_weights=[1.0, 0.5], log_completions=True
    )
    with caplog.at_level(logging.WARNING, "rewardplane"):
        trained.train()
    entries = logged(trained)
    assert len(entries) == 3
    for entry in entries:
        length, selective = entry["rewards/length/mean"], entry["rewards/selective/mean"]
        assert selective == 1.0
        assert entry["rewardplane/length/error_fraction"] == 0.0
        share = entry["rewardplane/selective/error_fraction"]
        assert share in (0.0, 0.5, 1.0)
        # TRL's own rule: what is missing counts as 0 in the sum of rewards.
        assert entry["reward"] == pytest.approx(length + 0.5 * (1 - share), abs=1e-5)
        if share:
            assert entry["rewardplane/selective/errors/RAISED"] == 4 * share
    # The table that TRL prints has both, and why rows failed.
    table = capsys.readouterr().out
    assert "length" in table
    assert "selective" in table
    assert "this prompt fails by design" in caplog.text
    assert "reward 'selective'" in caplog.text
    assert "RAISED" in caplog.text


def test_the_table_has_a_column_for_each_reward(
    service: Service, model_folder: Path, tmp_path: Path
) -> None:
    functions = [reward_fn("length", service.target), reward_fn("math", service.target)]
    trained = trainer(model_folder, tmp_path, functions, ROWS, log_completions=True)
    trained.train()
    assert set(trained._logs["rewards"]) == {"length", "math"}
    assert set(trained._logs["extra"]) == {"rewardplane/length/error", "rewardplane/math/error"}
    assert list(trained._logs["extra"]["rewardplane/math/error"]) == [""] * 4
    # No completion of a model of random weights is right, and wrong is not an error.
    assert [e["rewardplane/math/error_fraction"] for e in logged(trained)] == [0.0] * 3


def test_conversations_arrive_in_the_shape_that_trl_has(
    service: Service, model_folder: Path, tmp_path: Path
) -> None:
    rows = [{"prompt": [{"role": "user", "content": f"say {i}"}]} for i in range(8)]
    talked = trainer(model_folder, tmp_path, [reward_fn("shaped", service.target)], rows)
    talked.train()
    assert [e["rewards/shaped/mean"] for e in logged(talked)] == [1.0] * 3
    plain = trainer(model_folder, tmp_path, [reward_fn("shaped", service.target)], ROWS)
    plain.train()
    assert [e["rewards/shaped/mean"] for e in logged(plain)] == [0.0] * 3


def test_a_sync_function_and_an_async_one_go_together(
    service: Service, model_folder: Path, tmp_path: Path
) -> None:
    functions = [sync_reward_fn("length", service.target), reward_fn("picky", service.target)]
    trained = trainer(model_folder, tmp_path, functions, ROWS)
    trained.train()
    assert all({"rewards/length/mean", "rewards/picky/mean"} <= set(e) for e in logged(trained))


@pytest.mark.timeout(300)
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_run_outlives_its_service(
    how: signal.Signals, own_service: Service, model_folder: Path, tmp_path: Path
) -> None:
    from transformers import TrainerCallback

    restarts: list[threading.Thread] = []

    class Restarts(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.global_step == 10:
                # While training goes on: calls meet a service that is not there.
                thread = threading.Thread(target=own_service.restart, args=(how, 2.0))
                thread.start()
                restarts.append(thread)

    functions = [reward_fn("length", own_service.target), reward_fn("math", own_service.target)]
    trained = trainer(model_folder, tmp_path, functions, ROWS, max_steps=40)
    trained.add_callback(Restarts())
    trained.train()
    for thread in restarts:
        thread.join()
    assert restarts
    assert trained.state.global_step == 40
    entries = logged(trained)
    assert len(entries) == 40
    for name in ("length", "math"):
        assert {entry[f"rewardplane/{name}/error_fraction"] for entry in entries} == {0.0}


@pytest.mark.timeout(240)
def test_two_ranks_of_torchrun(service: Service, model_folder: Path, tmp_path: Path) -> None:
    script = Path(__file__).with_name("two_ranks.py")
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"),
        *("--master-port", "0", "--rdzv-backend", "c10d", "--rdzv-endpoint", "127.0.0.1:0"),
        *(script, model_folder, tmp_path, service.target),
    ]
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert done.returncode == 0, done.stderr[-4000:]
    entries = json.loads((tmp_path / "log.json").read_text())
    assert len(entries) == 3
    for entry in entries:
        assert entry["rewardplane/length/error_fraction"] == 0.0
        # Averaged over both ranks, each of which scored 4 of 8 rows.
        assert entry["rewardplane/picky/error_fraction"] in (0.0, 0.25, 0.5, 0.75)
    assert any(entry["rewardplane/picky/error_fraction"] for entry in entries)


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_other_processes_get_the_function_by_pickle(method: str, service: Service) -> None:
    import multiprocessing

    function = sync_reward_fn("math", service.target)
    batch = {"prompts": ["1+3?"] * 2, "completions": ["A: 4", "A: 5"], "answer": ["4", "4"]}
    assert function(**batch) == [1.0, 0.0]
    with multiprocessing.get_context(method).Pool(1) as pool:
        assert pool.apply(function, (), batch) == [1.0, 0.0]
    assert function(**batch) == [1.0, 0.0]


async def test_async_grpo_tells_rewards_apart(service: Service) -> None:
    """TRL's `_AsyncRolloutLoop._score_group`, with functions as its child process gets them."""
    worker = module("trl", "trl.experimental.async_grpo.async_rollout_worker")
    utils = module("trl", "trl.trainer.utils")
    # Its logger wants what a trainer has made by then.
    module("accelerate", "accelerate").PartialState(cpu=True)
    made = [
        reward_fn("math", service.target),
        reward_fn("length", service.target, name="long"),
        reward_fn("picky", service.target),
    ]
    functions = pickle.loads(pickle.dumps(made))  # noqa: S301 - our own bytes
    loop = object.__new__(worker._AsyncRolloutLoop)
    loop.reward_funcs = functions
    loop.reward_func_names = [utils.get_callable_name(one) for one in functions]
    loop._env_reward_types = []
    loop._provides_rollout_reward = False
    answers = ["A: 4", "A: 5"]
    group = worker.RolloutGroup(
        prompts=[[{"role": "user", "content": "2+2?"}]] * 2,
        reward_kwargs={"answer": ["4", "4"]},
        completions=[[{"role": "assistant", "content": answer}] for answer in answers],
        completions_ids=[[1, 2], [1]],
        completions_sequences=[[worker.TrainingSequence([1], [1], [0.0], None)]] * 2,
        tool_call_counts=[0, 0],
        tool_failure_counts=[0, 0],
        model_version=0,
        group_id=0,
        env_rewards=[None, None],
        rollout_rewards=[None, None],
    )
    samples = await loop._score_group(group)
    assert [sample.metrics["rewards/math"] for sample in samples] == [1.0, 0.0]
    assert [sample.metrics["rewards/long"] for sample in samples] == [0.2, 0.2]
    assert [sample.metrics["rewards/picky"] for sample in samples] == [1.0, 1.0]
    assert [sample.metrics["reward"] for sample in samples] == [2.2, 1.2]
