"""Data sets as trainers have them, read row by row: TRL, verl, OpenAI reinforcement fine-tuning.

============= ================================== ===============================================
from          told by                            references
============= ================================== ===============================================
rewardplane   `contents`, or `references`        `references` (see `dataset.py`)
verl          `reward_model.ground_truth`        `ground_truth`, `data_source`, `extra_info`'s
TRL           `prompt`                           all other columns
OpenAI RFT    `messages`                         all other columns
============= ================================== ===============================================

JSON lines, as they are or gzipped, and, with pyarrow, parquet. The responses stand in a column of
the file: `responses`, `completions`, `response` or `completion`, or the one that the caller names,
which may be that of the gold: whether a reward gives the gold itself full marks is the first thing
to know of it.
"""

from __future__ import annotations

import gzip
import importlib
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, cast

from rewardplane.client.rows import example, response
from rewardplane.rewards.types import Example, Group

PROMPT_COLUMNS = ("prompt", "messages")
RESPONSE_COLUMNS = ("responses", "completions", "response", "completion")
"""The columns that hold responses where the caller names none; they are no references."""

_PARQUET_ROWS = 1_000


class NotReadable(ValueError):
    """A file is not of the form that its name says, or what reads that form is not installed."""


@dataclass(slots=True, frozen=True)
class Columns:
    """Which column holds the responses ("": see RESPONSE_COLUMNS), and columns' other names."""

    response: str = ""
    rename: Mapping[str, str] = field(default_factory=dict[str, str])


_JSON_SUFFIXES = ("", ".json", ".jsonl", ".ndjson", ".gz")
"""Names of files whose lines are told one by one where they are no JSON."""


@dataclass(slots=True, frozen=True)
class NoRow:
    """What stands in a file in the place of a row, and why it is none."""

    why: str


def documents(path: Path) -> Iterator[tuple[int, object]]:
    """The rows of a file with their numbers, from 1; empty lines are passed over.

    A line that is no JSON is a `NoRow`.

    Raises:
        NotReadable: it is not what its name says; or it is parquet, and pyarrow is not there.
        OSError: the file cannot be read.
    """
    begin = _begin(path)
    if path.suffix == ".parquet" or begin == b"PAR1":
        yield from enumerate(_parquet(path), 1)
        return
    opened: Any = gzip.open if path.suffix == ".gz" or begin[:2] == b"\x1f\x8b" else open
    is_json = path.suffix in _JSON_SUFFIXES
    with opened(path, "rb") as lines:
        try:
            for number, data in enumerate(cast("IO[bytes]", lines), 1):
                if not data.strip():
                    continue
                row = _row(data)
                if not is_json and isinstance(row, NoRow):
                    raise NotReadable(f"{path}: want JSON lines (.jsonl, .jsonl.gz) or parquet")
                is_json = True
                yield number, row
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise NotReadable(f"{path}: is no whole gzip file: {error}") from None


_FORMS = "want JSON lines (one object a line), those gzipped (.gz), or parquet (.parquet)"


def _begin(path: Path) -> bytes:
    """The first bytes of a file, which tell what it is; of a pipe nothing is taken."""
    if not path.is_file():
        return b""
    with path.open("rb") as file:
        return file.read(4)


def _row(data: bytes) -> object:
    try:
        return json.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        return NoRow(f"is no text in UTF-8 (byte {error.start}); {_FORMS}")
    except (ValueError, RecursionError) as error:
        return NoRow(f"is no JSON: {error}; {_FORMS}")


def is_trainers(row: object) -> bool:
    """Whether a row is a trainer's: it has a prompt in their form, and nothing of ours."""
    if not isinstance(row, Mapping):
        return False
    fields = cast("Mapping[str, Any]", row)
    if "contents" in fields or isinstance(fields.get("references"), Mapping):
        return False
    return any(fields.get(name) is not None for name in PROMPT_COLUMNS)


def group(row: Mapping[str, Any], columns: Columns) -> Group:
    """The example and the responses of a trainer's row.

    Raises:
        ValueError: it has no responses, or `columns` names a column that there is not.
        TypeError: a value is of a type that cannot be sent.
    """
    known = _responses(row, columns.response)
    return Group(example_of(row, columns), [response(text) for text in known])


def example_of(row: Mapping[str, Any], columns: Columns) -> Example:
    """The example of a trainer's row, whether or not there are responses to it.

    Raises:
        ValueError: `columns` names a column that there is not.
        TypeError: a value is of a type that cannot be sent.
    """
    prompt, references = _split(row, columns.response)
    return example(prompt, references, columns.rename)


def _responses(row: Mapping[str, Any], name: str) -> Sequence[Any]:
    if not name:
        name = next((known for known in RESPONSE_COLUMNS if row.get(known) is not None), "")
    if row.get(name) is None:
        there = ", ".join(row)
        what = f"column {name!r}" if name else "column of responses"
        raise ValueError(f"there is no {what}; name the one to score with --response: {there}")
    value = row[name]
    if isinstance(value, list) and not _is_conversation(cast("list[object]", value)):
        if not value:
            raise ValueError(f"{name}: want at least one response")
        return cast("list[Any]", value)
    return [value if isinstance(value, str | list | Mapping) else json.dumps(value)]


def _is_conversation(value: list[object]) -> bool:
    return bool(value) and isinstance(value[0], Mapping) and "role" in value[0]


def _split(row: Mapping[str, Any], named: str) -> tuple[Any, dict[str, Any]]:
    """The prompt of a row, and its other columns; the one that the caller named is one of them."""
    rest = {k: v for k, v in row.items() if k == named or k not in RESPONSE_COLUMNS}
    name = next(name for name in PROMPT_COLUMNS if rest.get(name) is not None)
    prompt = rest.pop(name)
    spec = rest.get("reward_model")
    if isinstance(spec, Mapping) and "ground_truth" in spec:
        # verl: what its reward functions are called with.
        verl = {"ground_truth": cast("Mapping[str, Any]", spec)["ground_truth"]}
        if "data_source" in rest:
            verl["data_source"] = rest["data_source"]
        extra = rest.get("extra_info")
        own: Mapping[str, Any] = {}
        if isinstance(extra, Mapping):
            own = cast("Mapping[str, Any]", extra)
        kept = {named: rest[named]} if named in rest else {}
        return prompt, {**own, **kept, **verl}
    return prompt, rest


def _parquet(path: Path) -> Iterator[object]:
    try:
        parquet: Any = importlib.import_module("pyarrow.parquet")
    except ModuleNotFoundError:
        raise NotReadable(
            f"{path} is parquet, which is read with pyarrow: pip install 'rewardplane[data]'"
        ) from None
    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=_PARQUET_ROWS):
                yield from batch.to_pylist()
    except ValueError as error:
        raise NotReadable(f"{path}: {error}") from None
