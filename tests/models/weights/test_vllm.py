"""The real vLLM, on a CPU: numbers as transformers', abortion, and an engine that is killed."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
import pytest
from rewardplane.models.loading import Loaded, load_model
from rewardplane.models.self_test import self_test
from rewardplane.rewards.models.model import Label, LabelQuestion
from rewardplane.rewards.models.question import Sampling
from rewardplane.rewards.types import Score

from ...support.rig import flat, reasons, request_of
from ..hosting import RM, hosts
from ..test_host import asked
from .tiny import WORDS, config

pytest.importorskip("vllm", reason="vLLM is not installed: make test-vllm")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("ignore"),  # vLLM's and torch's own
]

CPU = {
    "runs": "vllm",
    "dtype": "float32",
    "engine": {"enforce_eager": True, "kv_cache_memory_bytes": 2**28},
}


@pytest.fixture(autouse=True)
def cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few threads and no network."""
    for name, value in {
        "OMP_NUM_THREADS": "1",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
    }.items():
        monkeypatch.setenv(name, value)


def talk(word: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": "a prompt"}, {"role": "assistant", "content": word}]


async def test_scalars_are_those_of_transformers(scalar_model: Path) -> None:
    bare = await load_model(config(scalar_model))
    async with hosts({**CPU, "head": "scalar", "path": str(scalar_model)}, it=RM) as rig:
        answer = await rig.answer(asked(request_of("it", WORDS)), 120)
    outcomes = flat(answer)
    assert reasons(outcomes) == Counter(SCORED=len(WORDS))
    for word, outcome in zip(WORDS, outcomes, strict=True):
        assert isinstance(outcome, Score)
        wanted = await bare.model.scalar(talk(word), timeout_s=60)
        assert outcome.reward == pytest.approx(wanted.value, abs=1e-4)
    await bare.close()
    assert (answer.models[0].engine, answer.models[0].dtype) == ("vllm", "float32")


async def test_labels_text_schema_and_death(chat_model: Path) -> None:
    question = LabelQuestion("choice", "Which?", (Label("A"), Label("B"), Label("C")))
    shown = [[{"role": "user", "content": word}] for word in WORDS[:24]]
    made = config(chat_model, head="chat", **CPU)
    loaded, bare = await load_model(made), await load_model(config(chat_model, head="chat"))
    try:
        assert [c for c in await self_test(made, loaded.inner) if c.fault] == []

        async def read(of: Loaded) -> list[Any]:
            ask = of.model.labels
            options: Any = {"sampling": Sampling(), "timeout_s": 120}
            return await asyncio.gather(*(ask(m, question, **options) for m in shown))

        for ours, theirs in zip(await read(loaded), await read(bare), strict=True):
            assert ours.read == "logprob_token_ids"
            assert ours.probs == pytest.approx(theirs.probs, abs=1e-4)
            assert ours.label_mass == pytest.approx(theirs.label_mass, rel=1e-3)
        greedy = Sampling(temperature=0.0, max_tokens=12)
        texts = [
            await of.model.text(shown[0], sampling=greedy, schema=None, timeout_s=120)
            for of in (loaded, bare)
        ]
        assert texts[0].text == texts[1].text
        # What is cancelled is not gone on with.
        long = loaded.model.text(
            shown[0], sampling=Sampling(temperature=0.0, max_tokens=400), schema=None, timeout_s=120
        )
        task = asyncio.create_task(long)
        await asyncio.sleep(0.3)
        task.cancel()
        async with asyncio.timeout(10):
            while loaded.inner.engine._llm.get_num_unfinished_requests():
                await asyncio.sleep(0.05)
        # The engine dies: nothing that was in it is answered, and the host knows.
        children = psutil.Process().children(recursive=True)
        pending = asyncio.create_task(read(loaded))
        for child in children:
            if "EngineCore" in " ".join(child.cmdline()) or "VLLM" in child.name():
                child.kill()
        with pytest.raises(Exception, match=r"(?i)engine"):
            await pending
        assert loaded.dead
    finally:
        await loaded.close()
        await bare.close()
