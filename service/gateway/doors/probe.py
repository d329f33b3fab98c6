"""Whether somebody answers on a port: the first bytes of HTTP/2, and a frame in return."""

from __future__ import annotations

import asyncio

# The client's preface and an empty SETTINGS frame (https://www.rfc-editor.org/rfc/rfc9113#3.4).
_HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\x04\0\0\0\0\0"
_SETTINGS = 4
_ANY_HOST = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 - not bound


async def answers(host: str, port: int, timeout_s: float) -> str:
    """Says hello to an HTTP/2 server; returns what is wrong with it, "" when it answers."""
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_connection(_ANY_HOST.get(host, host), port)
            writer.write(_HELLO)
            head = await reader.readexactly(9)
    except TimeoutError:
        return f"it does not answer within {timeout_s:g} s"
    except (OSError, EOFError) as error:
        return f"it cannot be reached: {type(error).__name__}: {error}"
    finally:
        if writer is not None:
            writer.close()
    return "" if head[3] == _SETTINGS else "it does not speak HTTP/2"
