"""The port that is scraped, met by clients that are rude: few threads, and none for ever."""

from __future__ import annotations

import socket
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress

import pytest
from rewardplane.gateway import scrape_port
from rewardplane.gateway.scrape_port import answering


def page(_environ: object, start: object) -> Iterator[bytes]:
    start("200 OK", [("content-type", "text/plain")])  # type: ignore[operator]
    yield b"metric 1\n"


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setattr(scrape_port, "MAX_AT_ONCE", 4)
    monkeypatch.setattr(scrape_port, "ANSWER_S", 0.7)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free = probe.getsockname()[1]
    stop = answering(page, "127.0.0.1", free)
    yield free
    stop()


def scraped(port: int) -> bytes:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as reply:
        return reply.read()


def until_scraped(port: int) -> None:
    end_s = time.monotonic() + 15
    while True:
        try:
            assert scraped(port) == b"metric 1\n"
        except OSError:
            assert time.monotonic() < end_s, "it is scraped no more"
            time.sleep(0.1)
        else:
            return


@pytest.mark.parametrize("sent", [b"", b"GET /metrics HTT", b"GET / HTTP/1.1\r\nhost: x\r\nx-"])
def test_half_requests_hold_few_threads_and_not_for_long(port: int, sent: bytes) -> None:
    until_scraped(port)
    before = threading.active_count()
    held = [socket.create_connection(("127.0.0.1", port)) for _ in range(40)]
    try:
        for connection in held:
            with suppress(OSError):  # some have been ended for others
                connection.sendall(sent)
        time.sleep(0.3)
        assert threading.active_count() <= before + 2 * 4  # each with its timer
        until_scraped(port)
    finally:
        for connection in held:
            connection.close()


@pytest.mark.parametrize("sent", [b"", b"GET /metrics HTT", b"GET / HTTP/1.1\r\nhost: x\r\nx-"])
def test_connections_that_are_held_keep_nobody_out(
    port: int, sent: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A probe that finds no place fails, and a gateway whose probes fail is taken for dead."""
    monkeypatch.setattr(scrape_port, "ANSWER_S", 60.0)
    before = threading.active_count()
    held = [socket.create_connection(("127.0.0.1", port)) for _ in range(40)]
    try:
        for connection in held:
            with suppress(OSError):  # some have been ended for others
                connection.sendall(sent)
        for _ in range(20):
            assert scraped(port) == b"metric 1\n"
        assert threading.active_count() <= before + 2 * 2 * 4
    finally:
        for connection in held:
            connection.close()


def drips(port: int) -> None:
    """Sends a byte now and then. Raises OSError."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        for _ in range(100):
            connection.sendall(b"x")
            time.sleep(0.1)


def test_a_request_that_drips_is_ended(port: int) -> None:
    begin_s = time.monotonic()
    with pytest.raises(OSError):
        drips(port)
    assert time.monotonic() - begin_s < 8
    assert scraped(port) == b"metric 1\n"


@pytest.mark.parametrize("where", [threading.Thread, threading.Timer])
def test_threads_that_cannot_be_had_take_no_place_for_ever(
    port: int, where: type[threading.Thread], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as full:
        full.setattr(where, "start", fails, raising=False)
        for _ in range(2 * 4):
            with pytest.raises(OSError):
                scraped(port)
    until_scraped(port)


def test_faults_of_clients_are_no_news(port: int, capfd: pytest.CaptureFixture[str]) -> None:
    for sent in (b"\x16\x03\x01\0\xff", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\0" * 70_000):
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.settimeout(5)
            try:
                connection.sendall(sent)
                connection.shutdown(socket.SHUT_WR)
                connection.recv(1000)
            except OSError:
                continue
    until_scraped(port)
    assert "Traceback" not in "".join(capfd.readouterr())
