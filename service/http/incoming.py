"""A request on its way in, before it is answered."""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

import httptools

from .exchange import Answer, Request


class Incoming:
    """A request that is on its way in, or that waits for those before it."""

    __slots__ = ("chunks", "keep_alive", "refused", "request", "size", "wants_continue")

    def __init__(self, request: Request, *, keep_alive: bool, wants_continue: bool) -> None:
        self.request = request
        self.keep_alive = keep_alive
        self.wants_continue = wants_continue
        self.refused: Answer | None = None
        self.chunks: list[bytes | bytearray] = []
        self.size = 0


def path_of(target: bytes) -> str:
    """The path of a request's target; empty where it has none."""
    if not target.startswith(b"/"):
        try:
            target = httptools.parse_url(target).path or b"/"
        except httptools.HttpParserInvalidURLError:
            return ""
    path = target.partition(b"?")[0]
    return (unquote_to_bytes(path) if b"%" in path else path).decode("utf-8", "replace")
