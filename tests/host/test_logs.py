"""Logs: one line an event, whatever strangers put into it."""

from __future__ import annotations

import json
import logging
import subprocess
import sys

import pytest
from rewardplane.host.logs import JsonFormatter, TextFormatter

EVIL = (
    "evil\n2026-11-28 12:00:00,000 INFO fake",
    "\r2026 INFO fake",
    "a\x1b[2Jb",
    "x\u2028y",
    "\x85next",
    "\x9b31m",
)


def record(text: str, **extra: str) -> logging.LogRecord:
    made = logging.LogRecord("rewardplane.x", logging.WARNING, "f", 1, "%s: failed", (text,), None)
    made.__dict__.update(extra)
    return made


@pytest.mark.parametrize("text", EVIL)
def test_a_text_cannot_begin_another_line(text: str) -> None:
    line = TextFormatter().format(record(text))
    assert len(line.splitlines()) == 1
    assert line.isprintable()
    told = JsonFormatter().format(record(text))
    assert len(told.splitlines()) == 1
    assert json.loads(told)["message"] == f"{text}: failed"


def test_json_lines_name_the_call() -> None:
    line = json.loads(JsonFormatter().format(record("x", request_id="r", job="j", reward="math")))
    assert (line["request_id"], line["job"], line["reward"]) == ("r", "j", "math")
    assert line["level"] == "warning"
    assert "step" not in line


def test_the_choice_reaches_processes_that_are_started() -> None:
    code = "import logging; from rewardplane.host import logs; logs.to_stderr();"
    code += "logging.getLogger('rewardplane.a').info('hello')"
    env = {"REWARDPLANE_LOG_FORMAT": "json", "REWARDPLANE_LOG_LEVEL": "info"}
    said = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, check=True)
    assert json.loads(said.stderr)["message"] == "hello"
