"""How a guest answers, and is asked."""

from __future__ import annotations

import os

from ..protocol import FRAME


class Channel:
    """What a guest's `main` gets beside its request. One use at a time."""

    def __init__(self, descriptor: int, *, framed: bool) -> None:
        """Framed: of a session, which asks and is answered in messages."""
        self._descriptor = descriptor
        self._framed = framed

    def fileno(self) -> int:
        """The descriptor."""
        return self._descriptor

    def send(self, message: bytes) -> None:
        """Answers. Of a run all that is sent, one after the other, is its answer."""
        left = memoryview(FRAME.pack(len(message)) + message if self._framed else message)
        while left:
            left = left[os.write(self._descriptor, left) :]

    def receive(self) -> bytes | None:
        """The next question of a session; None: there will be none."""
        head = self._read(FRAME.size)
        return None if head is None else self._read(FRAME.unpack(head)[0])

    def _read(self, length: int) -> bytes | None:
        parts: list[bytes] = []
        while length:
            part = os.read(self._descriptor, min(length, 1 << 20))
            if not part:
                return None
            parts.append(part)
            length -= len(part)
        return b"".join(parts)
