"""`rewardplane check --data`: all that is wrong with a data set, by line, and nothing else."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rewardplane.cli.check_data import DataFault, check_data
from rewardplane.cli.commands import app
from rewardplane.cli.dataset import BadLine
from rewardplane.cli.rows import Columns
from rewardplane.config.settings import Limits
from rewardplane.rewards.registry import build
from typer.testing import CliRunner

LINE: dict[str, Any] = {
    "contents": [{"role": "user", "parts": [{"text": "9+9?"}]}],
    "references": {
        "answer": "18",
        "letter": "B",
        "pattern": "18|eighteen",
        "schema": {"type": "object"},
        "tests": {"inputs": ["1\n"], "outputs": ["1\n"]},
        "rubric": "is it 18?",
    },
}
MATCH = {"matchOperation": "EXACT_MATCH", "expression": "{{references.answer}}"}
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "math": ("math", {}),
    "numeric": ("numeric", {}),
    "choice": ("choice", {"reference": "letter"}),
    "regex": ("regex", {"reference": "pattern"}),
    "schema": ("json_schema", {"reference": "schema"}),
    "code": ("code_tests", {"reference": "tests"}),
    "gemini": (
        "gemini",
        {
            "config": {
                "stringMatchRewardScorer": {
                    "correctAnswerReward": 1,
                    "stringMatchExpression": MATCH,
                }
            }
        },
    ),
    "judge": (
        "gemini",
        {
            "config": {
                "autoraterScorer": {
                    "autoraterPrompt": "{{references.rubric}} {{response}}: 0 or 1?",
                    "autoraterConfig": {"autoraterModel": "m"},
                    "parsedResponseConversionScorer": {},
                }
            },
            "judge": {"base_url": "http://127.0.0.1:9/v1"},
        },
    ),
    "openai": (
        "openai_grader",
        {
            "grader": {
                "type": "string_check",
                "name": "x",
                "operation": "eq",
                "input": "{{sample.output_json.answer}}",
                "reference": "{{item.answer}}",
            }
        },
    ),
}
REWARDS = {name: build(kind, params) for name, (kind, params) in KINDS.items()}


def changed(**references: Any) -> dict[str, Any]:
    """The good line with other references; None: without."""
    merged = {**LINE["references"], **references}
    return {**LINE, "references": {k: v for k, v in merged.items() if v is not None}}


# Each with who is to name it.
FAULTS: list[tuple[Any, set[str]]] = [
    (changed(answer=None), {"math", "numeric", "gemini", "openai"}),
    (changed(answer="\\frac{1"), {"math", "numeric"}),
    (changed(answer=""), {"math", "numeric", "gemini"}),
    (changed(letter="none of them"), {"choice"}),
    (changed(pattern="(18"), {"regex"}),
    (changed(schema={"type": "objekt"}), {"schema"}),
    (changed(schema=None), {"schema"}),
    (changed(tests={"inputs": ["1\n"]}), {"code"}),
    (changed(rubric=None), {"judge"}),
    ("{not json", {""}),
    ({**LINE, "contents": "9+9?"}, {""}),
    ({**LINE, "references": ["18"]}, {""}),
]


def written(path: Path, rows: list[Any]) -> Path:
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    opened: Any = gzip.open if path.suffix == ".gz" else open
    with opened(path, "wt") as file:
        file.write("\n".join(lines))
    return path


@pytest.mark.parametrize("name", ["data.jsonl", "data.jsonl.gz"])
def test_twelve_planted_faults_are_told_with_their_lines_and_nothing_else(
    tmp_path: Path, name: str
) -> None:
    rows: list[Any] = []
    due: set[tuple[int, str]] = set()
    for row, who in FAULTS:
        rows += [LINE, row, LINE]
        due |= {(len(rows) - 1, each) for each in who}
    report = check_data(written(tmp_path / name, rows), REWARDS, Limits())
    assert report.lines == len(rows)
    assert {(fault.line, fault.reward) for fault in report.faults} == due
    assert report.counts.total() == len(due)


def test_a_good_line_has_no_fault_and_asks_nobody(tmp_path: Path) -> None:
    """The judge's address answers nobody: it would be UNAVAILABLE."""
    assert not check_data(written(tmp_path / "a.jsonl", [LINE]), REWARDS, Limits()).counts


def test_an_example_that_is_too_large_and_an_id_that_stands_twice(tmp_path: Path) -> None:
    large = {**LINE, "contents": [{"parts": [{"text": "x" * 2_000}]}]}
    rows = [{**LINE, "id": "a"}, {**large, "id": "b"}, {**LINE, "id": "a"}]
    path = written(tmp_path / "a.jsonl", rows)
    report = check_data(path, {}, Limits(max_item_bytes=1_500))
    told = [str(fault) for fault in report.faults]
    assert told[0].startswith("line 2: 2,")
    assert told[1] == "line 3: its id 'a' is that of line 1 too"
    assert len(told) == 2


def test_faults_of_one_reward_do_not_hide_those_of_another(tmp_path: Path) -> None:
    rows = [changed(answer=None)] * 200 + [changed(letter="?")]
    two = {"math": REWARDS["math"], "choice": REWARDS["choice"]}
    report = check_data(written(tmp_path / "a.jsonl", rows), two, Limits())
    told = list(report.told())
    assert any(line.startswith("line 201: choice") for line in told)
    assert told[-1] == "math: 150 faults more"


def test_rows_of_trainers_and_parquet(tmp_path: Path) -> None:
    trl = [{"prompt": "9+9?", "solution": "18"}, {"prompt": "9+9?", "solution": "no number"}]
    numeric = {"n": build("numeric", {"reference": "answer"})}
    columns = Columns(rename={"solution": "answer"})
    report = check_data(written(tmp_path / "a.jsonl", trl), numeric, Limits(), columns)
    assert [(fault.line, fault.reward) for fault in report.faults] == [(2, "n")]
    verl = [
        {
            "data_source": "gsm8k",
            "prompt": [{"role": "user", "content": "9+9?"}],
            "reward_model": {"ground_truth": gold, "style": "rule"},
        }
        for gold in ("18", "", "19")
    ]
    pq.write_table(pa.Table.from_pylist(verl), tmp_path / "a.parquet")
    exact = {"e": build("exact", {"reference": "ground_truth"})}
    report = check_data(tmp_path / "a.parquet", exact, Limits())
    assert [fault.line for fault in report.faults] == [2]


@pytest.mark.parametrize("name", ["a.parquet", "a.jsonl.gz"])
def test_a_file_that_is_not_what_its_name_says(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b'{"contents": []}\n' * 3)
    with pytest.raises(BadLine, match=name):
        check_data(tmp_path / name, {}, Limits())


def test_what_the_hosted_service_would_not_take(tmp_path: Path) -> None:
    image = {"fileData": {"mimeType": "image/png", "fileUri": "gs://x"}}
    rows = [
        {**LINE, "references": {"answer": "18"}},
        LINE,
        {"contents": [{"role": "user", "parts": [image] * 16}], "references": {"answer": "18"}},
        {"contents": [{"role": "model", "parts": [{"text": "x"}]}], "references": {}},
    ]
    path = written(tmp_path / "a.jsonl", rows)
    assert not check_data(path, {}, Limits()).counts
    faults = check_data(path, {}, Limits(), hosted=True).faults
    strings = "the hosted service takes strings only; encode it as JSON in one"
    assert faults == [
        DataFault(2, "", f"references.{key}: {strings}") for key in ("schema", "tests")
    ] + [
        DataFault(3, "", "16 image files; a prompt has at most 15"),
        DataFault(4, "", "contents end on a turn of 'model'; want one of the user"),
    ]


def test_the_command_tells_lines_and_fails(tmp_path: Path) -> None:
    config = tmp_path / "rewards.yaml"
    config.write_text("rewards: {math: {kind: math}, choice: {kind: choice, reference: letter}}")
    path = written(tmp_path / "a.jsonl", [LINE, changed(answer=None), changed(letter="?")])
    runner = CliRunner()
    told = runner.invoke(app, ["check", str(config), "--data", str(path)])
    assert told.exit_code == 1
    assert "line 2: math: INVALID_REFERENCE: reference 'answer' is missing" in told.output
    assert "line 3: choice: INVALID_REFERENCE" in told.output
    only = ["check", str(config), "--data", str(path), "--reward", "math", "--reward", "nothing"]
    assert runner.invoke(app, only).exit_code == 2
    good = written(tmp_path / "b.jsonl", [LINE])
    assert runner.invoke(app, ["check", str(config), "--data", str(good)]).exit_code == 0


def test_of_a_composite_its_members_are_examined(tmp_path: Path) -> None:
    config = tmp_path / "rewards.yaml"
    config.write_text(
        "rewards: {math: {kind: math}, choice: {kind: choice, reference: letter}, "
        "sum: {kind: composite, formula: math + both}, both: {kind: composite, formula: 2 * math}}"
    )
    path = written(tmp_path / "a.jsonl", [LINE, changed(answer=None), changed(letter="?")])
    runner = CliRunner()
    args = ["check", str(config), "--data", str(path), "--reward", "sum"]
    told = runner.invoke(app, args)
    assert told.exit_code == 1
    assert "line 2: math: INVALID_REFERENCE" in told.output
    assert "choice:" not in told.output
    assert "3 lines, 1 faults for math" in told.output
    told = runner.invoke(app, ["check", str(config), "--fixtures"])
    assert told.exit_code == 0, told.output
    for name in ("sum", "both"):
        assert f"{name}: not tried itself, only its members" in told.output
    assert "math: " in told.output
