"""The documents name what there is."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest
import yaml
from rewardplane.access.settings import Access, Grant, JwtIssuer, Quota, Tls
from rewardplane.cli.commands import app
from rewardplane.config.load import parse
from rewardplane.config.models import ModelSettings
from rewardplane.config.replicas import ReplicaRange
from rewardplane.config.settings import HttpSettings, Limits, RewardSettings
from rewardplane.gateway.gauges import gauges
from rewardplane.gateway.metrics import Metrics
from rewardplane.rewards import Reason
from rewardplane.rewards.models.model_endpoint import ModelEndpoint
from rewardplane.rewards.registry import kinds
from rewardplane.rewards.sandbox.level import Level
from rewardplane.rewards.sandbox.limits import Limits as SandboxLimits
from rewardplane.rewards.sandbox.verdict import Verdict
from typer.main import get_command

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "deploy" / "README.md"]
DOCUMENTS += sorted((ROOT / "docs").glob("*.md"))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: str(d.relative_to(ROOT)))
def test_links_and_names_of_files_lead_somewhere(document: Path) -> None:
    text = document.read_text()
    lost: list[str] = []
    for link in re.findall(r"\[[^\]]*\]\(([^)\s]+)\)", text):
        name, _, anchor = link.partition("#")
        if re.match(r"https?:|mailto:", link):
            continue
        target = document.parent / name if name else document
        if not target.exists() or (anchor and anchor not in anchors(target.read_text())):
            lost.append(link)
    folders = "tests|deploy|service|docs|rewards|proto|examples|\\.ci"
    names = re.findall(rf"`((?:{folders})/[\w./*-]+)`", text)
    lost += [name for name in names if not list(ROOT.glob(name.rstrip("/")))]
    assert lost == []


def anchors(text: str) -> set[str]:
    """The anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.M)
    return {re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in headings}


def told_everywhere() -> str:
    return "\n".join(document.read_text() for document in DOCUMENTS)


def commands(command: Any, name: str) -> Iterator[tuple[str, click.Command]]:
    """A command and those below it, by full name."""
    yield name, command
    for of, each in getattr(command, "commands", {}).items():
        yield from commands(each, f"{name} {of}")


def test_commands_and_their_options_are_told_and_are_there() -> None:
    text = told_everywhere()
    options: dict[str, set[str]] = {}
    for name, command in commands(get_command(app), "rewardplane"):
        named = [p for p in command.params if isinstance(p, click.Option) or hasattr(p, "is_flag")]
        options[name] = {max(p.opts, key=len) for p in named}
    assert len(options) > 12
    assert {name for name in options if name not in text} == set()
    ours = set().union(*options.values()) - {"--install-completion", "--show-completion"}
    told = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text))
    assert {option for option in ours if option not in told} == set()
    for called in re.findall(r"`rewardplane ((?:[a-z-]+)(?: [^`]*)?)`", text):
        name = f"rewardplane {called.split()[0]}"
        assert name in options, called
        either = {o.replace("--", "--no-", 1) for o in options[name]} | options[name] | {"--help"}
        assert set(re.findall(r"(?<![\w-])--[a-z-]+", called)) <= either, called


def test_metrics_are_told_and_are_there() -> None:
    text = (ROOT / "docs" / "operating.md").read_text()
    rows = re.findall(r"^\| (`rewardplane_.*?) \|", text, re.MULTILINE)
    told = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    families = Metrics().registry.collect()
    found = {f.name + "_total" * (f.type == "counter") for f in families}
    nobody: Any = SimpleNamespace(limits=None, connections=None)
    found |= {*gauges(nobody, nobody), "rewardplane_config_generation"}
    assert {name for name in found if name.startswith("rewardplane_")} == told


def test_every_parameter_of_a_kind_is_told() -> None:
    text = told_everywhere()
    names = {
        (kind, str(info.alias or name))
        for kind, reward in kinds().items()
        for name, info in reward.model_fields.items()
    }
    assert len(names) > 80
    assert {one for one in names if not re.search(rf"\b{one[1]}\b", text)} == set()


def test_what_a_model_and_the_http_port_may_have_set_is_told() -> None:
    text = told_everywhere()
    models = ModelSettings, ModelEndpoint, ReplicaRange, HttpSettings
    fields = {name for model in models for name in model.model_fields}
    fields -= {"endpoint"}  # its own fields stand in its place
    assert {name for name in fields if not re.search(rf"\b{name}\b", text)} == set()


def test_every_kind_is_told_with_its_lane() -> None:
    text = (ROOT / "docs" / "rewards.md").read_text()
    lanes = "inline|pool|sandbox|model|composite"
    told = dict(re.findall(rf"^\| `(\w+)` \| ({lanes}) \|", text, re.MULTILINE))
    usual = {n: "inline" if k.fits_inline else "pool" for n, k in kinds().items()}
    # Kinds that always run untrusted code; others may, as they are configured.
    asking = dict.fromkeys(("reward_model", "judge", "pairwise", "rubric"), "model")
    always = ("code_tests", "program_run", "snippet")
    composed = dict.fromkeys(("composite", "panel", "best_of"), "composite")
    assert told == {**usual, **asking, **dict.fromkeys(always, "sandbox"), **composed}


def test_every_setting_and_limit_is_told() -> None:
    text = (ROOT / "docs" / "operating.md").read_text()
    for name in (*RewardSettings.model_fields, *Limits.model_fields):
        assert re.search(rf"^ +{name}: ", text, re.MULTILINE), name


def test_every_reason_is_told_with_whether_it_is_worth_another_try() -> None:
    text = (ROOT / "README.md").read_text()
    told = dict(re.findall(r"^\| `([A-Z_]+)` \|.*\| (yes|no) \|$", text, re.MULTILINE))
    from rewardplane.rewards.types import RETRYABLE

    assert told == {r.name: "yes" if r in RETRYABLE else "no" for r in Reason}


def test_the_judges_can_be_served(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "judges.md").read_text()
    told = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    (tmp_path / "smollm2").mkdir()
    config = told[0].replace("/models/Skywork-Reward-V2-Qwen3-0.6B", "smollm2")
    example = (ROOT / "examples" / "judges" / "rewards.yaml").read_text()
    for document in (config, example):
        served = parse(yaml.safe_load(document), tmp_path)
        assert {reward.lane for reward in served.rewards.values()} == {"model"}
        assert {"judge", "pairwise", "rubric"} <= {
            reward.settings.kind for reward in served.rewards.values()
        }
    for line in told[1].splitlines():
        entry = {**yaml.safe_load(line), "kind": "judge", "model": "judge"}
        asked = {"models": yaml.safe_load(told[0])["models"], "rewards": {"it": entry}}
        del asked["models"]["skywork"]
        parse(asked, tmp_path)


def test_every_level_limit_and_verdict_of_the_sandbox_is_told() -> None:
    text = (ROOT / "docs" / "sandbox.md").read_text()
    rows = re.findall(r"^\| (.*?) \|", text, re.MULTILINE)
    told = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert told >= {level.name for level in Level}
    assert told >= {verdict.value for verdict in Verdict}
    assert told >= {field.name for field in dataclasses.fields(SandboxLimits)}


def test_the_tour_can_be_served(tmp_path: Path) -> None:
    text = (ROOT / "README.md").read_text()
    (config,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    (function,) = re.findall(r"```python\n(def .*?)```", text, re.DOTALL)
    (tmp_path / "brevity.py").write_text(function)
    served = parse(yaml.safe_load(config), tmp_path)
    assert served.rewards["brevity"].facts.unit == "group"


def test_the_access_file_that_is_told_can_be_read_and_has_every_setting() -> None:
    text = (ROOT / "docs" / "security.md").read_text()
    (document,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    Access.model_validate(yaml.safe_load(document))
    models = (Access, Tls, JwtIssuer, Grant, Quota)
    fields = {name for model in models for name in model.model_fields}
    assert {name for name in fields if name not in text} == set()


def test_every_refusal_is_told() -> None:
    text = (ROOT / "docs" / "security.md").read_text()
    source = "".join(path.read_text() for path in (ROOT / "service" / "access").glob("*.py"))
    found = re.findall(r'(?:refused\(|"why": )"([A-Z_]+)"', source)
    assert len(found) > 12
    assert {why for why in found if f"`{why}`" not in text} == set()
