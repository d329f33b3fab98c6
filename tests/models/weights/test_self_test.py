"""Eight mis-set reward models: the self-test refuses each, by its name; a sound one passes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from rewardplane.config.models import ModelConfig
from rewardplane.models.engine import EngineFailed, EngineModel
from rewardplane.models.host import ModelHost
from rewardplane.models.loading import Loaded, load_model
from rewardplane.models.self_test import self_test

from .tiny import config, make

pytest.importorskip("torch", reason="torch is not installed: make test-models")
pytest.importorskip("transformers", reason="torch is not installed: make test-models")


@pytest.fixture(scope="module")
def eos_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with a BOS, two outputs, and a template that ends with the end token."""
    folder = make(tmp_path_factory.mktemp("eos"), "scalar", bos=True, outputs=2)
    template = folder / "chat_template.jinja"
    template.write_text(
        template.read_text().replace("<|im_end|>\n{% endfor %}", "<|im_end|>{% endfor %}")
    )
    return folder


def sigmoid(model: EngineModel) -> None:
    scores = model.engine.scores
    model.engine.scores = lambda rows, *_: [float(_sigmoid(x)) for x in scores(rows)]


def softmax_of_one(model: EngineModel) -> None:
    model.engine.scores = lambda rows, *_: [1.0] * len(rows)


def double_bos(model: EngineModel) -> None:
    begun = model.prompter._begun
    model.prompter._begun = lambda ids: [model.prompter.bos, *begun(ids)]


def pad_is_eos(model: EngineModel) -> None:
    """As transformers pools: at the last token that is not the padding token."""
    model.engine.pad = model.engine.model.config.eos_token_id
    model.engine.model.config.pad_token_id = model.engine.pad

    def scores(rows: Sequence[Sequence[int]], _media: Any = None) -> list[float]:
        ids, mask = model.engine._padded(rows)
        return model.engine.model(input_ids=ids, attention_mask=mask).logits[:, 0].tolist()

    model.engine.scores = scores


def left_pad(model: EngineModel) -> None:
    """The last column is the last token, but positions count the padding."""

    def scores(rows: Sequence[Sequence[int]], _media: Any = None) -> list[float]:
        ids, mask = model.engine._padded(rows, left=True)
        del mask
        states = model.engine.model.base_model(input_ids=ids).last_hidden_state
        return model.engine.model.score(states[:, -1])[:, 0].tolist()

    model.engine.scores = scores


def generation_prompt(model: EngineModel) -> None:
    render = model.prompter.render
    model.prompter.render = lambda messages, asks: render(messages, asks=True)


def cut_answer(model: EngineModel) -> None:
    begun = model.prompter._begun
    model.prompter._begun = lambda ids: begun(ids)[:12]


def wrong_label(model: EngineModel) -> None:
    def scores(rows: Sequence[Sequence[int]], _media: Any = None) -> list[float]:
        return model.engine.model.score(model.engine._last_states(rows, {}))[:, 1].tolist()

    model.engine.scores = scores


def _sigmoid(value: float) -> float:
    import math

    return 1 / (1 + math.exp(-value))


MIS_SET: dict[str, Callable[[EngineModel], None]] = {
    "sigmoid": sigmoid,
    "softmax of one": softmax_of_one,
    "double BOS": double_bos,
    "pad = eos": pad_is_eos,
    "left pad": left_pad,
    "generation prompt": generation_prompt,
    "cut answer": cut_answer,
    "wrong label index": wrong_label,
}


@pytest.mark.parametrize("name", MIS_SET)
async def test_a_mis_set_model_is_refused_by_name(eos_model: Path, name: str) -> None:
    async def load(config: ModelConfig) -> Loaded:
        loaded = await load_model(config)
        MIS_SET[name](loaded.inner)
        return loaded

    host = ModelHost(config(eos_model, engine={"label": 0}), load)
    with pytest.raises(EngineFailed, match=name):
        await host.start()


async def test_sound_models_pass(eos_model: Path, scalar_model: Path, chat_model: Path) -> None:
    for made in (
        config(eos_model, engine={"label": 1}),
        config(scalar_model),
        config(scalar_model, dtype="bfloat16"),
        config(chat_model, head="chat"),
    ):
        loaded = await load_model(made)
        checks = await self_test(made, loaded.inner)
        await loaded.close()
        assert [check for check in checks if check.fault] == []
        assert len(checks) >= 3


async def test_golden_items(scalar_model: Path, tmp_path: Path) -> None:
    messages = '[{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]'
    golden = tmp_path / "golden.jsonl"
    loaded = await load_model(config(scalar_model))
    value = (
        await loaded.inner.scalar(
            [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}], timeout_s=30
        )
    ).value
    await loaded.close()
    for told, passes in ((value, True), (value + 0.01, False)):
        golden.write_text(f'{{"messages": {messages}, "value": {told}}}\n')
        host = ModelHost(config(scalar_model, golden=str(golden)))
        if passes:
            await host.start()
            await host.stop()
        else:
            with pytest.raises(EngineFailed, match="golden items"):
                await host.start()


async def test_several_outputs_want_a_choice(eos_model: Path) -> None:
    with pytest.raises(EngineFailed, match=r"2 outputs; say which one .* engine\.label"):
        await ModelHost(config(eos_model)).start()
