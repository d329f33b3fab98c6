"""The gate of one gateway: who a call is from, by an access file that is read again as it changes.

Per call: the hash of its token, and a look into a table. A token is read and its signature checked
once; when the file, the tokens or an issuer's keys change, every token is looked at anew.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from rewardplane.wire.errors import Overloaded, PermissionDenied, Unauthenticated

from .caller import Caller
from .certificates import Identity, files_of, forwarded_name, read_identity
from .settings import Access, AccessError, Grant, load_access
from .signed_tokens import Issuer, refused, unverified
from .tokens import CALLER, StaticToken, hash_of, read_tokens

_log = logging.getLogger(__name__)

CHECK_S = 0.5
"""How often the files are looked at."""
MAX_KNOWN = 10_000
"""Tokens, and callers, that are remembered."""
_BEARER = "bearer "
_Stamps = Mapping[Path, tuple[int, int, int] | None]


@dataclass(frozen=True, slots=True)
class _Rules:
    access: Access
    tokens: Mapping[bytes, StaticToken]
    issuers: Mapping[str, Issuer]
    identity: Identity | None
    stamps: _Stamps


class Gate:
    """Who calls, and what of it changes.

    `strangers_refused`: the file must go on refusing calls that prove nothing; one that would let
    them in is not taken up.

    Raises:
        AccessError: the file, or one that it names, cannot be used; all faults at once.
    """

    def __init__(self, path: Path, *, strangers_refused: bool = False) -> None:
        self._path = path.resolve()
        self._strangers_refused = strangers_refused
        self._callers: dict[str, Caller] = {}
        self._known: dict[bytes, tuple[Caller, float]] = {}
        self._seen: _Stamps = {}
        self._asking: dict[Issuer, asyncio.Task[None]] = {}
        self.fault = ""
        """Why the files cannot be used as they are now; what they held before is in force."""
        self._rules = self._read({})
        self._anonymous = Caller("", self._rules.access.anonymous or Grant())

    # ---- calls -----------------------------------------------------------------------------

    def caller(
        self,
        authorization: str | None,
        certificate: Callable[[], str],
        forwarded: str | None = None,
    ) -> Caller:
        """Who calls: by the token in `authorization`, else by the name in the client's certificate.

        A token that is not good is refused, whatever the certificate. `forwarded`: the header
        `x-forwarded-client-cert`, which counts behind Envoy only.

        Raises:
            Unauthenticated: nothing valid proves who calls.
            PermissionDenied: the caller may do nothing here.
            NotReady: an issuer's keys are not there yet.
        """
        if authorization is not None:
            data = authorization.encode("utf-8", "surrogateescape")
            known = self._known.get(digest := hashlib.sha256(data).digest())
            if known is not None and time.time() < known[1]:
                return known[0]
            return self._by_token(authorization, digest)
        access = self._rules.access
        name = ""
        if access.mutual:
            name = certificate()
        elif access.behind_envoy and forwarded:
            name = forwarded_name(forwarded)
        if name:
            return self._named(name)
        if access.anonymous is not None:
            return self._anonymous
        want = "a token (authorization: Bearer …)" if access.tokens_file or access.jwt else ""
        if access.mutual or access.behind_envoy:
            want += " or " * bool(want) + "a client certificate that names the caller"
        raise Unauthenticated(f"the call does not prove who calls: want {want}", _NO_CREDENTIALS)

    def _by_token(self, authorization: str, digest: bytes) -> Caller:
        if authorization[: len(_BEARER)].lower() != _BEARER:
            raise refused("MALFORMED_TOKEN", "want `authorization: Bearer TOKEN`")
        token = authorization[len(_BEARER) :].strip()
        static = self._rules.tokens.get(hash_of(token))
        if static is not None:
            name = static.caller
            until_s = float("inf") if static.until_s is None else static.until_s
            if time.time() >= until_s:
                raise refused("TOKEN_EXPIRED", "it has expired")
        elif self._rules.issuers and token.count(".") == 2:
            header, claimed = unverified(token)
            issuer = self._rules.issuers.get(claimed)
            if issuer is None:
                raise refused("WRONG_ISSUER", "its issuer is none of those configured")
            name, until_s = issuer.caller(token, header)
        else:
            raise refused("UNKNOWN_TOKEN", "it is not known (any more)")
        caller = self._named(name)
        if len(self._known) >= MAX_KNOWN:
            self._known.clear()
        self._known[digest] = caller, until_s
        return caller

    def _named(self, name: str) -> Caller:
        caller = self._callers.get(name)
        if caller is not None:
            return caller
        if not CALLER.fullmatch(name):
            raise Unauthenticated(
                f"the certificate's name {name[:128]!r} is no caller's", _NO_CREDENTIALS
            )
        grant = self._grant(name)
        if grant is None:
            raise PermissionDenied(
                f"caller {name!r} may do nothing here: the service's access file grants it nothing",
                {"why": "UNKNOWN_CALLER"},
            )
        if len(self._callers) >= MAX_KNOWN:
            self._forget_idle()
        caller = self._callers[name] = Caller(name, grant)
        return caller

    def _grant(self, name: str) -> Grant | None:
        access = self._rules.access
        named = access.callers.get(name)
        if named is None:
            return access.other_callers or (None if access.callers else _EVERY_CALLER)
        return named

    def _forget_idle(self) -> None:
        self._known.clear()
        self._callers = {name: caller for name, caller in self._callers.items() if not caller.idle}
        if len(self._callers) >= MAX_KNOWN:
            raise Overloaded(f"{MAX_KNOWN} callers have calls in flight", retry_after_s=1.0)

    # ---- what it knows ---------------------------------------------------------------------

    @property
    def access(self) -> Access:
        """What is in force."""
        return self._rules.access

    @property
    def identity(self) -> Identity | None:
        """The certificate to serve with. May be asked from any thread."""
        return self._rules.identity

    def in_flight_items(self) -> dict[str, int]:
        """The items that callers have in flight, for those that the file lists."""
        listed = self._rules.access.callers
        return {n: c.in_flight_items for n, c in self._callers.items() if n in listed}

    def expiries_s(self) -> dict[str, float]:
        """When the first of each sort of credential expires, in seconds since 1970."""
        rules = self._rules
        found = {} if rules.identity is None else {"certificate": rules.identity.until_s}
        tokens = [token.until_s for token in rules.tokens.values() if token.until_s is not None]
        return found | ({"token": min(tokens)} if tokens else {})

    def faults(self) -> dict[str, bool]:
        """What could not be renewed the last time."""
        keys = any(issuer.fault for issuer in self._rules.issuers.values())
        return {"files": bool(self.fault), "keys": keys}

    # ---- what changes ----------------------------------------------------------------------

    async def start(self) -> None:
        """Asks addresses for keys, once; without an answer their tokens have to wait."""
        await asyncio.gather(*(self._ask(issuer) for issuer in self._by_address()))

    async def follow(self) -> None:
        """Takes up what changes, until it is cancelled."""
        own = ""
        try:
            while True:
                await asyncio.sleep(CHECK_S)
                try:
                    await self._renew()
                except Exception as error:  # noqa: BLE001 - the old rules go on; tried again
                    self.fault = own = repr(error)
                    _log.exception("access cannot be looked after")
                else:
                    if self.fault == own:
                        self.fault = own = ""
        finally:
            for task in self._asking.values():
                task.cancel()

    async def _renew(self) -> None:
        stamps = await asyncio.to_thread(_stamped, list(self._rules.stamps))
        if stamps not in (self._rules.stamps, self._seen):
            await self._reread(stamps)
        now_s = time.monotonic()
        for issuer in self._by_address():
            if issuer not in self._asking and issuer.due(now_s):
                task = self._asking[issuer] = asyncio.ensure_future(self._ask(issuer))
                task.add_done_callback(lambda _task, asked=issuer: self._asking.pop(asked, None))

    async def _reread(self, stamps: _Stamps) -> None:
        try:
            rules = await asyncio.to_thread(self._read, self._rules.issuers)
            self._check_change(rules.access)
        except AccessError as error:
            # Not tried again before something changes once more.
            self._seen = stamps
            self.fault = str(error)
            _log.error("access not reloaded, the old goes on: %s", error)
            return
        self._take(rules)
        self.fault, self._seen = "", {}
        _log.warning("access reloaded: %s", self._path)
        await self._start_new()

    async def _start_new(self) -> None:
        """Asks for the keys of issuers that have none yet."""
        await asyncio.gather(*(self._ask(i) for i in self._by_address() if not i.has_keys))

    def _take(self, rules: _Rules) -> None:
        self._rules = rules
        self._known.clear()
        self._anonymous.set(rules.access.anonymous or Grant())
        for name, caller in list(self._callers.items()):
            grant = self._grant(name)
            if grant is None:
                del self._callers[name]
            else:
                caller.set(grant)

    def _check_change(self, access: Access) -> None:
        """Raises AccessError where a change cannot be taken up while it serves."""
        old = self._rules.access
        if (access.tls is None, access.mutual, access.behind_envoy) != (
            old.tls is None,
            old.mutual,
            old.behind_envoy,
        ):
            raise AccessError(
                [f"{self._path}: tls and behind_envoy take a restart when they come, go or change"]
            )
        if self._strangers_refused and not access.refuses_strangers:
            raise AccessError(
                [f"{self._path}: would let in calls that prove nothing, and the service listens "
                 "beyond this machine: that takes a restart with --insecure"]
            )  # fmt: skip

    def _read(self, old: Mapping[str, Issuer]) -> _Rules:
        """All files. Raises AccessError."""
        folder = self._path.parent
        # What changes while it is read has another stamp the next time.
        before = _stamped([self._path])
        access = load_access(self._path)
        issuers = {
            entry.issuer: old[entry.issuer]
            if entry.issuer in old and entry.by_address and old[entry.issuer].settings == entry
            else Issuer(entry, folder)
            for entry in access.jwt
        }
        files: list[Path] = [folder / access.tokens_file] if access.tokens_file else []
        files += [issuer.file for issuer in issuers.values() if issuer.file is not None]
        if access.tls is not None:
            files += files_of(access.tls, folder)
        stamps = {**before, **_stamped(files)}
        faults: list[str] = []
        tokens: Mapping[bytes, StaticToken] = {}
        identity: Identity | None = None
        try:
            if access.tokens_file:
                tokens = read_tokens(folder / access.tokens_file)
        except AccessError as error:
            faults += error.faults
        for issuer in issuers.values():
            try:
                if issuer.file is not None:
                    issuer.read_file()
            except AccessError as error:
                faults += error.faults
        try:
            if access.tls is not None:
                identity = read_identity(access.tls, folder)
        except AccessError as error:
            faults += error.faults
        if faults:
            raise AccessError(faults)
        return _Rules(access, tokens, issuers, identity, stamps)

    def _by_address(self) -> list[Issuer]:
        return [issuer for issuer in self._rules.issuers.values() if issuer.file is None]

    async def _ask(self, issuer: Issuer) -> None:
        fault = issuer.fault
        if await issuer.refresh():
            self._known.clear()
            _log.warning("the keys of %s were renewed", issuer.settings.issuer)
        if issuer.fault and issuer.fault != fault:
            _log.error("%s", issuer.fault)


_NO_CREDENTIALS = {"why": "NO_CREDENTIALS"}
_EVERY_CALLER = Grant()


def _stamped(files: list[Path]) -> _Stamps:
    """What changes when a file does, be it written, replaced, or behind a link that is moved."""

    def stamp(file: Path) -> tuple[int, int, int] | None:
        try:
            told = file.stat()
        except OSError:
            return None
        return told.st_mtime_ns, told.st_size, told.st_ino

    return {file: stamp(file) for file in files}
