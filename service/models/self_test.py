"""What a model must show before rewards are given of it: that its numbers are what they seem.

Most mistakes with reward models raise nothing: every number is a little, or wholly, another one.
Each check here finds one kind of mistake, says what was found, and by what name it is known.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol, cast, runtime_checkable

from rewardplane.config.models import ModelConfig
from rewardplane.rewards.models.distribution import finite
from rewardplane.rewards.models.model import Model
from rewardplane.rewards.text.chat import Message
from rewardplane.rewards.types import InvalidInput, RewardFault

from .engine import EngineModel

CALL_S = 300.0
TOLERANCE = {"float32": 1e-3}
"""How far numbers of one item may be from each other, of their spread: float32. All others: 0.1."""
COARSE = 0.1
SENTINEL = "zebra"
LABELS = (("A", "B"), ("Yes", "No"), ("1", "2", "3", "4", "5"))
"""Labels that rewards use; at least one of these sets must be single tokens."""


@dataclass(slots=True, frozen=True)
class Check:
    """What one check found; a `fault` means that the model is refused."""

    name: str
    found: str
    fault: bool = False
    noise: float | None = None
    """How far two readings of one item were apart, where some were read twice."""


@runtime_checkable
class Referenced(Protocol):
    """An engine that can say what the bare model makes of a row, alone and unpadded."""

    def reference(self, ids: Sequence[int]) -> list[float]:
        """All outputs of a scalar head; all logits of the next token."""
        ...

    @property
    def batcher(self) -> Any:
        """What runs a call in the engine's thread."""
        ...


def conversations() -> list[list[Message]]:
    """Conversations of many lengths, each of which ends with the sentinel."""
    found: list[list[Message]] = []
    for size in (1, 3, 9, 27):
        answer = " ".join(["word"] * size)
        found.append(
            [
                {"role": "user", "content": f"Count to {size}."},
                {"role": "assistant", "content": f"{answer} {SENTINEL}"},
            ]
        )
    return found


async def self_test(config: ModelConfig, model: Model) -> list[Check]:
    """All checks, in their order; none raises for what it finds."""
    checks: list[Check] = []
    if isinstance(model, EngineModel):
        checks += _template(model)
        if config.settings.head == "scalar":
            checks += await _scalar(config, model)
        else:
            checks += await _labels(model)
    if config.settings.golden:
        checks.append(await _golden(config, model))
    return checks


# ---- the template ------------------------------------------------------------------------------


def _template(model: EngineModel) -> list[Check]:
    prompter, conversation = model.prompter, conversations()[1]
    scalar = model.head == "scalar"
    asks = not scalar
    shown = conversation if scalar else conversation[:1]
    try:
        ids = prompter.prompt(shown, asks=asks).ids
    except InvalidInput as error:
        return [Check("chat template", str(error), fault=True)]
    checks: list[Check] = []
    bos = prompter.bos
    if bos is not None:
        # Those that begin it: of some models each turn begins with the token that is their BOS.
        count = next((at for at, token in enumerate(ids) if token != bos), len(ids))
        if count > 1:
            checks.append(Check("double BOS", f"{count} BOS tokens begin a conversation", True))
        else:
            checks.append(Check("one BOS", f"a conversation has {count}"))
    if not scalar:
        return checks
    tail = _generation_tail(model, conversation)
    if tail and ids[-len(tail) :] == tail:
        found = "a scored conversation ends with the beginning of a further turn of the model"
        checks.append(Check("generation prompt", found, fault=True))
    else:
        checks.append(Check("no generation prompt", "the response is the last turn"))
    text = str(prompter.tokenizer.decode(ids))
    if SENTINEL not in text:
        found = "the last word of a response is missing from what the model gets"
        checks.append(Check("cut answer", found, fault=True))
    else:
        checks.append(Check("whole answer", "a response is there to its last word"))
    return checks


def _generation_tail(model: EngineModel, conversation: list[Message]) -> list[int]:
    """The tokens that a generation prompt would add."""
    tokenizer = model.prompter.tokenizer
    without = cast("str", tokenizer.apply_chat_template(conversation, tokenize=False))
    with_tail = cast(
        "str",
        tokenizer.apply_chat_template(conversation, tokenize=False, add_generation_prompt=True),
    )
    if not with_tail.startswith(without):
        return []
    added = with_tail[len(without) :]
    return list(tokenizer(added, add_special_tokens=False)["input_ids"]) if added else []


def _rows(model: EngineModel, shown: list[list[Message]], *, asks: bool) -> list[list[int]]:
    """The token ids of the conversations that the model has room for; the first one at least."""
    rows = [model.prompter.encode(conversation, asks=asks) for conversation in shown]
    return [row for i, row in enumerate(rows) if not i or len(row) < model.prompter.max_tokens]


# ---- a scalar head -----------------------------------------------------------------------------


async def _scalar(config: ModelConfig, model: EngineModel) -> list[Check]:
    rows = _rows(model, conversations(), asks=False)
    try:
        alone = [await model.engine.score(row) for row in rows]
        together = await _together(model.engine.score, rows)
    except Exception as error:  # noqa: BLE001 - whatever the engine raises
        return [Check("forward pass", f"{type(error).__name__}: {error}", fault=True)]
    if not all(map(math.isfinite, [*alone, *together])):
        return [Check("finite numbers", f"the model says {alone}", fault=True)]
    checks: list[Check] = []
    if isinstance(model.engine, Referenced):
        checks.append(await _against_reference(config, model, rows, alone))
        if checks[-1].fault:
            return checks
    elif all(value == 1.0 for value in alone):
        found = "every conversation earns exactly 1"
        return [Check("softmax of one", found, fault=True)]
    spread = _spread(alone)
    worst = max(abs(a - b) for a, b in zip(alone, together, strict=True))
    allowed = _allowed(model) * spread
    if worst > allowed:
        found = f"a conversation earns up to {worst:.2g} more or less in a batch with longer ones"
        checks.append(Check("left pad", f"{found}: positions heed no padding", fault=True))
    else:
        found = f"alone and in a batch differ by {worst:.2g}; the numbers spread {spread:.2g}"
        checks.append(Check("padding", found, noise=worst))
    return checks


async def _against_reference(
    config: ModelConfig, model: EngineModel, rows: list[list[int]], got: list[float]
) -> Check:
    engine = cast("Referenced", model.engine)
    reference = [await _bare(engine, row) for row in rows]
    label = int(config.settings.engine.get("label") or 0)
    wanted = [outputs[label] for outputs in reference]
    near = _nearness(wanted, model)
    if near(got, wanted):
        return Check("activation off", "the numbers are the bare model's logits")
    if all(value == 1.0 for value in got):
        return Check("softmax of one", "every conversation earns exactly 1", fault=True)
    if near(got, [_sigmoid(x) for x in wanted]):
        return Check("sigmoid", "the numbers are squashed to between 0 and 1", fault=True)
    for other in range(len(reference[0])):
        if other != label and near(got, [outputs[other] for outputs in reference]):
            found = f"the numbers are those of output {other}, not of {label}"
            return Check("wrong label index", found, fault=True)
    early = await _read_early(engine, rows, label)
    if near(got, early):
        found = "the number is read before the response's end: the padding token ends turns too"
        return Check("pad = eos", found, fault=True)
    worst = max(abs(a - b) for a, b in zip(got, wanted, strict=True))
    return Check("bare model", f"the numbers differ from the bare model's by {worst:.2g}", True)


async def _bare(engine: Referenced, row: list[int]) -> list[float]:
    """What the bare model makes of a row."""
    outputs: list[float] = await engine.batcher.in_thread(partial(engine.reference, row))
    return outputs


async def _read_early(engine: Referenced, rows: list[list[int]], label: int) -> list[float]:
    """What the bare model says before the token, or its repetitions, with which a row ends."""
    early: list[float] = []
    for row in rows:
        shorter = list(row)
        while len(shorter) > 1 and shorter[-1] == row[-1]:
            shorter.pop()
        early.append((await _bare(engine, shorter))[label])
    return early


# ---- labels ------------------------------------------------------------------------------------


async def _labels(model: EngineModel) -> list[Check]:
    conversation = conversations()[0][:1]
    checks: list[Check] = []
    good: list[tuple[str, ...]] = []
    for labels in LABELS:
        try:
            model.prompter.label_ids(conversation, labels)
        except InvalidInput as error:
            checks.append(Check("labels", f"{', '.join(labels)}: {error}"))
        else:
            good.append(labels)
    if not good:
        found = "no label is one token after the rendered prompt"
        return [*checks, Check("labels", found, fault=True)]
    checks.append(Check("labels", f"one token each: {'; '.join(', '.join(x) for x in good)}"))
    ids = model.prompter.label_ids(conversation, good[0])
    rows = _rows(model, [c[:1] for c in conversations()], asks=True)
    try:
        alone = [(await model.engine.label_logprobs(row, ids))[0] for row in rows]

        async def first(row: list[int]) -> float:
            return (await model.engine.label_logprobs(row, ids))[0]

        together = await _together(first, rows)
    except Exception as error:  # noqa: BLE001 - whatever the engine raises
        return [*checks, Check("forward pass", f"{type(error).__name__}: {error}", fault=True)]
    if not all(map(math.isfinite, [*alone, *together])):
        return [*checks, Check("finite numbers", f"log-probabilities are {alone}", fault=True)]
    worst = max(abs(a - b) for a, b in zip(alone, together, strict=True))
    bound = 1e-3 if model.facts.dtype == "float32" else 0.5
    if worst > bound:
        found = f"a label's log-probability differs by {worst:.2g} in a batch with longer prompts"
        return [*checks, Check("padding", found, fault=True)]
    found = f"log-probabilities alone and in a batch: {worst:.2g} apart"
    checks.append(Check("padding", found, noise=worst))
    if isinstance(model.engine, Referenced):
        engine = model.engine
        logits = await _bare(engine, rows[-1])
        top = max(logits)
        total = top + math.log(sum(math.exp(x - top) for x in logits))
        apart = abs(alone[-1] - (logits[ids[0]] - total))
        fault = not apart <= bound
        found = f"label log-probabilities are {apart:.2g} from the bare model's"
        checks.append(Check("bare model", found, fault))
    return checks


# ---- golden items ------------------------------------------------------------------------------


async def _golden(config: ModelConfig, model: Model) -> Check:
    """Each item alone, and all again at once."""
    settings = config.settings
    asked: list[tuple[list[Message], float]] = []
    text = await asyncio.to_thread(Path(settings.golden).read_text, encoding="utf-8")
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            item = json.loads(line)
            asked.append((list(item["messages"]), finite(item["value"], "the value")))
        except (ValueError, KeyError, TypeError, RewardFault) as error:
            return Check("golden items", f"line {number} cannot be read: {error!r}", fault=True)
    if not asked:
        return Check("golden items", "the file holds none", fault=True)
    alone: list[float] = []
    try:
        for messages, _ in asked:
            alone.append((await model.scalar(messages, timeout_s=CALL_S)).value)
        again = await asyncio.gather(*(model.scalar(m, timeout_s=CALL_S) for m, _ in asked))
    except RewardFault as error:
        return Check("golden items", f"item {len(alone) + 1}: {error}", fault=True)
    if not all(map(math.isfinite, [*alone, *(one.value for one in again)])):
        return Check("golden items", f"the model says {alone}", fault=True)
    worst = max(abs(value - wanted) for value, (_, wanted) in zip(alone, asked, strict=True))
    noise = max(abs(value - other.value) for value, other in zip(alone, again, strict=True))
    found = (
        f"{len(asked)} items, at most {worst:.2g} from their values, {noise:.2g} apart when they"
        " are read again"
    )
    return Check("golden items", found, worst > settings.golden_tolerance, noise)


# ---- numbers -----------------------------------------------------------------------------------


async def _together(
    ask: Callable[[list[int]], Awaitable[float]], rows: list[list[int]]
) -> list[float]:
    # The longest first: a batch is what goes with its first one, and that is nothing longer.
    order = sorted(range(len(rows)), key=lambda index: -len(rows[index]))
    told = await asyncio.gather(*(ask(rows[index]) for index in order))
    return [value for _index, value in sorted(zip(order, told, strict=True))]


def _spread(values: Sequence[float]) -> float:
    return max(max(values) - min(values), 1e-3)


def _allowed(model: Model) -> float:
    return TOLERANCE.get(model.facts.dtype, COARSE)


def _nearness(
    wanted: Sequence[float], model: Model
) -> Callable[[Sequence[float], Sequence[float]], bool]:
    """Whether two lists of numbers are the same, as far as the model's type can tell."""
    allowed = _allowed(model) * _spread(wanted)

    def near(a: Sequence[float], b: Sequence[float]) -> bool:
        return all(abs(x - y) <= allowed for x, y in zip(a, b, strict=True))

    return near


def _sigmoid(value: float) -> float:
    odds = math.exp(min(value, -value))
    return 1 / (1 + odds) if value >= 0 else odds / (1 + odds)
