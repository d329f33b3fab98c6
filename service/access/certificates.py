"""The service's certificate, its clients' and their names; files in PEM, read again by the gate."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import NameOID

from .settings import AccessError, Tls

CHAIN, KEY, AUTHORITIES = "tls.crt", "tls.key", "ca.crt"
"""The names that cert-manager gives them (https://cert-manager.io/docs/usage/certificate/)."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A certificate with its key, and whom clients' certificates must come from; all PEM.

    `authorities` None: clients need no certificate. `until_s`: when the certificate expires, in
    seconds since 1970.
    """

    chain: bytes
    key: bytes
    authorities: bytes | None
    until_s: float


def read_identity(tls: Tls, folder: Path) -> Identity:
    """What lies in the folder of `tls`, checked: that the key is the certificate's, above all.

    Raises:
        AccessError: it cannot be used; all faults at once.
    """
    place = folder / tls.folder
    faults: list[str] = []

    def read(name: str) -> bytes:
        try:
            return (place / name).read_bytes()
        except OSError as error:
            faults.append(f"{place / name}: {error.strerror}")
            return b""

    chain, key = read(CHAIN), read(KEY)
    authorities = read(AUTHORITIES) if tls.client_certificates == "required" else None
    if faults:
        raise AccessError(faults)
    try:
        first = x509.load_pem_x509_certificates(chain)[0]
    except ValueError:
        raise AccessError([f"{place / CHAIN}: holds no certificate in PEM"]) from None
    try:
        if load_pem_private_key(key, None).public_key() != first.public_key():
            raise AccessError([f"{place}: the key is not that of the certificate"])
    except (ValueError, TypeError):
        raise AccessError(
            [f"{place / KEY}: holds no private key in PEM without a passphrase"]
        ) from None
    if authorities is not None:
        try:
            x509.load_pem_x509_certificates(authorities)
        except ValueError:
            raise AccessError([f"{place / AUTHORITIES}: holds no certificate in PEM"]) from None
    return Identity(chain, key, authorities, first.not_valid_after_utc.timestamp())


def files_of(tls: Tls, folder: Path) -> list[Path]:
    """The files that `read_identity` reads."""
    names = [CHAIN, KEY]
    if tls.client_certificates == "required":
        names.append(AUTHORITIES)
    return [folder / tls.folder / name for name in names]


def name_in(certificate: bytes) -> str:
    """Whom a certificate (PEM) names: its first URI, else its first DNS name, else its common name.

    Empty: nobody.
    """
    try:
        found = x509.load_pem_x509_certificate(certificate)
        try:
            names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except x509.ExtensionNotFound:
            names = x509.SubjectAlternativeName([])
        for kind in (x509.UniformResourceIdentifier, x509.DNSName):
            if values := names.get_values_for_type(kind):
                return values[0]
        common = found.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return str(common[0].value) if common else ""
    except ValueError:
        return ""


_ELEMENT = re.compile(r'([A-Za-z]+)=("(?:[^"\\]|\\.)*"|[^;,"]*)')
_COMMON_NAME = re.compile(r"(?:^|,)CN=((?:[^,\\]|\\.)*)")


def forwarded_name(header: str) -> str:
    """As `name_in`, of what Envoy tells in `x-forwarded-client-cert`. Empty: nobody.

    The last element counts: it is that of the Envoy in front of this service
    (https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_conn_man/headers).
    """
    fields: dict[str, str] = {}
    at = 0
    while at < len(header):
        match = _ELEMENT.match(header, at)
        if match is None:
            return ""
        value = match[2]
        if value.startswith('"'):
            value = re.sub(r"\\(.)", r"\1", value[1:-1])
        fields.setdefault(match[1].lower(), value)
        at = match.end()
        if header[at : at + 1] == ",":
            fields.clear()
        at += 1
    return _first(fields)


def _first(fields: Mapping[str, str]) -> str:
    for name in ("uri", "dns"):
        if fields.get(name):
            return unquote(fields[name])
    common = _COMMON_NAME.search(fields.get("subject", ""))
    return re.sub(r"\\(.)", r"\1", common[1]) if common else ""
