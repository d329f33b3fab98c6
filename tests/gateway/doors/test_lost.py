"""A door that cannot be had is an error; one that dies is noticed, so that another takes over."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from typing import Any

import pytest
from rewardplane.gateway.doors import native
from rewardplane.gateway.doors.door import DoorKind, DoorUnavailable, door_class
from rewardplane.gateway.doors.probe import answers

from ...support.sockets import listener
from .served import served, until


def test_a_door_that_is_not_installed_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pygrpc_native", None)
    with pytest.raises(DoorUnavailable, match="--door grpc"):
        door_class(DoorKind.NATIVE)
    assert door_class(DoorKind.GRPC).kind is DoorKind.GRPC


class _Broken:
    """A front whose next batch is its last."""

    def __init__(self, front: Any, error: Exception | None) -> None:
        self._front = front
        self._error = error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._front, name)

    def recv_batch_details(self, most: int) -> Any:
        if self._error is not None:
            raise self._error
        return None


@pytest.mark.parametrize("error", [RuntimeError("made for this test"), None])
async def test_a_reader_that_ends_is_noticed(error: Exception | None) -> None:
    async with served(DoorKind.NATIVE) as it:
        assert await it.call(b"x") == b"x"
        front = it.door.front  # type: ignore[attr-defined]
        it.door.front = _Broken(front, error)  # type: ignore[attr-defined]
        call = it.call(b"x")  # the reader may be in the old front until it comes
        await until(lambda: it.lost)
        call.cancel()
        assert len(it.lost) == 1
        assert ("made for this test" in it.lost[0]) == (error is not None)
        it.door.front = front  # type: ignore[attr-defined]


async def test_a_port_that_answers_no_more_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "PROBE_EVERY_S", 0.1)
    monkeypatch.setattr(native, "PROBE_TIMEOUT_S", 0.3)
    async with served(DoorKind.NATIVE) as it:
        assert await it.call(b"x") == b"x"
        await asyncio.sleep(0.5)
        assert it.lost == []
        with listener(os.getpid(), it.port) as found:
            found.shutdown(socket.SHUT_RDWR)
        await until(lambda: it.lost)
        assert "cannot be reached" in it.lost[0] or "does not answer" in it.lost[0]


async def test_the_probe_tells_what_is_wrong() -> None:
    async with served(DoorKind.NATIVE) as it:
        assert await answers("0.0.0.0", it.port, 5.0) == ""  # noqa: S104
    assert "cannot be reached" in await answers("127.0.0.1", it.port, 5.0)
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        assert "does not answer" in await answers("127.0.0.1", deaf.getsockname()[1], 0.2)
