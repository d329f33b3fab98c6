"""Ray's own ports: a Ray that the service starts asks for a token, so they let nobody in."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from rewardplane.cluster.connecting import guard_local_ray
from rewardplane.rewards.sandbox.seed import _PASSED_ON

pytestmark = pytest.mark.timeout(120)

STRANGER = """
import sys, ray
try:
    ray.init(address=sys.argv[1], log_to_driver=False, namespace="stranger")
except ConnectionError as error:
    print("refused:", error)
else:
    print("let in")
"""


@pytest.mark.ray
def test_a_stranger_is_not_let_into_rays_ports(service: object) -> None:
    import ray

    assert service
    address = ray.get_runtime_context().gcs_address
    known = {**os.environ, "RAY_AUTH_MODE": "disabled"}
    envs = known, {**known, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "x" * 40}
    command = [sys.executable, "-c", STRANGER, address]
    pipe = subprocess.PIPE
    strangers = [
        subprocess.Popen(command, env=env, stdout=pipe, stderr=pipe, text=True) for env in envs
    ]
    for stranger in strangers:
        with stranger:
            said, complained = stranger.communicate(timeout=60)
        assert said.startswith("refused:"), said + complained[-2000:]


def test_what_the_environment_says_of_ray_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    guard_local_ray()
    assert (os.environ["RAY_AUTH_MODE"], os.environ.get("RAY_AUTH_TOKEN")) == ("disabled", None)


def test_untrusted_code_does_not_get_the_token() -> None:
    # Its process starts with these variables alone; the attack `read_environ` is the proof.
    assert not [name for name in _PASSED_ON if name.startswith("RAY")]
