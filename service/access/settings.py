"""The access file: TLS, what proves who calls, and what each caller may.

    tls: {folder: tls, client_certificates: none}
    tokens_file: tokens
    jwt:
      - issuer: https://accounts.google.com
        audience: https://rewards.example
        keys: https://www.googleapis.com/oauth2/v3/certs
        caller_claim: email
    callers:
      team-a:
        rewards: ["math*", gsm8k]
        quota: {in_flight_items: 20000, items_per_s: 5000, judge_tokens_per_minute: 2000000}

Names of files are relative to the folder of the access file. Times in seconds.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from rewardplane.config.document import read

Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"]
"""Signatures by a key pair. A secret that both sides know would let this service sign, too."""

_Positive = Annotated[float, Field(gt=0, le=1e12)]


class AccessError(Exception):
    """The access file, or a file that it names, cannot be used; `faults` are all that is wrong."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Quota(_Settings):
    """What may be in use at once, and in a time. None: as much as the service takes.

    Each gateway counts for itself: with n gateways, a caller that uses all has n times as much.
    """

    in_flight_items: Annotated[int, Field(ge=1)] | None = None
    """Items admitted and not yet answered. A call with more is refused for good."""
    items_per_s: _Positive | None = None
    """The mean rate of items. A call is let in whole when nothing is owed, and then owes its
    items beyond one second's worth."""
    judge_tokens_per_minute: _Positive | None = None
    """The mean rate of judge tokens, prompt and completion: an item counts as many as an item of
    its reward took in the mean, on this gateway and so far."""


class Grant(_Settings):
    """What a caller may."""

    rewards: tuple[str, ...] = ("*",)
    """Names or patterns (`*`, `?`, `[abc]`) of the rewards that it may name."""
    inline_configs: bool = False
    """Whether it may bring reward configurations of its own: `ValidateReward` with
    `inline_config`, Google's validation and OpenAI's graders by HTTP."""
    quota: Quota = Quota()
    """For all its calls together."""
    job_quota: Quota = Quota()
    """For the calls of each of its jobs (`ScoreRequest.job`), within `quota`."""


class JwtIssuer(_Settings):
    """Whose signed tokens are taken (https://www.rfc-editor.org/rfc/rfc7519)."""

    issuer: Annotated[str, Field(min_length=1)]
    """`iss`, letter by letter."""
    audience: Annotated[tuple[str, ...], Field(min_length=1)]
    """`aud` must name one of these."""
    keys: Annotated[str, Field(min_length=1)]
    """The issuer's public keys as a JWK set (https://www.rfc-editor.org/rfc/rfc7517): a file, or
    an address (https; http at loopback only)."""
    algorithms: Annotated[tuple[Algorithm, ...], Field(min_length=1)] = ("RS256", "ES256")
    clock_skew_s: Annotated[float, Field(ge=0, le=600)] = 30.0
    """How far the issuer's clock may differ."""
    caller_claim: Annotated[str, Field(min_length=1)] = "sub"
    """The claim that names the caller."""
    caller_prefix: str = ""
    """Put before that name, so that no issuer can name a caller of another source."""
    claims: Mapping[str, str | bool | int] = Field(default_factory=dict[str, "str | bool | int"])
    """Further claims that a token must have, with these values."""
    refresh_s: Annotated[float, Field(ge=1, le=86_400)] = 300.0
    """How often an address is asked; also, at most each 10 s, for a key that is not known."""
    keys_ca_file: str = ""
    """PEM: whom to trust at the address, instead of the system's authorities."""
    keys_token_file: str = ""
    """A file with the bearer token that the address wants; read anew each time."""

    @field_validator("audience", mode="before")
    @classmethod
    def _one_or_more(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @property
    def by_address(self) -> bool:
        """Whether the keys come from an address."""
        return "://" in self.keys

    @model_validator(mode="after")
    def _address_is_safe(self) -> JwtIssuer:
        if self.by_address:
            parts = urlsplit(self.keys)
            local = is_loopback(parts.hostname or "")
            if parts.scheme != "https" and not (parts.scheme == "http" and local):
                raise ValueError("keys: want https://…: whoever answers decides who may call")
        return self


class Tls(_Settings):
    """The certificate of the gRPC and HTTP ports, in files of cert-manager's names."""

    folder: str
    """Holds tls.crt (the chain, PEM) and tls.key (no passphrase), and ca.crt where clients must
    have a certificate."""
    client_certificates: Literal["none", "required"] = "none"
    """`required` (mutual TLS): a connection without a certificate that ca.crt vouches for is not
    made. Where the call brings no token, the certificate's name is the caller: its first URI, else
    its first DNS name, else its common name."""


class Access(_Settings):
    """Who may call. Where nothing proves who calls, `anonymous` must be said."""

    tls: Tls | None = None
    behind_envoy: bool = False
    """The Envoy of deploy/envoy ends TLS in front of this gateway, which listens on loopback:
    the caller's certificate is the one told by `x-forwarded-client-cert`."""
    tokens_file: str = ""
    """Static tokens: a line for each, `SHA-256 CALLER [until=TIME]`, TIME as in RFC 3339.
    `rewardplane new-token CALLER` makes one."""
    jwt: tuple[JwtIssuer, ...] = ()
    callers: Mapping[str, Grant] = Field(default_factory=dict[str, Grant])
    other_callers: Grant | None = None
    """What a known caller may who is not among `callers`. None: nothing; where `callers` lists
    nobody, all but inline configurations."""
    anonymous: Grant | None = None
    """What calls may that bring no token and no certificate. None: nothing."""

    @model_validator(mode="after")
    def _something_proves(self) -> Access:
        if not self.authenticates and self.anonymous is None:
            raise ValueError(
                "nothing proves who calls: want tokens_file, jwt, tls.client_certificates: "
                "required or behind_envoy; or `anonymous: {}`, which lets everybody in"
            )
        if self.behind_envoy and self.tls is not None:
            raise ValueError("tls: Envoy has the certificate where behind_envoy is set")
        issuers = [entry.issuer for entry in self.jwt]
        if len(set(issuers)) < len(issuers):
            raise ValueError("jwt: an issuer stands twice")
        return self

    @property
    def mutual(self) -> bool:
        """Whether connections need a client's certificate."""
        return self.tls is not None and self.tls.client_certificates == "required"

    @property
    def authenticates(self) -> bool:
        """Whether something proves who calls."""
        return bool(self.tokens_file or self.jwt or self.mutual or self.behind_envoy)

    @property
    def refuses_strangers(self) -> bool:
        """Whether a call that proves nothing is refused."""
        return self.authenticates and (self.anonymous is None or self.mutual)


def load_access(path: Path) -> Access:
    """Reads an access file, not yet those that it names.

    Raises:
        AccessError: it cannot be used; all faults at once.
    """
    try:
        document = read(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise AccessError([f"{path}: {error.strerror}"]) from None
    except ValueError as error:
        raise AccessError([f"{path}: cannot be read: {error}"]) from None
    if not isinstance(document, dict):
        raise AccessError(
            [f"{path}: want a mapping with tokens_file, jwt, tls, callers and others"]
        )
    try:
        return Access.model_validate(document)
    except ValidationError as error:
        faults = [
            ".".join(map(str, fault["loc"])) + (": " if fault["loc"] else "") + fault["msg"]
            for fault in error.errors()
        ]
        raise AccessError([f"{path}: {fault}" for fault in faults]) from None


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens on `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
