"""`rewardplane check --data`: does a data set hold what the rewards need, line by line.

Each reward examines each example as it would before scoring a response: reference keys, types,
placeholders, golds that can be read, tests that can be parsed. No judge is asked, and no code of a
response is run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rewardplane.config.settings import Limits
from rewardplane.rewards.references import references
from rewardplane.rewards.reward import Reward
from rewardplane.rewards.types import Blob, Example, FileData, Group, Response, RewardFault
from rewardplane.wire.messages import group_to

from .dataset import examples
from .rows import Columns, NoRow

MAX_SHOWN = 50
"""Faults of one reward that are told line by line; the others are counted."""


@dataclass(slots=True, frozen=True)
class DataFault:
    """What is wrong with a line for a reward; `reward` is "" where it is wrong for every one."""

    line: int
    reward: str
    why: str

    def __str__(self) -> str:
        who = f"{self.reward}: " if self.reward else ""
        return f"line {self.line}: {who}{self.why}"


@dataclass(slots=True)
class DataReport:
    """What was looked at and what is wrong with it: all counts, and the first faults in words."""

    lines: int = 0
    faults: list[DataFault] = field(default_factory=list[DataFault])
    counts: Counter[str] = field(default_factory=Counter[str])

    def add(self, fault: DataFault) -> None:
        """Counts a fault, and keeps it where few of its reward are kept so far."""
        self.counts[fault.reward] += 1
        if self.counts[fault.reward] <= MAX_SHOWN:
            self.faults.append(fault)

    def told(self) -> Iterator[str]:
        """The faults, a line each, and how many are not told."""
        yield from map(str, self.faults)
        for reward, count in self.counts.items():
            if count > MAX_SHOWN:
                yield f"{reward or 'the file'}: {count - MAX_SHOWN} faults more"


def check_data(
    path: Path,
    rewards: Mapping[str, Reward],
    limits: Limits,
    columns: Columns = Columns(),  # noqa: B008 - frozen
    *,
    hosted: bool = False,
) -> DataReport:
    """Examines each line for each reward. `hosted`: for Gemini's hosted tuning as well.

    Raises:
        BadLine: the file is not what its name says, or pyarrow is not there for parquet.
        OSError: the file cannot be read.
    """
    for reward in rewards.values():
        reward.check()
    report = DataReport()
    seen: dict[str, int] = {}
    for number, example in examples(path, columns):
        report.lines += 1
        if isinstance(example, NoRow):
            report.add(DataFault(number, "", example.why))
            continue
        for why in _faults(example, limits):
            report.add(DataFault(number, "", why))
        if example.id and seen.setdefault(example.id, number) != number:
            why = f"its id {example.id!r} is that of line {seen[example.id]} too"
            report.add(DataFault(number, "", why))
        for why in hosted_faults(example) if hosted else ():
            report.add(DataFault(number, "", why))
        for name, reward in rewards.items():
            try:
                reward.examine(example)
            except RewardFault as fault:
                report.add(DataFault(number, name, f"{fault.reason.name}: {fault}"))
    if hosted and report.lines > HOSTED_EXAMPLES:
        why = f"{report.lines} examples; the hosted service takes {HOSTED_EXAMPLES:,}"
        report.add(DataFault(report.lines, "", why))
    return report


def _faults(example: Example, limits: Limits) -> Iterator[str]:
    """What is wrong with an example whatever the reward."""
    try:
        references(example, Response(""))
    except RewardFault as fault:
        yield str(fault)
    size = group_to(Group(example, [Response("")])).ByteSize()
    if size > limits.max_item_bytes:
        yield f"{size:,} bytes; limits.max_item_bytes is {limits.max_item_bytes:,}"


HOSTED_EXAMPLES = 5_000
# Files of a prompt and bytes of a file, by the first word of the MIME type. Source: the page on
# tuning data of Gemini's reinforcement tuning.
_HOSTED_MEDIA = {"audio": (15, 100_000_000), "video": (10, 20_000_000), "image": (15, 20_000_000)}


def hosted_faults(example: Example) -> Iterator[str]:
    """What Gemini's hosted tuning would not take of an example."""
    if not example.contents:
        yield "contents: the hosted service wants a prompt"
    elif example.contents[-1].role not in ("", "user"):
        yield f"contents end on a turn of {example.contents[-1].role!r}; want one of the user"
    for key in example.json_references:
        yield f"references.{key}: the hosted service takes strings only; encode it as JSON in one"
    system = example.system_instruction
    if system is not None and any(not isinstance(part.data, str) for part in system.parts):
        yield "systemInstruction: the hosted service takes text only"
    yield from _media_faults(part.data for turn in example.contents for part in turn.parts)


def _media_faults(parts: Iterable[object]) -> Iterator[str]:
    counts: Counter[str] = Counter()
    for data in parts:
        if not isinstance(data, Blob | FileData):
            continue
        kind = data.mime_type.partition("/")[0]
        if kind not in _HOSTED_MEDIA:
            yield f"a part of type {data.mime_type!r}: want one of {', '.join(_HOSTED_MEDIA)}"
            continue
        counts[kind] += 1
        most = _HOSTED_MEDIA[kind][1]
        if isinstance(data, Blob) and len(data.data) > most:
            yield f"a part of {len(data.data):,} bytes; {kind} files have at most {most:,}"
    for kind, count in counts.items():
        if count > _HOSTED_MEDIA[kind][0]:
            yield f"{count} {kind} files; a prompt has at most {_HOSTED_MEDIA[kind][0]}"
