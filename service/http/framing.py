"""What a request's head must not be, beyond what the parser refuses: readable in two ways.

A proxy in front may read such a head otherwise than we do, and take a part of one request for
another, or check a header that is not the one used here.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from rewardplane.wire.errors import InvalidRequest

from .exchange import Answer, refusal

MAX_HEADERS = 256
"""Each costs a microsecond of the gateway's loop."""
SINGLE = frozenset((b"host", b"authorization", b"x-forwarded-client-cert", b"content-encoding"))
"""Headers that may come once; the parser sees to those that tell of the body's length."""
_HOST = re.compile(rb"[\w.~!$&'()*+,;=%:\[\]-]*", re.ASCII)


def fault_in(
    version: str, headers: Mapping[bytes, bytes], doubled: Collection[bytes]
) -> Answer | None:
    """What a head is answered that is at fault (RFC 9112); None: it is not.

    `doubled` are the names, in lower case, of headers that came again.
    """
    if version not in ("1.1", "1.0"):
        return _refused(505, f"HTTP/{version} is not spoken here; use HTTP/1.1")
    host = headers.get(b"host")
    if host is None and version == "1.1":
        return _refused(400, "no Host header: HTTP/1.1 wants one")
    if host and not _HOST.fullmatch(host):
        return _refused(400, "the Host header names no host")
    for name in doubled:
        if name in SINGLE:
            return _refused(400, f"more than one {name.decode()} header")
    if len(headers) + len(doubled) > MAX_HEADERS:
        return _refused(431, f"a head has at most {MAX_HEADERS} headers")
    coding = headers.get(b"transfer-encoding")
    if coding is not None and coding.strip().lower() != b"chunked":
        return _refused(501, "want no transfer coding but `chunked`")
    if headers.get(b"content-encoding", b"identity").strip().lower() not in (b"", b"identity"):
        return _refused(415, "want a body without a content coding")
    return None


def _refused(status: int, why: str) -> Answer:
    return refusal(status, InvalidRequest.reason, why)
