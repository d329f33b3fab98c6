"""Every adapter has its row in docs/trainers.md and its folder of examples, and they name what
there is."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from rewardplane.config.load import parse

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
SHARED = {"columns", "failure_log", "named_function", "remote_reward"}
TRAINERS = sorted(
    path.stem
    for path in (ROOT / "service" / "integrations").glob("*.py")
    if path.stem not in {"__init__", *SHARED}
)
PAGE = (ROOT / "docs" / "trainers.md").read_text(encoding="utf-8").partition("## Settings")[0]
NAMES = {
    **{"trl": "TRL", "unsloth": "Unsloth", "ms_swift": "ms-swift", "openrlhf": "OpenRLHF"},
    **{"areal": "AReaL", "skyrl": "SkyRL", "prime_rl": "prime-rl", "tinker": "Tinker cookbook"},
    **{"open_instruct": "open-instruct", "nemo_rl": "NeMo RL", "nemo_gym": "NeMo Gym"},
    "roll": "ROLL",
}
# `rewardplane.integrations.NAME` and what follows it, by a dot, a colon or an import.
REFERENCE = re.compile(
    r"rewardplane\.integrations\.(\w+)(?:(?:[.:]| import )(\w+(?:, \w+)*))?(?![\w/])"
)

# Running an example may leave weights and logs beside it.
SOURCES = {".py", ".sh", ".yaml", ".toml", ".json", ".md", ".ipynb"}


@pytest.mark.parametrize("trainer", TRAINERS)
def test_it_has_a_row_with_what_was_tried(trainer: str) -> None:
    (row,) = re.findall(rf"^\| {re.escape(NAMES.get(trainer, trainer))} \|.*$", PAGE, re.MULTILINE)
    _, _, tried, lines, failing, _ = row.split("|")
    assert re.search(r"\*\*(run|own code|signature)\*\*|not run", tried)
    assert lines.strip()
    assert failing.strip()


@pytest.mark.parametrize("trainer", TRAINERS)
def test_it_has_an_example_that_says_whether_it_was_run(trainer: str) -> None:
    files = [path for path in (EXAMPLES / trainer).rglob("*") if path.is_file()]
    texts = {path: path.read_text(encoding="utf-8") for path in files}
    assert any(path.suffix in (".py", ".sh", ".yaml", ".toml") for path in files)
    assert trainer == "trl" or any("ot run here" in text for text in texts.values())
    for path, text in texts.items():
        if path.suffix == ".py":
            compile(text, str(path), "exec")
        elif path.suffix == ".yaml":
            assert yaml.safe_load(text)


def references() -> list[tuple[str, str, str]]:
    found: set[tuple[str, str, str]] = set()
    examples = (path for path in EXAMPLES.rglob("*") if path.suffix in SOURCES)
    for page in (ROOT / "README.md", ROOT / "docs" / "trainers.md", *examples):
        if page.is_file():
            for trainer, names in REFERENCE.findall(page.read_text(encoding="utf-8")):
                for name in names.split(", ") if names else [""]:
                    found.add((str(page.relative_to(ROOT)), trainer, name))
    return sorted(found)


# These classes are made when a framework asks for them, from its own.
LAZY = {"RewardplaneEnv", "RewardplaneEnvironment", "RewardplaneResourcesServer"}


@pytest.mark.parametrize(("page", "trainer", "name"), references())
def test_what_the_pages_import_is_there(page: str, trainer: str, name: str) -> None:
    module: Any = importlib.import_module(f"rewardplane.integrations.{trainer}")
    if name and name not in LAZY:
        assert hasattr(module, name), f"{page} names {trainer}.{name}"
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = module.nothing


def test_the_service_of_the_examples_can_be_served() -> None:
    document = yaml.safe_load((EXAMPLES / "rewards.yaml").read_text(encoding="utf-8"))
    assert set(parse(document, EXAMPLES).rewards) == {"math"}
