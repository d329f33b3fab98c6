"""Where a client's credentials come from: arguments, files, the environment."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from rewardplane.client import endpoint
from rewardplane.client.client import RewardClient
from rewardplane.client.endpoint import Credentials, Endpoint
from rewardplane.rewards.types import Example, Group, Response

from ..support.fake_server import FakeService, serving

VARIABLES = ("TOKEN", "TOKEN_FILE", "CA_FILE", "CERTIFICATE_FILE", "KEY_FILE", "TLS")


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(f"REWARDPLANE_{name}", raising=False)


def test_nothing_is_in_the_clear() -> None:
    assert Credentials.from_files() is None
    assert RewardClient("a:1")._endpoint.credentials is None


def test_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("REWARDPLANE_TOKEN", "t")
    assert Credentials.from_files() == Credentials("t")
    assert RewardClient("a:1")._endpoint.credentials == Credentials("t")  # TLS, unless told
    monkeypatch.setenv("REWARDPLANE_TLS", "0")
    assert Credentials.from_files() == Credentials("t", tls=False)
    assert Credentials.from_files(tls=True) == Credentials("t")
    for name in ("CA", "CERTIFICATE", "KEY"):
        (tmp_path / name).write_text(name)
        monkeypatch.setenv(f"REWARDPLANE_{name}_FILE", str(tmp_path / name))
    with pytest.raises(ValueError, match="need tls"):
        Credentials.from_files()
    monkeypatch.setenv("REWARDPLANE_TLS", "1")
    assert Credentials.from_files() == Credentials("t", True, b"CA", b"KEY", b"CERTIFICATE")
    monkeypatch.delenv("REWARDPLANE_KEY_FILE")
    with pytest.raises(ValueError, match="go together"):
        Credentials.from_files()
    monkeypatch.setenv("REWARDPLANE_TLS", "yes")
    with pytest.raises(ValueError, match="want 1 or 0"):
        Credentials.from_files()


def test_files_that_are_missing_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TOKEN_FILE", "CA_FILE"):
        monkeypatch.setenv(f"REWARDPLANE_{name}", "/nowhere")
        with pytest.raises(OSError, match="nowhere"):
            RewardClient("a:1")
        monkeypatch.delenv(f"REWARDPLANE_{name}")


async def test_a_token_file_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "_TOKEN_READ_EVERY_S", 0.0)
    file = tmp_path / "token"
    file.write_text("one\n")
    service = FakeService()
    how = Credentials(tls=False, token_file=str(file))
    async with serving(service) as target, RewardClient(target, credentials=how) as client:

        async def sent() -> str:
            await client.score("math", [Group(Example(), [Response("x")])])
            return Endpoint((target,), how).metadata[0][1]

        assert await sent() == "Bearer one"
        file.write_text("two\n")
        assert await sent() == "Bearer two"
        file.unlink()  # while it is replaced, what was read goes on
        assert await sent() == "Bearer two"


def test_a_client_with_credentials_can_be_pickled_and_does_not_tell_them() -> None:
    client = RewardClient(
        "a:1", credentials=Credentials("s3cret", private_key=b"k3y", certificate_chain=b"c")
    )
    back = pickle.loads(pickle.dumps(client))  # noqa: S301 - one's own
    assert back._endpoint == client._endpoint
    assert "s3cret" not in repr(client._endpoint)
    assert "k3y" not in repr(client._endpoint)
