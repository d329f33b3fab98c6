"""The port that is scraped: a small HTTP server in threads of its own, beside the event loop."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server


def answering(application: Any, host: str, port: int) -> Callable[[], None]:
    """Answers with a WSGI application; returns what ends it.

    Raises:
        OSError: the port is taken.
    """
    kind = _Server6 if ":" in host else _Server
    server = make_server(host, port, application, kind, handler_class=_Silent)
    thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return stop


MAX_AT_ONCE = 32
"""Each has a thread; for who comes beyond them, the one that is there the longest is ended."""
ANSWER_S = 10.0
"""How long one may take, with its request and with taking the answer."""
ENDED_S = 1.0
"""How long one that was ended may take to be gone, before who comes is turned away."""


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 128
    """With the few of the default, who connects in a burst waits a second to try again."""

    def __init__(self, *args: Any) -> None:
        # Who was ended is gone in a moment, but not at once.
        self._places = threading.BoundedSemaphore(2 * MAX_AT_ONCE)
        self._there: dict[socket.socket, None] = {}
        """The connections, the oldest first."""
        self._lock = threading.Lock()
        super().__init__(*args)

    def process_request(self, request: Any, client_address: Any) -> None:
        """In a thread of its own. Connections that are held open keep nobody out."""
        with self._lock:
            oldest = next(iter(self._there)) if len(self._there) >= MAX_AT_ONCE else None
            if oldest is not None:
                del self._there[oldest]
                _end(oldest)
        if not self._places.acquire(timeout=ENDED_S):
            self.shutdown_request(request)
            return
        with self._lock:
            self._there[request] = None
        try:
            super().process_request(request, client_address)
        except BaseException:  # there is no thread to be had
            self._left(request)
            raise

    def _left(self, request: socket.socket) -> None:
        with self._lock:
            self._there.pop(request, None)
        self._places.release()

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Ends it when its time is over, however little it sends at a time."""
        timer = threading.Timer(ANSWER_S, _end, (request,))
        timer.daemon = True
        try:
            timer.start()
            super().process_request_thread(request, client_address)
        except RuntimeError:  # there is no thread for the timer
            self.shutdown_request(request)
        finally:
            timer.cancel()
            self._left(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Who hangs up, or takes too long, is no news."""


def _end(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


class _Server6(_Server):
    address_family = socket.AF_INET6


class _Silent(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Scrapes are no news."""
