"""Static tokens: a file of hashes, so that whoever reads it cannot call."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from .settings import AccessError

CALLER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@:/+=,-]{0,199}")
"""Names of callers: what mail addresses, SPIFFE ids and service accounts are made of."""
_HASH = re.compile(r"[0-9a-f]{64}")
MAX_BYTES = 16 * 2**20


@dataclass(frozen=True, slots=True)
class StaticToken:
    """Whose token it is, and until when in seconds since 1970. None: it does not expire."""

    caller: str
    until_s: float | None


def new_token(caller: str) -> tuple[str, str]:
    """A fresh token of 256 bits, and its line for the file.

    Raises:
        ValueError: the name cannot be a caller's.
    """
    if not CALLER.fullmatch(caller):
        raise ValueError(
            f"{caller!r} is no name of a caller: want 1 to 200 letters, digits and . _ @ : / + = , "
            "-, the first of them a letter or a digit"
        )
    token = "rp_" + secrets.token_urlsafe(32)
    return token, f"{hash_of(token).hex()} {caller}"


def hash_of(token: str) -> bytes:
    """The hash that the file has of a token. Tokens are random: no salt is needed."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


def read_tokens(path: Path) -> Mapping[bytes, StaticToken]:
    """The tokens of a file by their hash.

    Raises:
        AccessError: it cannot be read, or a line is none; all faults at once.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        text = data.decode()
    except OSError as error:
        raise AccessError([f"{path}: {error.strerror}"]) from None
    except UnicodeDecodeError:
        raise AccessError([f"{path}: is no text"]) from None
    if len(data) > MAX_BYTES:
        raise AccessError([f"{path}: more than {MAX_BYTES} bytes"])
    found: dict[bytes, StaticToken] = {}
    faults: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        try:
            digest, token = _read(words)
            if digest in found:
                raise ValueError("this hash stands twice")  # noqa: TRY301 - told with its line
            found[digest] = token
        except ValueError as fault:
            faults.append(f"{path}:{number}: {fault}")
    if faults:
        raise AccessError(faults)
    return found


def _read(words: list[str]) -> tuple[bytes, StaticToken]:
    # A message never repeats a word that may be a token put there by mistake.
    digest, *rest = words
    if not _HASH.fullmatch(digest):
        raise ValueError("want the SHA-256 of a token first, as 64 hex digits in lower case")
    if not rest or not CALLER.fullmatch(rest[0]):
        raise ValueError(f"want the caller's name after the hash: {CALLER.pattern}")
    until_s = None
    for word in rest[1:]:
        key, _, value = word.partition("=")
        if key != "until" or until_s is not None:
            raise ValueError("want nothing after the caller's name but until=TIME")
        until_s = _seconds(value)
    return bytes.fromhex(digest), StaticToken(rest[0], until_s)


def _seconds(text: str) -> float:
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("until: want a time such as 2027-01-31T00:00:00Z") from None
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
