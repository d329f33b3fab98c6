"""Images and sounds that come to do harm: each is refused by itself, and nothing is fetched."""

from __future__ import annotations

import base64
import io
import struct
import zlib
from typing import Any

import pytest
from rewardplane.models import media
from rewardplane.models.media import MediaProcessor
from rewardplane.models.prompts import Prompter, Wanted
from rewardplane.rewards.types import InvalidInput

Image: Any = pytest.importorskip("PIL.Image")


class _Processor:
    chat_template = "x"

    class tokenizer:  # noqa: N801 - as transformers has it
        pass

    image_processor = object()

    class feature_extractor:  # noqa: N801
        sampling_rate = 16_000


def uri(data: bytes, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def png(width: int, height: int) -> bytes:
    """An image whose header says how large it is; nothing follows."""
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head))
    return b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", 9) + b"IDAT" + bytes(13)


def saved(form: str, size: tuple[int, int] = (8, 8)) -> bytes:
    out = io.BytesIO()
    Image.effect_noise(size, 50).save(out, form)
    return out.getvalue()


def wav(frames: bytes, **header: int) -> bytes:
    size = header.get("size", len(frames))
    rate, bits = 16_000, header.get("bits", 16)
    fmt = struct.pack("<HHIIHH", 1, 1, rate, rate * bits // 8, bits // 8, bits)
    body = b"WAVEfmt " + struct.pack("<I", 16) + fmt + b"data" + struct.pack("<I", size) + frames
    return b"RIFF" + struct.pack("<I", len(body)) + body


def image(url: Any) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


def sound(data: Any) -> dict[str, Any]:
    given = base64.b64encode(data).decode() if isinstance(data, bytes) else data
    return {"type": "input_audio", "input_audio": {"data": given, "format": "wav"}}


BAD = {
    "a file": (image("file:///etc/passwd"), "want the image itself as a data URI"),
    "a page": (image("https://example.com/a.png"), "want the image itself"),
    "a file behind a comma": (image("file:///etc/hosts;base64,AAAA"), "want the image itself"),
    "no text": (image(7), "partition"),
    "no base64": (image("data:image/png;base64,a b"), "cannot be read"),
    "large": (image(uri(png(9_000, 9_000))), "9000 x 9000 is too large"),
    "larger than Pillow takes": (image(uri(png(60_000, 60_000))), "cannot be read"),
    "cut off": (image(uri(saved("PNG", (64, 64))[:500])), "cannot be read"),
    "a program": (image(uri(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")), "cannot be"),
    "another format": (image(uri(saved("TIFF"))), "cannot be read"),
    "no key": ({"type": "image_url"}, "image_url"),
    "a sound of 8 bits": (sound(wav(b"abc", bits=8)), "want one channel of 16 bits"),
    "more than there is": (sound(wav(b"", size=2**31)), "want one|cannot be read"),
    "no sound": (sound(b"RIFF"), "cannot be read"),
    "not base64": (sound("é"), "cannot be read"),
}


@pytest.mark.parametrize("name", BAD)
def test_each_is_refused_by_itself(name: str) -> None:
    part, says = BAD[name]
    with pytest.raises(Exception, match=says) as told:
        MediaProcessor(_Processor()).taken_apart([{"role": "user", "content": [part]}])
    assert isinstance(told.value, InvalidInput) or name in ("no text", "no key")


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF"])
def test_the_usual_ones_are_taken(form: str) -> None:
    part = image(uri(saved(form)))
    _shown, images, _sounds = MediaProcessor(_Processor()).taken_apart(
        [{"role": "user", "content": [part]}]
    )
    assert images[0].size == (8, 8)


def test_many_that_are_small_by_themselves_are_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(media, "MAX_PIXELS", 1_000)
    part = image(uri(saved("PNG", (20, 20))))
    processor = MediaProcessor(_Processor())
    processor.taken_apart([{"role": "user", "content": [part, part]}])
    turn = {"role": "user", "content": [part]}
    with pytest.raises(InvalidInput, match="may have 1000 pixels in all"):
        processor.taken_apart([turn, turn, turn])


class _Tokenizer:
    bos_token_id = None
    chat_template = "x"

    def __call__(self, texts: Any, **_: Any) -> dict[str, Any]:
        return {"input_ids": [[1]] if isinstance(texts, str) else [[1] for _ in texts]}

    def apply_chat_template(self, messages: Any, **_: Any) -> str:
        return str(messages)


@pytest.mark.parametrize("name", BAD)
def test_none_takes_others_with_it(name: str) -> None:
    prompter = Prompter(_Tokenizer(), 100, cuts=False, media=MediaProcessor(_Processor()))
    fine = Wanted([{"role": "user", "content": "x"}], asks=True)
    bad = Wanted([{"role": "user", "content": [BAD[name][0]]}], asks=True)
    made = prompter.prompts([fine, bad, fine])
    assert isinstance(made[1], Exception)
    assert [getattr(made[at], "ids", None) for at in (0, 2)] == [[1], [1]]
