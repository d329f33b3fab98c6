"""Images and other media of chat messages, as they stand in them, to parts of a turn."""

from __future__ import annotations

import base64
import binascii
import io
from collections.abc import Mapping
from typing import Any, cast

from rewardplane.rewards.types import Blob, FileData

KINDS = ("image", "video", "audio", "file")

_SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"%PDF-", "application/pdf"),
    (b"ID3", "audio/mpeg"),
    (b"OggS", "audio/ogg"),
)


def is_image(value: object) -> bool:
    """Whether it is an image object as Pillow's are; Pillow is not imported."""
    return hasattr(value, "save") and hasattr(value, "mode") and hasattr(value, "size")


def png(image: object) -> bytes:
    """The image object as PNG."""
    buffer = io.BytesIO()
    cast("Any", image).save(buffer, format="PNG")
    return buffer.getvalue()


def medium(part: Mapping[str, Any], kind: str) -> Blob | FileData | None:
    """The medium of a part of content; None where the part only holds its place.

    OpenAI, Hugging Face and Anthropic each have spellings of their own: ``{"type": "image_url",
    "image_url": {"url": …}}``, ``{"type": "image", "image": …}``, ``{"type": "input_audio",
    "input_audio": {"data": …, "format": …}}``, ``{"type": "image", "source": {…}}``.

    Raises:
        TypeError: the medium is of a type that cannot be sent.
        ValueError: it should be base64 and is not.
    """
    names = (
        kind,
        f"{kind}_url",
        f"input_{kind}",
        "source",
        "url",
        "path",
        "base64",
        "data",
        "bytes",
    )
    for name in names:
        value = part.get(name)
        if value is None:
            continue
        if isinstance(value, Mapping):
            inner = cast("Mapping[str, Any]", value)
            hint = str(
                inner.get("media_type") or inner.get("mime_type") or inner.get("format") or ""
            )
            for key in (
                "url",
                "file_data",
                "data",
                "bytes",
                "base64",
                "path",
                "file_uri",
                "file_id",
            ):
                if inner.get(key) is not None:
                    return _medium(inner[key], kind, hint, encoded=key in ("data", "base64"))
            return None
        hint = str(part.get("media_type") or part.get("mime_type") or part.get("format") or "")
        return _medium(value, kind, hint, encoded=name in ("base64", "data"))
    return None


def _medium(value: object, kind: str, hint: str, *, encoded: bool) -> Blob | FileData:
    mime_type = hint if "/" in hint else f"{kind}/{hint}" if hint else ""
    if isinstance(value, bytes | bytearray | memoryview):
        data = bytes(cast("bytes", value))
        return Blob(mime_type or _sniffed(data, kind), data)
    if is_image(value):
        return Blob("image/png", png(value))
    if not isinstance(value, str):
        raise TypeError(
            f"{kind} is {type(value).__name__}, want an address, bytes, base64 or an image object"
        )
    if value.startswith("data:"):
        head, _, body = value.partition(",")
        given, _, _ = head.removeprefix("data:").partition(";")
        data = _decoded(body, kind) if head.endswith(";base64") else body.encode()
        return Blob(given or mime_type or _sniffed(data, kind), data)
    if encoded:
        data = _decoded(value, kind)
        return Blob(mime_type or _sniffed(data, kind), data)
    # A table of a thousand types, for those who send addresses.
    import mimetypes

    guessed, _ = mimetypes.guess_type(value.partition("?")[0])
    return FileData(mime_type or guessed or _unknown(kind), value)


def _decoded(text: str, kind: str) -> bytes:
    try:
        return base64.b64decode(text, validate=False)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"{kind} is no base64: {error}") from None


def _sniffed(data: bytes, kind: str) -> str:
    for signature, mime_type in _SIGNATURES:
        if data.startswith(signature):
            return mime_type
    if data[:4] == b"RIFF":
        return {b"WEBP": "image/webp", b"WAVE": "audio/wav"}.get(data[8:12], _unknown(kind))
    return _unknown(kind)


def _unknown(kind: str) -> str:
    return "application/octet-stream" if kind == "file" else f"{kind}/*"
