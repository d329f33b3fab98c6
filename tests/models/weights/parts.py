"""Responses that show images or speak."""

from __future__ import annotations

import io
import wave
from typing import Any

import pytest
from rewardplane.v1 import reward_service_pb2 as pb

images = pytest.importorskip("PIL.Image", reason="pillow is not installed: make test-models")


def request(*responses: list[pb.Part]) -> pb.ScoreRequest:
    """One prompt, and responses of these parts."""
    asked = pb.ScoreRequest(reward="it")
    group = asked.groups.add()
    group.example.contents.add(role="user").parts.add(text="Draw a tree.")
    for parts in responses:
        group.responses.add(turns=[pb.Content(role="model", parts=parts)])
    return asked


def part(kind: str, data: bytes) -> pb.Part:
    return pb.Part(inline_data=pb.Blob(mime_type=kind, data=data))


def picture(colour: tuple[int, int, int]) -> bytes:
    out = io.BytesIO()
    images.new("RGB", (300, 260), colour).save(out, "PNG")
    return out.getvalue()


def sound(samples: Any, rate: int = 16_000) -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as writer:
        writer.setparams((1, 2, rate, 0, "NONE", ""))
        writer.writeframes((samples * 32_000).astype("<i2").tobytes())
    return out.getvalue()
