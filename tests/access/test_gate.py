"""Who a call is from: static and signed tokens, certificates' names, and files that change."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
import yaml
from aiohttp import web
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st
from rewardplane.access.certificates import forwarded_name, name_in
from rewardplane.access.gate import Gate
from rewardplane.access.settings import AccessError
from rewardplane.access.tokens import new_token
from rewardplane.wire.errors import CallError, NotReady, PermissionDenied, Unauthenticated

from .making import AUDIENCE, ISSUER, Authority, Signer, key_set, server_files


def nobody() -> str:
    """No certificate."""
    return ""


def write(folder: Path, access: dict[str, Any], tokens: str = "") -> Path:
    """An access file and its tokens."""
    (folder / "tokens").write_text(tokens)
    path = folder / "access.yaml"
    path.write_text(yaml.safe_dump(access))
    return path


def hashed(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def why(gate: Gate, authorization: str | None, certificate: Callable[[], str] = nobody) -> str:
    """The caller's name, or why there is none."""
    try:
        return gate.caller(authorization, certificate).name
    except CallError as error:
        return error.metadata["why"]


async def changed(gate: Gate) -> None:
    """Lets the gate take up what changed."""
    await gate._renew()


STATIC = {"tokens_file": "tokens"}


def test_static_tokens(tmp_path: Path) -> None:
    tokens = (
        f"# ours\n{hashed('one')} team-a\n{hashed('old')} team-a until=2020-01-01T00:00:00Z\n"
        f"{hashed('new')} team-b until=2100-01-01T00:00:00Z # rotates\n"
    )
    gate = Gate(write(tmp_path, STATIC, tokens))
    assert why(gate, "Bearer one") == why(gate, "bearer  one ") == "team-a"
    assert why(gate, "Bearer new") == "team-b"
    assert why(gate, "Bearer old") == "TOKEN_EXPIRED"
    assert why(gate, "Bearer two") == "UNKNOWN_TOKEN"
    assert why(gate, f"Bearer {hashed('one')}") == "UNKNOWN_TOKEN"
    assert why(gate, "Basic one") == "MALFORMED_TOKEN"
    assert why(gate, "") == "MALFORMED_TOKEN"
    assert why(gate, None) == "NO_CREDENTIALS"
    assert gate.caller("Bearer one", nobody) is gate.caller("Bearer one", nobody)


def test_a_token_expires_though_it_is_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = f"{hashed('one')} team-a until=2100-01-01T00:00:00Z\n"
    gate = Gate(write(tmp_path, STATIC, line))
    assert why(gate, "Bearer one") == "team-a"
    monkeypatch.setattr(time, "time", lambda: 4_102_444_801.0)
    assert why(gate, "Bearer one") == "TOKEN_EXPIRED"


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("secret team-a", "want the SHA-256"),
        (f"{'A' * 64} team-a", "want the SHA-256"),
        (f"{'a' * 64}", "want the caller's name"),
        (f"{'a' * 64} te\0am", "want the caller's name"),
        (f"{'a' * 64} team until=soon", "until: want a time"),
        (f"{'a' * 64} team forever", "nothing after"),
        (f"{'a' * 64} team\n{'a' * 64} other", "stands twice"),
    ],
)
def test_a_line_that_is_no_token_is_named_without_its_words(
    tmp_path: Path, line: str, fault: str
) -> None:
    with pytest.raises(AccessError, match=fault) as refused:
        Gate(write(tmp_path, STATIC, line))
    assert "tokens:" in str(refused.value)
    assert "secret" not in str(refused.value)


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=200))
def test_any_text_is_tokens_or_faults(text: str) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "access.yaml"
        path.write_text("tokens_file: tokens\n")
        (path.parent / "tokens").write_text(text, newline="")
        try:
            gate = Gate(path)
        except AccessError:
            return
        assert why(gate, "Bearer x") == "UNKNOWN_TOKEN"


def test_a_new_token_is_taken(tmp_path: Path) -> None:
    token, line = new_token("spiffe://cluster/ns/a")
    assert why(Gate(write(tmp_path, STATIC, line)), f"Bearer {token}") == "spiffe://cluster/ns/a"
    with pytest.raises(ValueError, match="no name of a caller"):
        new_token("two words")


async def test_a_token_that_was_rotated_out_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, STATIC, f"{hashed('one')} team-a\n")
    gate = Gate(path)
    assert why(gate, "Bearer one") == "team-a"
    (tmp_path / "tokens").write_text(f"{hashed('one')} team-a\n{hashed('two')} team-a\n")
    await changed(gate)
    assert why(gate, "Bearer one") == why(gate, "Bearer two") == "team-a"
    (tmp_path / "tokens").write_text(f"{hashed('two')} team-a\n")
    await changed(gate)
    assert why(gate, "Bearer one") == "UNKNOWN_TOKEN"
    assert why(gate, "Bearer two") == "team-a"


async def test_a_broken_reload_keeps_the_old_and_says_so(tmp_path: Path) -> None:
    path = write(tmp_path, STATIC, f"{hashed('one')} team-a\n")
    gate = Gate(path, strangers_refused=True)
    for broken, fault in (
        ("tokens_file: [", "cannot be read"),
        ("tokens_file: nowhere\n", "No such file"),
        ("tokens_file: tokens\nunknown: 1\n", "unknown"),
        ("anonymous: {}\n", "would let in calls that prove nothing"),
        ("tokens_file: tokens\nanonymous: {}\n", "would let in calls that prove nothing"),
        ("tokens_file: tokens\nbehind_envoy: true\n", "takes? a restart"),
    ):
        path.write_text(broken)
        await changed(gate)
        assert gate.faults() == {"files": True, "keys": False}
        with pytest.raises(AssertionError, match=fault):
            raise AssertionError(gate.fault)
        assert why(gate, "Bearer one") == "team-a"
        assert why(gate, None) == "NO_CREDENTIALS"
    path.write_text("tokens_file: tokens\ncallers: {team-b: {}}\n")
    await changed(gate)
    assert not gate.fault
    assert why(gate, "Bearer one") == "UNKNOWN_CALLER"


@pytest.mark.parametrize(
    ("access", "fault"),
    [
        ({}, "nothing proves who calls"),
        ({"tls": {"folder": "tls"}}, "nothing proves who calls"),
        ({"tokens_file": "tokens", "behind_envoy": True, "tls": {"folder": "x"}}, "Envoy has"),
        (
            {"jwt": [{"issuer": "i", "audience": "a", "keys": "http://keys.example/jwks"}]},
            "want https",
        ),
        (
            {"jwt": [{"issuer": "i", "audience": "a", "keys": "k", "algorithms": ["none"]}]},
            "algorithms",
        ),
        (
            {"jwt": [{"issuer": "i", "audience": "a", "keys": "k", "algorithms": ["HS256"]}]},
            "algorithms",
        ),
        ({"jwt": [{"issuer": "i", "audience": [], "keys": "k"}]}, "audience"),
        ({"tokens_file": "tokens", "callers": {"a": {"quota": {"items_per_s": 0}}}}, "items_per_s"),
    ],
)
def test_an_access_file_that_would_not_do_what_it_says_is_refused(
    tmp_path: Path, access: dict[str, Any], fault: str
) -> None:
    with pytest.raises(AccessError, match=fault):
        Gate(write(tmp_path, access))


def test_who_is_granted_what(tmp_path: Path) -> None:
    access = {
        **STATIC,
        "callers": {"team-a": {"rewards": ["math*", "tone"]}, "team-b": {"inline_configs": True}},
        "anonymous": {"rewards": ["open"]},
    }
    tokens = "".join(f"{hashed(c)} team-{c}\n" for c in "abc")
    gate = Gate(write(tmp_path, access, tokens))
    a, b = (gate.caller(f"Bearer {c}", nobody) for c in "ab")
    assert [a.may_name(n) for n in ("math", "math2", "tone", "tones", "")] == [
        True,
        True,
        True,
        False,
        False,
    ]
    assert b.may_name("anything")
    b.check_inline()
    with pytest.raises(PermissionDenied, match="may not bring"):
        a.check_inline()
    assert why(gate, "Bearer c") == "UNKNOWN_CALLER"
    stranger = gate.caller(None, nobody)
    assert stranger.may_name("open")
    assert not stranger.may_name("math")
    assert why(gate, "Bearer d") == "UNKNOWN_TOKEN"  # a bad token is no stranger's


# ---- signed tokens -----------------------------------------------------------------------------

RSA, EC, OTHER = Signer("one"), Signer("two", "ES256"), Signer("three")
JWT = {"issuer": ISSUER, "audience": AUDIENCE, "keys": "keys.json"}


def signed(folder: Path, *signers: Signer, **more: Any) -> Gate:
    (folder / "keys.json").write_text(key_set(*signers))
    return Gate(write(folder, {"jwt": [{**JWT, **more}]}))


def unsigned(algorithm: str, **claims: Any) -> str:
    """A token with an algorithm that is none."""
    parts = [
        {"alg": algorithm, "kid": "one"},
        {"iss": ISSUER, "aud": AUDIENCE, "sub": "admin", "exp": int(time.time()) + 600, **claims},
    ]
    words = [base64.urlsafe_b64encode(json.dumps(p).encode()).decode().rstrip("=") for p in parts]
    return ".".join(words) + "."


def with_public_key_as_secret() -> str:
    """HS256 with the public key as the secret: taken by whoever lets the token choose."""
    import hmac

    from cryptography.hazmat.primitives import serialization

    pem = RSA.key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    text = unsigned("HS256").rstrip(".")
    mac = hmac.new(pem, text.encode(), hashlib.sha256).digest()
    return f"{text}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"


def test_a_signed_token_names_its_caller(tmp_path: Path) -> None:
    gate = signed(tmp_path, RSA, EC)
    assert why(gate, f"Bearer {RSA.token()}") == "team-j"
    assert why(gate, f"Bearer {EC.token(aud=['x', AUDIENCE], sub='team-k')}") == "team-k"
    gate = signed(tmp_path, RSA, caller_claim="email", caller_prefix="g:", claims={"hd": "x.org"})
    good = {"email": "a@x.org", "hd": "x.org"}
    assert why(gate, f"Bearer {RSA.token(**good)}") == "g:a@x.org"
    assert why(gate, f"Bearer {RSA.token(**{**good, 'hd': 'y.org'})}") == "CLAIMS"
    assert why(gate, f"Bearer {RSA.token(hd='x.org')}") == "CLAIMS"
    assert why(gate, f"Bearer {RSA.token(hd='x.org', email='a b')}") == "CLAIMS"
    # No key named: the only one that there is.
    assert why(gate, f"Bearer {jwt.encode({}, RSA.key, 'RS256')}") == "WRONG_ISSUER"


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        (lambda: RSA.token(exp=int(time.time()) - 31), "TOKEN_EXPIRED"),
        (lambda: RSA.token(exp=None), "MALFORMED_TOKEN"),
        (lambda: RSA.token(exp="soon"), "MALFORMED_TOKEN"),
        (lambda: RSA.token(nbf=int(time.time()) + 60), "TOKEN_NOT_YET_VALID"),
        (lambda: RSA.token(iss="https://other.example"), "WRONG_ISSUER"),
        (lambda: RSA.token(iss=None), "WRONG_ISSUER"),
        (lambda: RSA.token(iss=[ISSUER]), "WRONG_ISSUER"),
        (lambda: RSA.token(aud="other"), "WRONG_AUDIENCE"),
        (lambda: RSA.token(aud=None), "MALFORMED_TOKEN"),
        (lambda: RSA.token(sub=None), "CLAIMS"),
        (lambda: OTHER.token(), "UNKNOWN_KEY"),
        (lambda: OTHER.token({"kid": "one"}), "BAD_SIGNATURE"),
        (lambda: RSA.token({"kid": "two"}), "ALGORITHM"),
        (lambda: RSA.token({"kid": None}), "UNKNOWN_KEY"),
        (lambda: unsigned("none"), "ALGORITHM"),
        (lambda: unsigned("NONE"), "ALGORITHM"),
        (with_public_key_as_secret, "ALGORITHM"),
        (lambda: RSA.token()[:-8] + "AAAAAAAA", "BAD_SIGNATURE"),
        (lambda: "a.b.c", "MALFORMED_TOKEN"),
        (lambda: RSA.token(more="x" * 20_000), "MALFORMED_TOKEN"),
        (lambda: "no-token", "UNKNOWN_TOKEN"),
    ],
)
def test_a_signed_token_that_is_not_good(
    tmp_path: Path, token: Callable[[], str], reason: str
) -> None:
    assert why(signed(tmp_path, RSA, EC), f"Bearer {token()}") == reason


def test_clocks_may_differ(tmp_path: Path) -> None:
    gate = signed(tmp_path, RSA, clock_skew_s=60)
    now_s = int(time.time())
    assert why(gate, f"Bearer {RSA.token(exp=now_s - 30, nbf=now_s + 30)}") == "team-j"
    assert why(signed(tmp_path, RSA, clock_skew_s=0), f"Bearer {RSA.token(exp=now_s - 1)}") == (
        "TOKEN_EXPIRED"
    )


async def test_a_token_of_a_key_that_was_rotated_out_is_refused(tmp_path: Path) -> None:
    gate = signed(tmp_path, RSA)
    replayed = f"Bearer {RSA.token()}"
    assert why(gate, replayed) == "team-j"
    (tmp_path / "keys.json").write_text(key_set(RSA, OTHER))
    await changed(gate)
    assert why(gate, replayed) == why(gate, f"Bearer {OTHER.token()}") == "team-j"
    (tmp_path / "keys.json").write_text(key_set(OTHER))
    await changed(gate)
    assert why(gate, replayed) == "UNKNOWN_KEY"


@pytest.mark.parametrize(
    "keys",
    ["", "{}", '{"keys": 1}', '{"keys": []}', '{"keys": [{"kty": "oct", "k": "AAAA"}]}', "[1]"],
)
def test_a_key_set_without_a_public_key_is_refused(tmp_path: Path, keys: str) -> None:
    (tmp_path / "keys.json").write_text(keys)
    with pytest.raises(AccessError, match=r"keys\.json"):
        Gate(write(tmp_path, {"jwt": [JWT]}))


def test_a_private_key_in_a_key_set_is_refused(tmp_path: Path) -> None:
    kind: Any = jwt.algorithms.get_default_algorithms()["RS256"]
    private = kind.to_jwk(RSA.key, as_dict=True)
    (tmp_path / "keys.json").write_text(json.dumps({"keys": [private]}))
    with pytest.raises(AccessError, match="private key"):
        Gate(write(tmp_path, {"jwt": [JWT]}))


async def test_keys_from_an_address_are_rotated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rewardplane.access.signed_tokens.SEEK_EVERY_S", 0.0)
    served: list[Signer] = []
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.headers.get("authorization", ""))
        if not served:
            return web.Response(status=500)
        return web.Response(text=key_set(*served), content_type="application/json")

    app = web.Application()
    app.router.add_get("/keys", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    (tmp_path / "keys_token").write_text("inner\n")
    address = f"http://127.0.0.1:{port}/keys"
    entry = {**JWT, "keys": address, "keys_token_file": "keys_token"}
    gate = Gate(write(tmp_path, {"jwt": [entry]}))
    following = asyncio.ensure_future(gate.follow())
    try:
        await gate.start()
        # Without keys it cannot be told whose the token is: that may pass, so it is no refusal.
        with pytest.raises(NotReady, match="try again"):
            gate.caller(f"Bearer {RSA.token()}", nobody)
        assert gate.faults() == {"files": False, "keys": True}
        served[:] = [RSA]
        await until(lambda: _name(gate, RSA) == "team-j")
        assert not gate.faults()["keys"]
        served[:] = [OTHER]
        await until(lambda: _name(gate, OTHER) == "team-j")
        await until(lambda: _name(gate, RSA) in ("UNKNOWN_KEY", "NotReady"))
        # The address is gone: what is known goes on, and the fault is told.
        served[:] = []
        _name(gate, RSA)
        await until(lambda: gate.faults()["keys"])
        assert _name(gate, OTHER) == "team-j"
        assert set(asked) == {"Bearer inner"}
    finally:
        following.cancel()
        await runner.cleanup()


def _name(gate: Gate, signer: Signer) -> str:
    try:
        return why(gate, f"Bearer {signer.token()}")
    except KeyError:
        return "NotReady"


async def until(condition: Callable[[], bool], timeout_s: float = 20.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.02)


# ---- certificates ------------------------------------------------------------------------------


def test_the_name_in_a_certificate() -> None:
    authority = Authority()
    uri = x509.UniformResourceIdentifier("spiffe://cluster/team-a")
    assert name_in(authority.issue("cn", x509.DNSName("dns"), uri)[0]) == "spiffe://cluster/team-a"
    assert name_in(authority.issue("cn", x509.DNSName("dns"))[0]) == "dns"
    assert name_in(authority.issue("cn")[0]) == "cn"
    assert name_in(b"no certificate") == ""


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("Hash=ab;URI=spiffe://c/team-a;DNS=x", "spiffe://c/team-a"),
        ('Hash=ab;Subject="CN=team-a,O=x";DNS=team.x', "team.x"),
        ('Hash=ab;Subject="O=x,CN=team-a"', "team-a"),
        # Only the last element is Envoy's own; those before it were sent to it.
        ("URI=spiffe://c/admin,Hash=ab;URI=spiffe://c/team-a", "spiffe://c/team-a"),
        ('Hash=ab;Subject="O=\\";URI=admin;\\",CN=team-a"', "team-a"),
        ("Hash=ab", ""),
        ("", ""),
        (";;", ""),
    ],
)
def test_the_name_that_envoy_forwards(header: str, name: str) -> None:
    assert forwarded_name(header) == name


@given(st.text(max_size=100))
def test_any_forwarded_header_is_a_name_or_none(header: str) -> None:
    assert isinstance(forwarded_name(header), str)


def test_a_certificate_names_the_caller_where_it_counts(tmp_path: Path) -> None:
    server_files(tmp_path / "tls", Authority())
    mutual = {"tls": {"folder": "tls", "client_certificates": "required"}}
    gate = Gate(write(tmp_path, {**mutual, **STATIC}, f"{hashed('one')} team-a\n"))
    assert why(gate, None, lambda: "spiffe://c/team-b") == "spiffe://c/team-b"
    assert why(gate, "Bearer one", lambda: "team-b") == "team-a"
    assert why(gate, "Bearer two", lambda: "team-b") == "UNKNOWN_TOKEN"
    assert why(gate, None) == "NO_CREDENTIALS"
    with pytest.raises(Unauthenticated):  # not behind Envoy: anybody can send the header
        gate.caller(None, nobody, "URI=team-b")
    gate = Gate(write(tmp_path, {"behind_envoy": True}))
    assert gate.caller(None, nobody, "URI=team-b").name == "team-b"
    with pytest.raises(Unauthenticated):
        gate.caller(None, lambda: "team-b")


@pytest.mark.parametrize("broken", ["tls.crt", "tls.key", "ca.crt"])
def test_files_that_do_not_fit_together_are_refused(tmp_path: Path, broken: str) -> None:
    folder = tmp_path / "tls"
    mutual = {"tls": {"folder": "tls", "client_certificates": "required"}}
    server_files(folder, Authority())
    Gate(write(tmp_path, mutual))
    (folder / broken).write_bytes(Authority().issue("x")[1] if broken == "tls.key" else b"nothing")
    with pytest.raises(AccessError, match="tls"):
        Gate(write(tmp_path, mutual))
    (folder / broken).unlink()
    with pytest.raises(AccessError, match="No such file"):
        Gate(write(tmp_path, mutual))
