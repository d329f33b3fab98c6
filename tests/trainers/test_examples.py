"""The examples that can be run here, as they are, with the trainers' own code."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import ROOT, Service
from .installed import module

EXAMPLES = ROOT / "examples"

pytestmark = pytest.mark.filterwarnings("ignore")


def test_the_example_of_trl_trains(service: Service, model_folder: Path, tmp_path: Path) -> None:
    module("trl", "trl")
    command = [
        *(sys.executable, EXAMPLES / "trl" / "train.py", "--model", model_folder),
        *("--target", service.target, "--output", tmp_path, "--steps", "2", "--cpu"),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    assert "rewards/math/mean" in done.stdout
    (fractions,) = [re.findall(r"error_fraction': '?([\d.]+)", done.stdout)]
    assert [float(fraction) for fraction in fractions] == [0.0, 0.0]


def test_the_plugin_of_ms_swift_registers() -> None:
    rewards = module("ms-swift", "swift.rewards")
    runpy.run_path(str(EXAMPLES / "ms_swift" / "plugin.py"))
    assert rewards.orms["rp_math"](args=None).remote.reward == "math"


def test_the_environment_of_skyrl_can_be_made() -> None:
    gym = module("skyrl-gym", "skyrl_gym")
    runpy.run_path(str(EXAMPLES / "skyrl" / "environment.py"))
    spec = {"ground_truth": "4"}
    env = gym.make("rp_math", env_config={}, extras={"reward_spec": spec})
    assert env.init([{"role": "user", "content": "2+2?"}])[1] == {}


def test_the_builder_of_tinker_can_be_made() -> None:
    module("tinker-cookbook", "tinker_cookbook")
    made = runpy.run_path(str(EXAMPLES / "tinker" / "builder.py"))["MathGroupBuilder"]
    builder = made(env_thunk=lambda: None, num_envs=4)
    assert builder.remote.reward == "math"
    # The mixin's method goes before the builder's own, which gives zeros.
    assert builder.compute_group_rewards.__qualname__.startswith("RemoteGroupRewards")


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("openrlhf/reward.py", "reward_func"),
        ("areal/rewards.py", "math"),
        ("verifiers/my_rewards.py", "math"),
        ("prime_rl/my_rewards.py", "math"),
        ("axolotl/my_rewards.py", "math"),
    ],
)
def test_the_modules_hold_functions(file: str, name: str) -> None:
    function = runpy.run_path(str(EXAMPLES / file))[name]
    assert callable(function)
    assert function.__name__ == "math"
