"""Who could reach the service is asked before it starts. No cluster here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from rewardplane.access.settings import AccessError
from rewardplane.cli.commands import app
from rewardplane.gateway.doors.door import DoorKind, DoorUnavailable
from rewardplane.host.exposure import Exposed, guarded
from rewardplane.host.options import Options
from typer.testing import CliRunner

from ..access.making import Authority, server_files

ANY_HOST = "0.0.0.0"  # noqa: S104 - what this is about
TLS = {"tls": {"folder": "tls"}}
MUTUAL = {"tls": {"folder": "tls", "client_certificates": "required"}}


def access(folder: Path, **settings: Any) -> str:
    server_files(folder / "tls", Authority())
    (folder / "tokens").touch()
    path = folder / "access.yaml"
    path.write_text(yaml.safe_dump(settings))
    return str(path)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.8.8.8"])
def test_loopback_needs_nothing(host: str) -> None:
    options, remarks = guarded(Options(host), None)
    assert (options.door, remarks) == (DoorKind.NATIVE, [])


@pytest.mark.parametrize("host", [ANY_HOST, "::", "10.0.0.1", "rewards.example"])
def test_elsewhere_wants_a_proof_or_to_be_told(host: str, tmp_path: Path) -> None:
    with pytest.raises(Exposed, match="--insecure"):
        guarded(Options(host), None)
    _options, (remark,) = guarded(Options(host, insecure=True), None)
    assert remark.startswith("INSECURE")
    open_to_all = access(tmp_path, tokens_file="tokens", anonymous={})
    with pytest.raises(Exposed):
        guarded(Options(host, access=open_to_all), None)
    with pytest.raises(Exposed):  # TLS alone says nothing of who calls
        guarded(Options(host, access=access(tmp_path, **TLS, anonymous={})), None)
    with pytest.raises(Exposed, match="behind_envoy"):
        guarded(Options(host, access=access(tmp_path, behind_envoy=True), insecure=True), None)


def test_tokens_in_the_clear_are_remarked_on(tmp_path: Path) -> None:
    options, (remark,) = guarded(
        Options(ANY_HOST, access=access(tmp_path, tokens_file="tokens")), None
    )
    assert "in the clear" in remark
    assert options.door is DoorKind.NATIVE
    assert options.strangers_refused


def test_tls_chooses_the_door_that_has_it_aloud(tmp_path: Path) -> None:
    for settings in (MUTUAL, {**TLS, "tokens_file": "tokens"}):
        wanted = Options(ANY_HOST, access=access(tmp_path, **settings))
        options, (remark,) = guarded(wanted, None)
        assert options.door is DoorKind.GRPC
        assert "native one has no TLS" in remark
        assert guarded(wanted, DoorKind.GRPC)[1] == []
        with pytest.raises(DoorUnavailable, match="--door grpc"):
            guarded(wanted, DoorKind.NATIVE)


def test_a_file_that_cannot_be_used_is_told_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(AccessError, match="No such file"):
        guarded(Options(access=str(tmp_path / "nowhere.yaml")), None)
    path = access(tmp_path, **MUTUAL)
    (tmp_path / "tls" / "tls.key").unlink()
    with pytest.raises(AccessError, match=r"tls\.key"):
        guarded(Options(access=path), None)


def test_the_command_refuses_and_says_what_to_do(tmp_path: Path) -> None:
    rewards = tmp_path / "rewards.yaml"
    rewards.write_text("rewards: {one: {kind: exact}}\n")
    refused = CliRunner().invoke(app, ["serve", str(rewards), "--host", ANY_HOST])
    assert refused.exit_code == 1
    assert "--insecure" in refused.output
    made = CliRunner().invoke(app, ["new-token", "team-a"])
    assert made.exit_code == 0
    assert made.stdout.split()[1] == "team-a"
    assert CliRunner().invoke(app, ["new-token", "two words"]).exit_code == 1
