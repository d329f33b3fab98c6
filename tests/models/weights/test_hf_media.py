"""Images and sounds reach models on transformers, as their own processors make them."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rewardplane.rewards.models.asking import asked as with_question
from rewardplane.rewards.types import Blob, Content, Example, Part, Response, Score
from rewardplane.v1 import reward_service_pb2 as pb

from ...support.rig import flat, reasons
from ..hosting import RM, hosts
from .parts import images, part, picture, request, sound
from .test_parity import JUDGE, weights
from .tiny_media import gemma, llava, qwen_audio

torch = pytest.importorskip("torch", reason="torch is not installed: make test-models")
transformers: Any = pytest.importorskip("transformers")

SEEN = [picture((30, 160, 60)), picture((224, 30, 140))]


def processor_of(folder: Path) -> Any:
    return transformers.AutoProcessor.from_pretrained(folder)


def opened(data: bytes) -> Any:
    return images.open(io.BytesIO(data)).convert("RGB")


async def test_a_reward_model_that_looks(tmp_path: Path) -> None:
    folder = gemma(tmp_path / "m")
    shown = [[pb.Part(text="Here: "), part("image/png", one)] for one in SEEN]
    twice = [part("image/png", one) for one in SEEN]
    faulty = [
        [part("image/png", b"no image")],
        [part("audio/wav", b"x")],
        [part("video/mp4", b"x")],
        [pb.Part(file_data=pb.FileData(mime_type="image/png", file_uri="http://a/b.png"))],
    ]
    marked = [pb.Part(text="<boi>no <soft> image<eoi>")]
    async with hosts(weights(folder, "scalar"), it=RM) as rig:
        sent = request(*shown, twice, [pb.Part(text="none")], marked, *faulty)
        outcomes = flat(await rig.answer(sent, 60))
    assert reasons(outcomes) == {"SCORED": 5, "INVALID_INPUT": 4}, outcomes
    processor = processor_of(folder)
    bare = transformers.AutoModelForSequenceClassification.from_pretrained(folder)
    for given, outcome in zip([SEEN[:1], SEEN[1:], SEEN], outcomes, strict=False):
        marks = [{"type": "image"} for _ in given]
        said = marks if len(given) > 1 else [{"type": "text", "text": "Here: "}, *marks]
        chat = [
            {"role": "user", "content": "Draw a tree."},
            {"role": "assistant", "content": said},
        ]
        text = processor.apply_chat_template(chat, tokenize=False)
        inputs = processor(text=[text], images=[*map(opened, given)], return_tensors="pt")
        with torch.inference_mode():
            wanted = float(bare(**inputs).logits[0, 0])
        assert isinstance(outcome, Score)
        assert outcome.reward == pytest.approx(wanted, abs=1e-4)
    found = [o.reward for o in outcomes if isinstance(o, Score)]
    assert len(set(found)) == 5


async def test_a_judge_that_looks(tmp_path: Path) -> None:
    folder = llava(tmp_path / "m")
    judge: dict[str, Any] = {**JUDGE}
    async with hosts(weights(folder, "chat"), it=judge) as rig:
        sent = request(*[[pb.Part(text="It is "), part("image/png", one)] for one in SEEN])
        sent.options.include_judgements = True
        outcomes = flat(await rig.answer(sent, 60))
    processor = processor_of(folder)
    bare = transformers.AutoModelForImageTextToText.from_pretrained(folder)
    found = [outcome for outcome in outcomes if isinstance(outcome, Score)]
    assert len(found) == 2, outcomes
    for one, outcome in zip(SEEN, found, strict=True):
        wanted = labels(bare, processor, judge, "image/png", one, {"images": [opened(one)]})
        assert dict(outcome.judgements[0].probs) == pytest.approx(wanted, abs=1e-4)
    assert found[0].reward != found[1].reward


async def test_a_judge_that_listens(tmp_path: Path) -> None:
    folder = qwen_audio(tmp_path / "m")
    time_s = np.arange(16_000) / 16_000
    heard = [0.5 * np.sin(2 * np.pi * pitch * time_s) for pitch in (220, 1_900)]
    sounds = [sound(one) for one in heard]
    judge: dict[str, Any] = {**JUDGE}
    async with hosts(weights(folder, "chat"), it=judge) as rig:
        shown = [[pb.Part(text="It is "), part("audio/wav", one)] for one in sounds]
        faulty = [[part("audio/wav", sound(heard[0], 8_000))], [part("image/png", SEEN[0])]]
        sent = request(*shown, *faulty)
        sent.options.include_judgements = True
        outcomes = flat(await rig.answer(sent, 60))
    assert reasons(outcomes) == {"SCORED": 2, "INVALID_INPUT": 2}, outcomes
    processor = processor_of(folder)
    bare = transformers.AutoModelForMultimodalLM.from_pretrained(folder)
    for data, outcome in zip(sounds, outcomes, strict=False):
        samples = np.frombuffer(data[44:], "<i2").astype("float32") / 32_768
        given = {"audio": [samples], "sampling_rate": 16_000}
        wanted = labels(bare, processor, judge, "audio/wav", data, given)
        assert isinstance(outcome, Score)
        assert dict(outcome.judgements[0].probs) == pytest.approx(wanted, abs=1e-4)


def labels(
    bare: Any, processor: Any, judge: dict[str, Any], kind: str, data: bytes, given: dict[str, Any]
) -> dict[str, float]:
    """The probabilities of the five digits as the bare model has them."""
    from rewardplane.rewards.registry import build

    built: Any = build("judge", {k: v for k, v in judge.items() if k != "kind"})
    turn = Content("model", [Part("It is "), Part(Blob(kind, data))])
    message = built._shown.message(Example(), Response("It is ", turns=[turn]))
    chat = with_question([message], built._question)
    assert base64.b64encode(data).decode()[:20] in str(chat)
    mark = {"type": "image" if kind.startswith("image") else "audio"}
    for one in chat:
        if isinstance(one["content"], list):
            one["content"] = [p if p["type"] == "text" else mark for p in one["content"]]
    text = processor.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    inputs = processor(text=[text], return_tensors="pt", **given)
    tokens = [processor.tokenizer(d, add_special_tokens=False)["input_ids"][0] for d in "12345"]
    with torch.inference_mode():
        probs = bare(**inputs).logits[0, -1].float().softmax(-1)[tokens]
    shares = (probs / probs.sum()).tolist()
    return dict(zip("12345", shares, strict=True))
