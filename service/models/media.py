"""Images and sounds of a conversation as a model's own processor wants them (transformers).

They come inside the conversation, as data URIs or base64: nothing is fetched.
"""
# pyright: basic, reportMissingImports=false

from __future__ import annotations

import base64
import binascii
import io
import wave
from collections.abc import Mapping, Sequence
from typing import Any

from rewardplane.rewards.text.chat import Message
from rewardplane.rewards.types import InvalidInput

MAX_PIXELS = 64 * 2**20
"""Of one image: a small file may unfold to gigabytes."""


def has_media(messages: Sequence[Message]) -> bool:
    """Whether there is anything but text in a conversation."""
    return any(
        part.get("type") != "text"
        for message in messages
        if isinstance(message.get("content"), list)
        for part in message["content"]
    )


class MediaProcessor:
    """A `ProcessorMixin` of transformers, as far as it is wanted here."""

    def __init__(self, processor: Any) -> None:
        self._processor = processor
        self.tokenizer = processor.tokenizer
        self._sees = getattr(processor, "image_processor", None) is not None
        self._extractor: Any = getattr(processor, "feature_extractor", None)
        self.template: str | None = getattr(processor, "chat_template", None)
        names = ("image_token", "audio_token", "video_token")
        self.marks = {mark for name in names if (mark := getattr(processor, name, None))}
        """What stands for an image or a sound in a conversation, and must not come from a text."""

    def taken_apart(
        self, messages: Sequence[Message]
    ) -> tuple[list[Message], list[Any], list[Any]]:
        """The conversation with a mark for each image and sound, and these in their order.

        Raises:
            InvalidInput: there is something that the model does not take, or cannot be read.
        """
        images: list[Any] = []
        sounds: list[Any] = []
        shown: list[Message] = []
        for message in messages:
            content = message.get("content")
            if not isinstance(content, list):
                shown.append(message)
                continue
            parts = [self._part(part, images, sounds) for part in content]
            shown.append({**message, "content": parts})
        return shown, images, sounds

    def inputs(
        self, text: str, images: Sequence[Any], sounds: Sequence[Any]
    ) -> tuple[list[int], dict[str, Any]]:
        """The token ids of a rendered conversation, and the tensors of its media by name.

        Raises:
            InvalidInput: the processor refuses them.
        """
        given: dict[str, Any] = {"text": [text], "return_tensors": "pt"}
        if images:
            given["images"] = list(images)
        if sounds:
            given["audio"] = list(sounds)
            given["sampling_rate"] = self._extractor.sampling_rate
        try:
            made = dict(self._processor(**given, add_special_tokens=False))
        except Exception as error:  # noqa: BLE001 - a processor raises what it likes
            raise InvalidInput(f"the model's processor refuses the media: {error}") from None
        ids = made.pop("input_ids")[0].tolist()
        made.pop("attention_mask", None)
        return ids, made

    def _part(self, part: Mapping[str, Any], images: list[Any], sounds: list[Any]) -> Message:
        kind = part.get("type")
        if kind == "text":
            return {"type": "text", "text": part["text"]}
        if kind == "image_url" and self._sees:
            images.append(_image(part["image_url"]["url"]))
            return {"type": "image"}
        if kind == "input_audio" and self._extractor is not None:
            sounds.append(_sound(part["input_audio"], int(self._extractor.sampling_rate)))
            return {"type": "audio"}
        raise InvalidInput(f"the model takes no part of type {kind!r}")


def _image(url: str) -> Any:
    from PIL import Image, UnidentifiedImageError

    head, comma, data = url.partition(",")
    if not comma or not head.startswith("data:") or not head.endswith(";base64"):
        raise InvalidInput(f"want the image itself as a data URI, not {url[:40]!r}")
    try:
        image = Image.open(io.BytesIO(base64.b64decode(data, validate=True)))
        if image.width * image.height > MAX_PIXELS:
            raise InvalidInput(f"an image of {image.width} x {image.height} is too large")
        return image.convert("RGB")
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        raise InvalidInput(f"an image cannot be read: {error}") from None


def _sound(sound: Mapping[str, Any], rate: int) -> Any:
    import numpy as np

    if sound.get("format") != "wav":
        raise InvalidInput(f"want WAV, got {sound.get('format')!r}")
    try:
        with wave.open(io.BytesIO(base64.b64decode(sound["data"], validate=True))) as reader:
            shape = reader.getnchannels(), reader.getsampwidth(), reader.getframerate()
            frames = reader.readframes(reader.getnframes())
    except (wave.Error, EOFError, binascii.Error) as error:
        raise InvalidInput(f"the sound cannot be read: {error}") from None
    if shape != (1, 2, rate) or not frames:
        raise InvalidInput(f"want one channel of 16 bits at {rate} Hz, got {shape}")
    return np.frombuffer(frames, "<i2").astype("float32") / 32_768
