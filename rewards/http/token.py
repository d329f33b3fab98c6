"""Bearer tokens: where they come from, and those that are fetched and kept."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, model_validator

from ..types import Unavailable

if TYPE_CHECKING:
    import aiohttp

EARLY_S = 300.0
"""A token that ends sooner than this is fetched anew."""
METADATA_TIMEOUT_S = 10.0
_PATH = "/computeMetadata/v1/instance/service-accounts/default/identity"


class Token(BaseModel):
    """Where the bearer token of calls comes from: one of the three."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    env: str | None = None
    """An environment variable of the replica's process."""
    file: str | None = None
    """A file, read anew for each call."""
    google_id_token: bool = False
    """An ID token of this machine's service account, from Google's metadata server."""
    audience: str | None = None
    """Whom the ID token is for. None: scheme and host of the URI."""
    metadata_url: str = "http://metadata.google.internal"

    @model_validator(mode="after")
    def _one_source(self) -> Token:
        if sum((self.env is not None, self.file is not None, self.google_id_token)) != 1:
            raise ValueError("want exactly one of `env`, `file`, `google_id_token`")
        return self


class Tokens:
    """The tokens for one URI."""

    def __init__(self, options: Token, uri: str) -> None:
        parts = urlsplit(uri)
        self._options = options
        self._audience = options.audience or f"{parts.scheme}://{parts.netloc}"
        self._held = ""
        self._fresh_until_s = 0.0
        self._turn = asyncio.Lock()

    async def take(self, session: aiohttp.ClientSession) -> str:
        """A token that holds for some minutes.

        Raises:
            Unavailable: there is none.
        """
        options = self._options
        if options.env is not None:
            return _sound(os.environ.get(options.env, ""), f"environment variable {options.env}")
        if options.file is not None:
            try:
                # A file of a line, in the page cache: cheaper than a thread.
                text = Path(options.file).read_text(encoding="ascii")  # noqa: ASYNC240
            except (OSError, ValueError) as error:
                raise Unavailable(f"the token cannot be read: {error}") from None
            return _sound(text, options.file)
        async with self._turn:
            if time.time() >= self._fresh_until_s:
                self._held = await self._fetch(session)
                self._fresh_until_s = _ends_at_s(self._held) - EARLY_S
        return self._held

    async def _fetch(self, session: aiohttp.ClientSession) -> str:
        import aiohttp

        url = self._options.metadata_url.rstrip("/") + _PATH
        try:
            async with session.get(
                url,
                params={"audience": self._audience, "format": "full"},
                headers={"Metadata-Flavor": "Google"},
                timeout=aiohttp.ClientTimeout(total=METADATA_TIMEOUT_S),
                allow_redirects=False,
            ) as answer:
                text = (await answer.content.read(65_536)).decode("ascii", "replace")
                if answer.status != 200:
                    raise Unavailable(f"{url} answered {answer.status}: {text[:200]}")
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Unavailable(f"no ID token from {url}: {error!r}") from None
        return _sound(text, url)


def _sound(text: str, where: str) -> str:
    token = text.strip()
    if not token or not token.isascii() or not token.isprintable():
        raise Unavailable(f"{where} holds no token")
    return token


def _ends_at_s(token: str) -> float:
    """When a JWT ends, in Unix time; 0 where it does not say. Nobody here checks it."""
    try:
        body = token.split(".")[1]
        claims: Any = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        return float(claims["exp"])
    except (IndexError, ValueError, KeyError, TypeError):
        return 0.0
