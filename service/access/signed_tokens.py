"""Signed tokens (JWT): whose they are, by the issuer's public keys.

What is wrong with a token is told by a stable word (`why`): tokens are refused for it, never taken
for somebody else's. The signature is looked at before any claim.
"""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import aiohttp
import jwt
from rewardplane.wire.errors import NotReady, Unauthenticated

from .settings import AccessError, JwtIssuer
from .tokens import CALLER

MAX_TOKEN_CHARS = 16 * 1024
MAX_KEYS_BYTES = 2**20
FETCH_S = 10.0
SEEK_EVERY_S = 10.0
"""How often at most an address is asked for a key that is not known."""


@dataclass(frozen=True, slots=True)
class _Key:
    """A public key; `algorithm`: the only one that it is for, where its set says so."""

    name: str
    algorithm: str | None
    public: Any


class Issuer:
    """One issuer and its keys, of which there are none before `refresh`."""

    def __init__(self, settings: JwtIssuer, folder: Path) -> None:
        self.settings = settings
        self._folder = folder
        self._keys: dict[str, _Key] = {}
        self._unnamed: list[_Key] = []
        self._text = ""
        """The keys as they were told."""
        self._asked_s = float("-inf")
        self._wanted = False
        self.fault = ""
        """Why the keys could not be had the last time. Those from before are used on."""

    @property
    def file(self) -> Path | None:
        """The file of the keys; None: they come from an address."""
        return None if self.settings.by_address else self._folder / self.settings.keys

    def read_file(self) -> None:
        """Takes the keys from their file.

        Raises:
            AccessError: there are none in it.
        """
        assert self.file is not None  # noqa: S101 - the caller's part
        try:
            with self.file.open("rb") as file:
                self._take(file.read(MAX_KEYS_BYTES + 1))
        except OSError as error:
            raise AccessError([f"{self.file}: {error.strerror}"]) from None
        except ValueError as error:
            raise AccessError([f"{self.file}: {error}"]) from None

    @property
    def has_keys(self) -> bool:
        """Whether any key is known."""
        return bool(self._text)

    def due(self, now_s: float) -> bool:
        """Whether the address is to be asked: in its turn, or for a key that is not known."""
        every_s = self.settings.refresh_s if self.has_keys else SEEK_EVERY_S
        return self._wanted or now_s - self._asked_s >= every_s

    async def refresh(self) -> bool:
        """Asks the address; returns whether the keys are others now. Faults go to `fault`."""
        self._asked_s = time.monotonic()
        try:
            changed = self._take(await self._fetched())
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            told = str(error) or type(error).__name__
            self.fault = f"the keys of {self.settings.issuer} cannot be had: {told}"
            return False
        finally:
            self._wanted = False
        self.fault = ""
        return changed

    async def _fetched(self) -> bytes:
        settings = self.settings
        headers: dict[str, str] = {"accept": "application/json"}
        if settings.keys_token_file:
            token = (self._folder / settings.keys_token_file).read_text().strip()
            headers["authorization"] = f"Bearer {token}"
        context: ssl.SSLContext | bool = True
        if settings.keys_ca_file:
            context = ssl.create_default_context(cafile=self._folder / settings.keys_ca_file)
        timeout = aiohttp.ClientTimeout(total=FETCH_S)
        async with (
            aiohttp.ClientSession(timeout=timeout, raise_for_status=True) as session,
            # A redirect may lead to an address without TLS.
            session.get(
                settings.keys, headers=headers, ssl=context, allow_redirects=False
            ) as answer,
        ):
            if answer.status != 200:
                raise ValueError(f"status {answer.status}")
            return await answer.content.read(MAX_KEYS_BYTES + 1)

    def _take(self, data: bytes) -> bool:
        """Takes the keys of a JWK set; returns whether they are others now. Raises ValueError."""
        if len(data) > MAX_KEYS_BYTES:
            raise ValueError(f"more than {MAX_KEYS_BYTES} bytes")
        text = data.decode()
        document: Any = json.loads(text)
        try:
            listed = cast("list[object]", list(document["keys"]))
        except (TypeError, KeyError):
            raise ValueError("is no JWK set: want an object with a list `keys`") from None
        named: dict[str, _Key] = {}
        unnamed: list[_Key] = []
        for entry in listed:
            key = _usable(entry)
            if key is not None and key.name:
                named[key.name] = key
            elif key is not None:
                unnamed.append(key)
        if not named and not unnamed:
            raise ValueError("has no public key for signatures that can be used")
        changed = text != self._text
        self._keys, self._unnamed, self._text = named, unnamed, text
        return changed

    def caller(self, token: str, header: Mapping[str, Any]) -> tuple[str, float]:
        """The caller whose token it is, and until when it is good, in seconds since 1970.

        Raises:
            Unauthenticated: it is not good.
            NotReady: its key is not known yet, and is being asked for.
        """
        settings = self.settings
        algorithm = header.get("alg")
        if algorithm not in settings.algorithms:
            allowed = ", ".join(settings.algorithms)
            raise refused("ALGORITHM", f"its algorithm is none of {allowed}")
        key = self._key(header)
        if key.algorithm not in (None, algorithm):
            raise refused("ALGORITHM", "its algorithm is not that of its key")
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                key.public,
                algorithms=[str(algorithm)],
                audience=list(settings.audience),
                issuer=settings.issuer,
                leeway=settings.clock_skew_s,
                options={"require": ["exp", "iss", "aud"]},
            )
        except jwt.ExpiredSignatureError:
            raise refused("TOKEN_EXPIRED", "it has expired") from None
        except jwt.ImmatureSignatureError:
            raise refused("TOKEN_NOT_YET_VALID", "it is not valid yet") from None
        except jwt.InvalidAudienceError:
            raise refused("WRONG_AUDIENCE", "it is for another audience") from None
        except jwt.InvalidIssuerError:
            raise refused("WRONG_ISSUER", "it is of another issuer") from None
        except jwt.InvalidSignatureError:
            raise refused("BAD_SIGNATURE", "its signature is not that of its key") from None
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as error:
            raise refused("MALFORMED_TOKEN", f"{type(error).__name__}: {error}") from None
        for name, value in settings.claims.items():
            if claims.get(name) != value or type(claims.get(name)) is not type(value):
                raise refused("CLAIMS", f"its claim {name!r} is not as it must be")
        named = claims.get(settings.caller_claim)
        name = f"{settings.caller_prefix}{named}" if isinstance(named, str) and named else ""
        if not CALLER.fullmatch(name):
            raise refused("CLAIMS", f"its claim {settings.caller_claim!r} names no caller")
        return name, float(claims["exp"]) + settings.clock_skew_s

    def _key(self, header: Mapping[str, Any]) -> _Key:
        kid = header.get("kid")
        if kid is None:
            every = [*self._keys.values(), *self._unnamed]
            if len(every) == 1:
                return every[0]
            if every:
                raise refused("UNKNOWN_KEY", "it names no key, and its issuer has several")
        elif (key := self._keys.get(str(kid))) is not None:
            return key
        if self.settings.by_address:
            if time.monotonic() - self._asked_s >= SEEK_EVERY_S:
                self._wanted = True
            if self._wanted or not self.has_keys:
                raise NotReady(
                    f"the key of a token of {self.settings.issuer} is being asked for; try again"
                    + (f" ({self.fault})" if self.fault else "")
                )
        raise refused("UNKNOWN_KEY", "its key is none of its issuer's (any more)")


def refused(why: str, text: str) -> Unauthenticated:
    """The error for a token that is not good; `why` is stable."""
    return Unauthenticated(f"the token is refused: {text}", {"why": why})


def unverified(token: str) -> tuple[dict[str, Any], str]:
    """The header and the issuer that a token claims to have.

    Raises:
        Unauthenticated: it is no signed token.
    """
    if len(token) > MAX_TOKEN_CHARS:
        raise refused("MALFORMED_TOKEN", f"more than {MAX_TOKEN_CHARS} characters")
    try:
        whole = jwt.decode_complete(token, options={"verify_signature": False})
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
        raise refused("MALFORMED_TOKEN", "it is no JWT that can be read") from None
    issuer: object = whole["payload"].get("iss")
    return whole["header"], issuer if isinstance(issuer, str) else ""


def _usable(entry: object) -> _Key | None:
    """A public key for signatures; None: it is something else, such as a key of a newer kind."""
    if not isinstance(entry, dict):
        return None
    fields = cast("dict[str, Any]", entry)
    if fields.get("kty") not in ("RSA", "EC", "OKP") or fields.get("use", "sig") != "sig":
        return None
    if "d" in fields:
        raise ValueError("holds a private key")
    try:
        public: Any = jwt.PyJWK(fields).key
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    name, algorithm = fields.get("kid"), fields.get("alg")
    return _Key(
        name if isinstance(name, str) else "",
        algorithm if isinstance(algorithm, str) else None,
        public,
    )
