"""Errors that will not pass, answered from memory to clients that repeat whatever fails."""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict

from rewardplane.rewards.types import ScoreError

REMEMBER_S = 120.0
MAX_REMEMBERED = 65_536
MAX_CHARS = 8 * 2**20
"""Of all their messages."""


class Remembered:
    """The lasting errors of the last REMEMBER_S seconds, by the request that met them."""

    def __init__(self) -> None:
        self._errors: OrderedDict[bytes, tuple[float, ScoreError]] = OrderedDict()
        self._chars = 0

    def find(self, body: bytes, reward: str, digest: str) -> ScoreError | None:
        """The error that this request to one version of a reward met before."""
        if not self._errors:
            return None
        found = self._errors.get(_key_of(body, reward, digest))
        if found is None or found[0] < time.monotonic():
            return None
        return found[1]

    def add(self, body: bytes, reward: str, digest: str, error: ScoreError) -> None:
        """Keeps the error of a request; the oldest are forgotten where there are too many."""
        key = _key_of(body, reward, digest)
        if (old := self._errors.pop(key, None)) is not None:
            self._chars -= len(old[1].message)
        self._errors[key] = time.monotonic() + REMEMBER_S, error
        self._chars += len(error.message)
        while self._errors and (
            len(self._errors) > MAX_REMEMBERED
            or self._chars > MAX_CHARS
            or next(iter(self._errors.values()))[0] < time.monotonic()
        ):
            _key, (_until_s, oldest) = self._errors.popitem(last=False)
            self._chars -= len(oldest.message)


def _key_of(body: bytes, reward: str, digest: str) -> bytes:
    made = hashlib.blake2b(body, digest_size=16, key=f"{reward}/{digest}".encode()[-64:])
    return made.digest()
