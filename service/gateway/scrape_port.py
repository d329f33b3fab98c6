"""The port that is scraped: a small HTTP server in threads of its own, beside the event loop."""

from __future__ import annotations

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


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Server6(_Server):
    address_family = socket.AF_INET6


class _Silent(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Scrapes are no news."""
