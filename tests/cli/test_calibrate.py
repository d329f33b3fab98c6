"""`rewardplane calibrate`: from labelled values to a panel that uses them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from rewardplane.cli.commands import app
from rewardplane.config.load import ConfigError, parse
from rewardplane.rewards.compose.combining import Combined, Combining
from typer.testing import CliRunner


def run(folder: Path, rows: list[Any], *options: str) -> Any:
    data = folder / "data.jsonl"
    data.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows))
    return CliRunner().invoke(app, ["calibrate", str(data), str(folder / "out.json"), *options])


def panel(folder: Path) -> Any:
    entry = {"kind": "panel", "members": {"judge": {"calibration": "out.json"}}}
    return parse({"rewards": {"judge": {"kind": "exact"}, "panel": entry}}, folder)


def test_what_is_fitted_is_what_the_panel_uses(tmp_path: Path) -> None:
    rows = [{"value": v, "label": 2 * v - 1} for v in (1, 2, 3)]
    done = run(tmp_path, [*rows, {"value": None, "label": 1}, ""])
    assert done.exit_code == 0, done.output
    assert "3 rows, 1 without a value left out" in done.output
    config = panel(tmp_path)
    built = config.rewards["panel"].build()
    assert isinstance(built, Combining)
    assert built.combine({"judge": 5.0}) == Combined(9.0, (0.0, 1.0))
    # The file travels with the configuration, and decides its digest.
    (tmp_path / "out.json").write_text('{"method": "affine", "scale": 3}')
    assert panel(tmp_path).rewards["panel"].digest != config.rewards["panel"].digest


def test_lines_of_score_with_labels_beside(tmp_path: Path) -> None:
    rows = [
        {
            "outcomes": [{"reward": 9, "components": {"a.b": 0}}, {"error": "RAISED"}],
            "label": [0, 5],
        },
        {"outcomes": [{"reward": 7, "components": {"a.b": 1}}], "label": [1]},
    ]
    done = run(tmp_path, rows, "--value", "components.a.b", "--method", "isotonic")
    assert done.exit_code == 0, done.output
    assert json.loads((tmp_path / "out.json").read_text())["points"] == [[0, 0], [1, 1]]


REFUSED: list[tuple[list[Any], list[str], str]] = [
    (["{"], [], "line 1: is no JSON"),
    (["[]"], [], "line 1: want an object"),
    ([{"value": 1}], [], "line 1: no number at 'label'"),
    ([{"outcomes": [None], "label": [1, 2]}], [], "not one label for each outcome"),
    ([{"value": 1, "label": 1}], [], "at least 2"),
    ([{"value": 1, "label": 1}], ["--method", "magic"], "want one of affine"),
    ([{"v": 1, "label": 1}] * 3, [], "3 rows have no number at 'value'"),
]


@pytest.mark.parametrize(("rows", "options", "fault"), REFUSED)
def test_what_cannot_be_fitted(
    tmp_path: Path, rows: list[Any], options: list[str], fault: str
) -> None:
    done = run(tmp_path, rows, *options)
    assert done.exit_code == 1
    assert fault in done.output.replace("\n", " ").replace("  ", " ")
    assert not (tmp_path / "out.json").exists()


@pytest.mark.parametrize(
    ("text", "fault"), [(None, "No such file"), ("{", "is no JSON"), ('{"method": "x"}', "method")]
)
def test_a_calibration_that_cannot_be_read(tmp_path: Path, text: str | None, fault: str) -> None:
    if text is not None:
        (tmp_path / "out.json").write_text(text)
    with pytest.raises(ConfigError, match=fault):
        panel(tmp_path)
