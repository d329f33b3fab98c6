"""TLS of the HTTP port: certificates that are renewed while it serves, and the client's name."""

from __future__ import annotations

import asyncio
import ssl
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from rewardplane.access.certificates import Identity, name_in


def shown_by(transport: asyncio.BaseTransport) -> str:
    """The name in the certificate that the client has shown; empty: it has shown none."""
    secure: Any = transport.get_extra_info("ssl_object")
    if secure is None:
        return ""
    shown = cast("bytes | None", secure.getpeercert(binary_form=True))
    return name_in(ssl.DER_cert_to_PEM_cert(shown).encode()) if shown else ""


def server_context(identities: Callable[[], Identity]) -> ssl.SSLContext:
    """A context by which each handshake takes the certificate, and the authorities, of now.

    Every client meets the callback, those that send no server name too.
    """
    served = identities()
    context = _context(served)
    current = context

    def renewed(secure: ssl.SSLObject, _name: str | None, _context_of: ssl.SSLContext) -> None:
        nonlocal served, current
        now = identities()
        if now is not served:
            served, current = now, _context(now)
        secure.context = current

    context.sni_callback = renewed
    return context


def _context(identity: Identity) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # A resumed session would show the certificate of before, to authorities that may be gone.
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0
    with tempfile.TemporaryDirectory(prefix="rewardplane-tls-") as folder:
        # Python reads them from files only; this folder is the owner's alone.
        chain, key = Path(folder) / "chain", Path(folder) / "key"
        chain.write_bytes(identity.chain)
        key.touch(mode=0o600)
        key.write_bytes(identity.key)
        context.load_cert_chain(chain, key)
    if identity.authorities is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=identity.authorities.decode())
    return context
