"""Certificates, keys and signed tokens for tests: made here, real."""

from __future__ import annotations

import datetime
import json
import time
from pathlib import Path
from typing import Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

ISSUER, AUDIENCE = "https://issuer.example", "rewardplane"
_DAY = datetime.timedelta(days=1)


class Authority:
    """Signs certificates."""

    def __init__(self, name: str = "authority") -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.certificate = (
            _builder(self._name, self._name, self.key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(self.key, hashes.SHA256())
        )
        self.pem = self.certificate.public_bytes(serialization.Encoding.PEM)

    def issue(self, name: str, *sans: x509.GeneralName) -> tuple[bytes, bytes]:
        """A certificate for `name` and its key, in PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = _builder(subject, self._name, key.public_key())
        if sans:
            builder = builder.add_extension(x509.SubjectAlternativeName(sans), critical=False)
        certificate = builder.sign(self.key, hashes.SHA256())
        return certificate.public_bytes(serialization.Encoding.PEM), key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )


def _builder(subject: x509.Name, issuer: x509.Name, key: Any) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _DAY)
        .not_valid_after(now + _DAY)
    )


def server_files(folder: Path, authority: Authority, clients: Authority | None = None) -> None:
    """tls.crt, tls.key and, for mutual TLS, ca.crt: a certificate for localhost."""
    import ipaddress

    chain, key = authority.issue(
        "localhost",
        x509.DNSName("localhost"),
        x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
    )
    folder.mkdir(exist_ok=True)
    (folder / "tls.key").write_bytes(key)
    (folder / "tls.crt").write_bytes(chain)
    (folder / "ca.crt").write_bytes((clients or authority).pem)


class Signer:
    """An issuer's key pair."""

    def __init__(self, kid: str, algorithm: str = "RS256") -> None:
        self.kid = kid
        self.algorithm = algorithm
        self.key: Any = (
            rsa.generate_private_key(public_exponent=65537, key_size=2048)
            if algorithm.startswith(("RS", "PS"))
            else ec.generate_private_key(ec.SECP256R1())
        )
        kind = jwt.algorithms.get_default_algorithms()[algorithm]
        public: Any = kind.to_jwk(self.key.public_key(), as_dict=True)  # type: ignore[attr-defined]
        self.jwk = {**public, "kid": kid, "use": "sig", "alg": algorithm}

    def token(self, headers: dict[str, Any] | None = None, **claims: Any) -> str:
        """A token that is good but for what `claims` change; None leaves a claim out."""
        now_s = int(time.time())
        known = {"iss": ISSUER, "aud": AUDIENCE, "sub": "team-j", "exp": now_s + 600, **claims}
        said = {key: value for key, value in known.items() if value is not None}
        # Not `jwt.encode`, which refuses to write what a stranger may send.
        payload = json.dumps(said).encode()
        more = {"kid": self.kid, **(headers or {})}
        if more["kid"] is None:
            del more["kid"]
        return jwt.PyJWS().encode(payload, self.key, self.algorithm, {"typ": "JWT", **more})


def key_set(*signers: Signer) -> str:
    """Their public keys as a JWK set."""
    return json.dumps({"keys": [signer.jwk for signer in signers]})
