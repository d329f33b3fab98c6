"""Data sets as trainers have them: the rows of TRL, verl and OpenAI, as they are."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rewardplane.cli.dataset import BadLine, Line, read
from rewardplane.cli.rows import Columns
from rewardplane.cli.score_file import score_file
from rewardplane.rewards.references import references
from rewardplane.wire.messages import example_from, group_to, response_from
from rich.console import Console

from ..client.test_client_process import server

TRL = {"prompt": "9+9?", "solution": "18", "level": 3, "completion": "A: 18"}
TRL_CHAT = {
    "prompt": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "9+9?"}],
    "solution": "18",
    "completion": [{"role": "assistant", "content": "A: 18"}],
}
VERL = {
    "data_source": "openai/gsm8k",
    "prompt": [{"role": "user", "content": "9+9?"}],
    "ability": "math",
    "reward_model": {"ground_truth": "18", "style": "rule"},
    "extra_info": {
        "split": "train",
        "index": 0,
        "answer": "It is 18.\n#### 18",
        "question": "9+9?",
    },
}
RFT = {
    "messages": [{"role": "developer", "content": "be brief"}, {"role": "user", "content": "9+9?"}],
    "reference_answer": {"value": 18, "unit": None},
    "responses": ["A: 18", "A: 19"],
}


def lines(folder: Path, rows: Sequence[Any], columns: Columns | None = None) -> list[Line]:
    file = folder / "data.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return list(read(file, columns or Columns()))


def arrived(line: Line) -> tuple[Any, list[str], dict[str, Any]]:
    """The prompt's turns, the responses and the references, as the service reads them."""
    message = group_to(line.group)
    example = example_from(message.example)
    responses = [response_from(r) for r in message.responses]
    turns = [(c.role, c.text) for c in example.contents]
    if example.system_instruction is not None:
        turns.insert(0, ("system", example.system_instruction.text))
    return turns, [r.text for r in responses], references(example, responses[0])


def test_trl(tmp_path: Path) -> None:
    plain, chat = lines(tmp_path, [TRL, TRL_CHAT], Columns(rename={"solution": "answer"}))
    assert arrived(plain) == ([("user", "9+9?")], ["A: 18"], {"answer": "18", "level": 3})
    turns = [("system", "be brief"), ("user", "9+9?")]
    assert arrived(chat) == (turns, ["A: 18"], {"answer": "18"})
    assert chat.group.responses[0].turns
    assert plain.raw == TRL


def test_openai_reinforcement_fine_tuning(tmp_path: Path) -> None:
    (line,) = lines(tmp_path, [RFT])
    turns = [("system", "be brief"), ("user", "9+9?")]
    want = {"reference_answer": {"value": 18, "unit": None}}
    assert arrived(line) == (turns, ["A: 18", "A: 19"], want)


def test_verl_in_parquet(tmp_path: Path) -> None:
    file = tmp_path / "train.parquet"
    rows = [{**VERL, "extra_info": {**VERL["extra_info"], "index": i}} for i in range(2_500)]  # type: ignore[dict-item]
    pq.write_table(pa.Table.from_pylist(rows), file)
    with pytest.raises(BadLine, match="line 1: there is no column of responses; name the one"):
        next(read(file))
    # verl's rows have no response: the gold of GSM8K, with its working, is the first one to try.
    for row in rows:
        row["response"] = "It is 18.\n#### 18"
    pq.write_table(pa.Table.from_pylist(rows), file)
    found = list(read(file))
    assert [line.number for line in found] == list(range(1, 2_501))
    turns, texts, known = arrived(found[7])
    assert (turns, texts) == ([("user", "9+9?")], ["It is 18.\n#### 18"])
    assert known == {
        "ground_truth": "18",
        "data_source": "openai/gsm8k",
        "split": "train",
        "index": 7,
        "answer": "It is 18.\n#### 18",
        "question": "9+9?",
    }


def test_the_gold_itself_may_be_the_response(tmp_path: Path) -> None:
    row = {"prompt": "9+9?", "answer": "18"}
    (line,) = lines(tmp_path, [row], Columns(response="answer"))
    assert arrived(line) == ([("user", "9+9?")], ["18"], {"answer": "18"})
    (line,) = lines(tmp_path, [{**row, "answer": 18}], Columns(response="answer"))
    assert arrived(line) == ([("user", "9+9?")], ["18"], {"answer": 18})


def test_our_own_form_is_read_as_before(tmp_path: Path) -> None:
    ours = {"references": {"answer": "18"}, "responses": ["A: 18"], "prompt": "kept for the user"}
    bare = {"responses": ["x"]}
    first, second = lines(tmp_path, [ours, bare])
    assert first.group.example.references == {"answer": "18"}
    assert second.group.responses[0].text == "x"


@pytest.mark.parametrize(
    ("row", "columns", "message"),
    [
        (
            {"prompt": "q", "answer": "4"},
            Columns(),
            "name the one to score with --response: prompt",
        ),
        ({"prompt": "q"}, Columns(response="a"), "there is no column 'a'"),
        ({"prompt": "q", "responses": []}, Columns(), "want at least one response"),
        ({"prompt": "q", "response": "r"}, Columns(rename={"a": "b"}), "there is no column"),
        ({"prompt": 3, "response": "r"}, Columns(), "a prompt is int"),
        ({"prompt": [{"x": 1}], "response": "r"}, Columns(), "want a message"),
        ([1], Columns(), "want an object, not list"),
    ],
)
def test_what_cannot_be_read_is_named(
    row: Any, columns: Columns, message: str, tmp_path: Path
) -> None:
    with pytest.raises(BadLine) as caught:
        lines(tmp_path, [TRL, row], Columns(columns.response, columns.rename))
    assert "data.jsonl, line " in str(caught.value)
    if columns == Columns():
        assert "line 2" in str(caught.value)
    with pytest.raises(BadLine, match=r"line 1: ") as caught:
        lines(tmp_path, [row], columns)
    assert message in str(caught.value)


def test_parquet_without_pyarrow_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(BadLine, match=r"pip install 'rewardplane\[data\]'"):
        next(read(tmp_path / "data.parquet"))


def test_a_file_of_a_trainer_is_scored(tmp_path: Path) -> None:
    file = tmp_path / "data.jsonl"
    rows = [{"prompt": "q", "gold": str(i), "completion": str(i)} for i in range(5)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with server() as target:
        summary = score_file(
            *(file, "math", target, tmp_path / "out.jsonl", 30.0, Console(file=io.StringIO())),
            Columns(rename={"gold": "answer"}),
        )
    assert summary.rewards == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert summary.errors == 0
