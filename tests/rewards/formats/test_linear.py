"""No reader takes more than in proportion to what it reads: 64 kB against 1 MB, hostile texts."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from rewardplane.rewards.formats.gemini.checks import read_config
from rewardplane.rewards.formats.gemini.labels import Labels, is_right
from rewardplane.rewards.formats.gemini.parse import Parse
from rewardplane.rewards.formats.gemini.reader import loads
from rewardplane.rewards.formats.gemini.schema import ParseResponseConfig, ParseType
from rewardplane.rewards.formats.openai.variables import check_template, filled
from rewardplane.rewards.functions.arguments import for_grade
from rewardplane.rewards.models.refusal import is_refusal
from rewardplane.rewards.models.thoughts import without_thoughts
from rewardplane.rewards.text.template import placeholders, render
from rewardplane.rewards.types import Example, Response, RewardFault

SMALL, LARGE = 2**16, 2**20
LABELS = Labels("Yes or No", None, extracted=False, open_ended=True)
PARSE = Parse(
    ParseResponseConfig(parseType=ParseType.REGEX_EXTRACT, regexExtractExpression="<a>(.*?)</a>"),
    strip=True,
    dot_matches_newline=True,
)


def filled_with(text: str) -> None:
    sample = for_grade(Example(), Response(text))["sample"]
    filled("{{ sample.output_json.missing }} {{sample.output_text}}", {"sample": sample})


READERS: dict[str, Callable[[str], Any]] = {
    "thoughts": without_thoughts,
    "refusal": is_refusal,
    "label": lambda text: is_right(text, "Yes", LABELS),
    "label in a long prompt": lambda text: is_right(
        "No", "Yes", Labels(text, None, extracted=False, open_ended=False)
    ),
    "parse": PARSE,
    "placeholders": placeholders,
    "template": lambda text: render(text, lambda path: path),
    "check_template": check_template,
    "sample": filled_with,
    "reward configuration": lambda text: read_config(loads(text)),
}
PIECES = [
    *("{", "{{", "{{a", "{{ a }}", "}} {{", "{{a ", " ", "\n", "<a>", "</a>", "<a></a>", "<think>"),
    *("</think>", "<think></think>", "<|channel|>", "I ", "I am sorry ", "Yes ", '{"a":', "[", '"'),
    *("a", "_", ".", "{{item.", "{{sample.a[", "\\", "sorry, ", "ß", "…"),
]
UNKNOWN_KEYS = {
    size: json.dumps({f"rewardNam{i}": i for i in range(size // 24)}) for size in (SMALL, LARGE)
}


def seconds(reader: Callable[[str], Any], text: str) -> float:
    begin = time.process_time()
    with contextlib.suppress(ValueError, RewardFault):
        reader(text)
    return time.process_time() - begin


@pytest.mark.parametrize("name", READERS)
def test_time_grows_as_the_text_does(name: str) -> None:
    reader = READERS[name]
    for piece in PIECES:
        texts = [(piece * (size // len(piece) + 1))[:size] for size in (SMALL, LARGE)]
        small, large = (seconds(reader, text) for text in texts)
        assert large < 40 * max(small, 0.02), (piece, small, large)


@pytest.mark.parametrize("spaces", ["{{a%s", "{{%sa", "{{a%s}", "{{a%s{", "<a>%s", "%s</think>"])
@pytest.mark.parametrize("name", READERS)
def test_time_grows_as_a_run_of_blanks_does(name: str, spaces: str) -> None:
    small, large = (seconds(READERS[name], spaces % (" " * size)) for size in (SMALL, LARGE))
    assert large < 40 * max(small, 0.02), (small, large)


@pytest.mark.parametrize("name", ["sample", "reward configuration"])
def test_time_grows_as_the_number_of_keys_does(name: str) -> None:
    small, large = (seconds(READERS[name], UNKNOWN_KEYS[size]) for size in (SMALL, LARGE))
    assert large < 40 * max(small, 0.02), (small, large)
    assert large < 2
