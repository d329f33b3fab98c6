"""The commands on rewards and data sets: check, score, compare."""

from __future__ import annotations

from contextlib import nullcontext
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer
from rewardplane.config.load import ConfigError, RewardConfig, ServiceConfig, load
from rewardplane.rewards.compose.combining import Combining
from rewardplane.rewards.types import Example
from rewardplane.wire.errors import CallError

from .console import (
    DEFAULT_TARGET,
    ERR,
    OUT,
    File,
    Json,
    Target,
    app,
    fail,
    print_json,
    reward_json,
    rewards_table,
    tell,
)
from .credentials import Authorities, Certificate, Key, Tls, Token, credentials_of
from .rows import Columns

Rename = Annotated[list[str] | None, typer.Option(help="A column's other name: solution=answer.")]


@app.command()
def check(
    config: File,
    allow_unknown: Annotated[
        bool, typer.Option(help="Fields of hosted configurations that are not known are no fault.")
    ] = False,
    as_json: Json = False,
    models: Annotated[
        bool, typer.Option("--models", help="Load each model, or ask its endpoint, and test it.")
    ] = False,
    data: Annotated[
        Path | None,
        typer.Option(help="A data set: does each line hold what the rewards need?"),
    ] = None,
    fixtures: Annotated[
        bool,
        typer.Option(
            "--fixtures",
            help="Run each reward on its fixtures, and on responses that no reward should accept.",
        ),
    ] = False,
    only: Annotated[
        list[str] | None,
        typer.Option("--reward", help="With --data and --fixtures: only these rewards."),
    ] = None,
    rename: Rename = None,
    hosted: Annotated[
        bool, typer.Option("--hosted", help="With --data: what Gemini's tuning takes as well.")
    ] = False,
) -> None:
    """Check a file of rewards without serving it; imports custom functions."""
    from . import models_report

    try:
        served = load(config)
    except ConfigError as error:
        fail(error)
    if as_json:
        print_json([reward_json(reward) for reward in served.rewards.values()])
    else:
        OUT.print(rewards_table(served))
    unknown = False
    for name, reward in served.rewards.items():
        built = reward.build()
        for warning in built.warnings:
            ERR.print(f"{name}: {warning}", style="yellow", markup=False)
        unknown = unknown or bool(built.unknown_fields)
    if not models_report.models(served, ERR if as_json else OUT, loads=models):
        raise typer.Exit(1)
    if unknown and not allow_unknown:
        raise typer.Exit(1)
    for name in only or ():
        if name not in served.rewards:
            raise typer.BadParameter(f"no reward is named {name!r}", param_hint="--reward")
    chosen = {name: served.rewards[name] for name in only or served.rewards}
    columns = _columns("", rename)
    single = _not_composed(chosen, served)
    sound = data is None or _check_data(data, single, served, columns, hosted)
    if fixtures:
        for name in (name for name in chosen if name not in single):
            why = "not tried itself, only its members: it is put together by a running service"
            OUT.print(f"{name}: {why} (`rewardplane score`)", markup=False, soft_wrap=True)
        sound = _check_fixtures(data, single, columns) and sound
    if not sound:
        raise typer.Exit(1)


def _not_composed(
    chosen: dict[str, RewardConfig], served: ServiceConfig
) -> dict[str, RewardConfig]:
    """The rewards that run somewhere: in the place of composites their members."""
    found: dict[str, RewardConfig] = {}
    left = list(reversed(chosen))
    while left:
        name = left.pop()
        built = served.rewards[name].build()
        if isinstance(built, Combining):
            left += [*built.members.values()][::-1]
        else:
            found[name] = served.rewards[name]
    return found


def _check_data(
    data: Path,
    chosen: dict[str, RewardConfig],
    served: ServiceConfig,
    columns: Columns,
    hosted: bool,
) -> bool:
    from .check_data import check_data
    from .dataset import BadLine

    rewards = {name: reward.build() for name, reward in chosen.items()}
    try:
        report = check_data(data, rewards, served.limits, columns, hosted=hosted)
    except (BadLine, OSError) as error:
        fail(error)
    for line in report.told():
        ERR.print(line, style="red", markup=False, highlight=False, soft_wrap=True)
    bad = report.counts.total()
    OUT.print(f"{report.lines} lines, {bad or 'no'} faults for {', '.join(rewards)}")
    return not bad


def _check_fixtures(data: Path | None, chosen: dict[str, RewardConfig], columns: Columns) -> bool:
    from .dataset import examples
    from .fixtures import MAX_EXAMPLES, try_reward

    bases: list[Example] = []
    if data is not None:
        found = (example for _, example in examples(data, columns))
        bases = list(islice((e for e in found if isinstance(e, Example)), MAX_EXAMPLES))
    sound = True
    for name, config in chosen.items():
        try:
            trial = try_reward(config, bases)
        except Exception as error:  # noqa: BLE001 - a custom reward's own set-up
            ERR.print(f"{name}: its set-up failed: {error}", style="red", markup=False)
            sound = False
            continue
        for line in trial.failed:
            ERR.print(f"{name}: {line}", style="red", markup=False, soft_wrap=True)
        for line in trial.findings:
            ERR.print(f"{name}: {line}", style="yellow", markup=False, soft_wrap=True)
        bad = f"{len(trial.failed)} failed, {len(trial.findings)} findings"
        OUT.print(f"{name}: {trial.cases} cases, {bad}", markup=False)
        sound = sound and not trial.failed
    return sound


@app.command()
def score(
    file: Annotated[
        Path, typer.Argument(help="Examples with responses: JSON lines or parquet, as trainers'.")
    ],
    reward: Annotated[str, typer.Option(help="The reward's name.")],
    target: Target = DEFAULT_TARGET,
    config: Annotated[
        Path | None, typer.Option(help="Rewards to score with, without a service; for now only.")
    ] = None,
    output: Annotated[Path | None, typer.Option(help="Where outcomes go, as JSON lines.")] = None,
    timeout_s: Annotated[float, typer.Option(min=0.001, help="For each call, in seconds.")] = 300.0,
    response: Annotated[
        str, typer.Option(help="The column of the responses; may be that of the gold.")
    ] = "",
    rename: Rename = None,
    report: Annotated[
        Path | None, typer.Option(help="A page to look at, as one HTML file.")
    ] = None,
    token_file: Token = None,
    ca_file: Authorities = None,
    certificate_file: Certificate = None,
    key_file: Key = None,
    tls: Tls = None,
) -> None:
    """Score the responses of a file; exits with 2 when an item has no reward."""
    from rewardplane.host.progress import DeployFailed

    from .dataset import BadLine
    from .own_service import serving
    from .reaching import NotThere, reach
    from .report import Gathered
    from .report import report as page_of
    from .score_file import items_in, score_file

    columns = _columns(response, rename)
    for written in (output, report):  # else an hour's scores would find no place
        if written is not None and (written.is_dir() or not written.parent.is_dir()):
            what = "is a folder" if written.is_dir() else "is in no folder that there is"
            fail(f"{written}: {what}; name a file in one that exists")
    try:
        credentials = None
        if config is None:
            credentials = credentials_of(token_file, ca_file, certificate_file, key_file, tls)
            reach(target, "--config FILE scores without one")
        total = items_in(file, columns)  # before a service is started for it
        found = Gathered() if report is not None else None
        with nullcontext(target) if config is None else serving(config, tell) as at:
            summary = score_file(
                *(file, reward, at, output, timeout_s, ERR, columns, found),
                credentials=credentials,
                total=total,
            )
        if report is not None and found is not None:
            report.write_text(page_of(f"{reward} on {file.name}", found), encoding="utf-8")
    except (BadLine, NotThere, ConfigError, DeployFailed, CallError, ValueError) as error:
        fail(error)
    except OSError as error:
        fail(f"{error.filename}: {error.strerror}" if error.filename else error)
    OUT.print(summary.table())
    for reason, messages in summary.messages.items():
        for message in messages:
            ERR.print(f"{reason}: {message}", style="yellow", markup=False, soft_wrap=True)
    if summary.errors:
        raise typer.Exit(2)


@app.command()
def calibrate(
    data: Annotated[Path, typer.Argument(help="JSON lines with a value and a label each.")],
    output: Annotated[Path, typer.Argument(help="The file for a panel's `calibration`.")],
    method: Annotated[
        str, typer.Option(help="affine, isotonic, or standard, which needs no labels.")
    ] = "affine",
    value: Annotated[str, typer.Option(help="Where the value is: reward, components.x.")] = "value",
    label: Annotated[str, typer.Option(help="Where the label is.")] = "label",
    reward: Annotated[str, typer.Option(help="The reward whose values they are.")] = "",
) -> None:
    """Fit how a judge's values become a panel's, on values whose labels are known."""
    from .calibrate import BadData, calibrate_file

    try:
        told = calibrate_file(data, output, method, value, label, reward)
    except (BadData, OSError) as error:
        fail(error)
    OUT.print(told, markup=False)


@app.command()
def compare(
    a: Annotated[Path, typer.Argument(help="What `score --output` wrote for one version.")],
    b: Annotated[Path, typer.Argument(help="What it wrote for the other, on the same data.")],
    report: Annotated[
        Path | None, typer.Option(help="A page to look at, as one HTML file.")
    ] = None,
) -> None:
    """Say on which items two versions of a reward differ, and how."""
    from .compare import compared
    from .dataset import BadLine
    from .records import read_items

    try:
        found = compared(read_items(a), read_items(b))
        if report is not None:
            report.write_text(found.page(f"{a.name} and {b.name}"), encoding="utf-8")
    except (BadLine, OSError) as error:
        fail(error)
    OUT.print(found.table())


def _columns(response: str, rename: list[str] | None) -> Columns:
    names = [pair.partition("=") for pair in rename or ()]
    if any(not (old and new) for old, _, new in names):
        raise typer.BadParameter("want OLD=NEW", param_hint="--rename")
    return Columns(response, {old: new for old, _, new in names})
