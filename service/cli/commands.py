"""The commands: each parses its arguments, calls one function and says what came of it."""

from __future__ import annotations

import importlib.metadata
import json
import logging
import sys
from collections import Counter
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rewardplane.config.load import ConfigError, RewardConfig, ServiceConfig, load
from rewardplane.gateway.doors.door import DoorKind, DoorUnavailable
from rewardplane.host import logs
from rewardplane.host.logs import LogFormat, LogLevel
from rewardplane.wire.errors import CallError
from rich.console import Console
from rich.table import Table

app = typer.Typer(
    help="Rewards for reinforcement-learning fine-tuning, as a service.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
# In a pipe or a file nothing is cut to the width of a terminal that is not there.
_WIDE = 1000
_out = Console(width=None if sys.stdout.isatty() else _WIDE)
_err = Console(stderr=True, width=None if sys.stderr.isatty() else _WIDE)

_File = Annotated[Path, typer.Argument(help="The rewards, as YAML.")]
_Target = Annotated[
    str, typer.Option(envvar="REWARDPLANE_TARGET", help="HOST:PORT of the service.")
]
_Port = Annotated[int, typer.Option(min=0, max=65_535, help="The gRPC port.")]
_Json = Annotated[bool, typer.Option("--json", help="As JSON, for programs.")]
DEFAULT_TARGET = "127.0.0.1:50051"


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"rewardplane {importlib.metadata.version('rewardplane')}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which it is.")
    ] = False,
) -> None:
    """What stands before the command."""


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="Where to; made if need be.")] = Path(),
) -> None:
    """Write a commented rewards.yaml, a reward of your own and a sample that it scores."""
    from .starting import AlreadyThere, write

    try:
        written = write(folder)
    except (AlreadyThere, OSError) as error:
        _fail(error)
    for path in written:
        _out.print(f"wrote {path}", markup=False)
    there = "" if folder == Path() else f"cd {folder} && "
    _out.print(
        f"next: {there}rewardplane score sample.jsonl --config rewards.yaml --reward math",
        markup=False,
    )


@app.command()
def serve(
    config: _File,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: _Port = 50051,
    metrics_port: Annotated[
        int, typer.Option(min=0, max=65_535, help="Prometheus text over HTTP; 0: none.")
    ] = 9464,
    http_port: Annotated[
        int, typer.Option(min=0, max=65_535, help="The contracts of hosted services; 0: none.")
    ] = 0,
    ray: Annotated[
        bool, typer.Option(help="Replicas on Ray Serve; without, all on this machine.")
    ] = True,
    address: Annotated[str, typer.Option(help="A Ray cluster, or `local` to start one.")] = "local",
    gateways: Annotated[int, typer.Option(min=0, help="Nodes that run a gateway; 0: all.")] = 0,
    gateways_per_node: Annotated[
        int, typer.Option(min=1, help="Gateways that share the port on each node.")
    ] = 1,
    autoscaled: Annotated[
        bool, typer.Option("--autoscaled", help="A reload waits for nodes that may be added.")
    ] = False,
    keep: Annotated[
        bool,
        typer.Option("--keep", help="SIGTERM leaves the service on the cluster, for the next."),
    ] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Reload when files change.")] = False,
    door: Annotated[
        DoorKind,
        typer.Option(help="Who speaks gRPC: `native` in Rust outside the GIL, `grpc` by grpcio."),
    ] = DoorKind.NATIVE,
    log_format: Annotated[
        LogFormat, typer.Option(envvar=logs.FORMAT_ENV, help="Logs for people, or JSON lines.")
    ] = LogFormat.TEXT,
    log_level: Annotated[
        LogLevel, typer.Option(envvar=logs.LEVEL_ENV, help="What is logged.")
    ] = LogLevel.WARNING,
) -> None:
    """Serve rewards until SIGTERM; SIGHUP reloads the file."""
    from rewardplane.host.options import Options
    from rewardplane.host.progress import DeployFailed
    from rewardplane.host.serving import PortTaken, Service
    from rewardplane.host.serving import serve as run

    logs.choose(log_format, log_level)
    logs.to_stderr()

    def make(options: Options) -> Service:
        if not ray:
            from rewardplane.host.local import LocalService

            return LocalService(options)
        from rewardplane.cluster.cluster import Cluster

        return Cluster(options)

    log = logging.getLogger("rewardplane.serve")

    def tell(text: str) -> None:
        if log_format is LogFormat.JSON:
            log.warning("%s", text)
        else:
            _tell(text)

    def on_ready(service: Service, served: ServiceConfig) -> None:
        where = Counter(service.addresses())
        told = ", ".join(f"{at} ({n} gateways)" if n > 1 else at for at, n in where.items())
        last = gateways_per_node - 1
        told += "".join(
            f"; {what} on port {first}" + (f" to {first + last}" if last else "")
            for what, first in (("metrics", metrics_port), ("HTTP", http_port))
            if first
        )
        told = f"serving on {told}; door: {door}"
        if log_format is LogFormat.JSON:
            log.warning("%s", told)
        else:
            _out.print(_rewards(served))
        # In any form: it is what a script waits for.
        _out.print(told, markup=False, soft_wrap=True)

    options = Options(
        host=host,
        port=port,
        metrics_port=metrics_port,
        http_port=http_port,
        address=address,
        gateways=gateways,
        gateways_per_node=gateways_per_node,
        door=door,
        autoscaled=autoscaled,
        keep=keep,
    )
    try:
        run(config, options, make, on_ready, tell, watch=watch)
    except (ConfigError, PortTaken, DoorUnavailable, DeployFailed) as error:
        _fail(error)


@app.command()
def check(
    config: _File,
    allow_unknown: Annotated[
        bool, typer.Option(help="Fields of hosted configurations that are not known are no fault.")
    ] = False,
    as_json: _Json = False,
) -> None:
    """Check a file of rewards without serving it; imports custom functions."""
    try:
        served = load(config)
    except ConfigError as error:
        _fail(error)
    if as_json:
        _print_json([_reward_json(reward) for reward in served.rewards.values()])
    else:
        _out.print(_rewards(served))
    unknown = False
    for name, reward in served.rewards.items():
        built = reward.build()
        for warning in built.warnings:
            _err.print(f"{name}: {warning}", style="yellow", markup=False)
        unknown = unknown or bool(built.unknown_fields)
    if unknown and not allow_unknown:
        raise typer.Exit(1)


@app.command()
def score(
    file: Annotated[
        Path, typer.Argument(help="Examples with responses: JSON lines or parquet, as trainers'.")
    ],
    reward: Annotated[str, typer.Option(help="The reward's name.")],
    target: _Target = DEFAULT_TARGET,
    config: Annotated[
        Path | None, typer.Option(help="Rewards to score with, without a service; for now only.")
    ] = None,
    output: Annotated[Path | None, typer.Option(help="Where outcomes go, as JSON lines.")] = None,
    timeout_s: Annotated[float, typer.Option(help="For each call, in seconds.")] = 300.0,
    response: Annotated[
        str, typer.Option(help="The column of the responses; may be that of the gold.")
    ] = "",
    rename: Annotated[
        list[str] | None, typer.Option(help="A column's other name: solution=answer.")
    ] = None,
) -> None:
    """Score the responses of a file; exits with 2 when an item has no reward."""
    from rewardplane.host.progress import DeployFailed

    from .dataset import BadLine
    from .own_service import serving
    from .reaching import NotThere, reach
    from .rows import Columns
    from .score_file import score_file

    names = [pair.partition("=") for pair in rename or ()]
    if any(not (old and new) for old, _, new in names):
        raise typer.BadParameter("want OLD=NEW", param_hint="--rename")
    columns = Columns(response, {old: new for old, _, new in names})
    try:
        if config is None:
            reach(target)
        with nullcontext(target) if config is None else serving(config, _tell) as at:
            summary = score_file(file, reward, at, output, timeout_s, _err, columns)
    except (BadLine, NotThere, ConfigError, DeployFailed, CallError, ValueError) as error:
        _fail(error)
    except OSError as error:
        _fail(f"{error.filename}: {error.strerror}" if error.filename else error)
    _out.print(summary.table())
    for reason, messages in summary.messages.items():
        for message in messages:
            _err.print(f"{reason}: {message}", style="yellow", markup=False, soft_wrap=True)
    if summary.errors:
        raise typer.Exit(2)


@app.command("list")
def list_rewards(target: _Target = DEFAULT_TARGET, as_json: _Json = False) -> None:
    """List the rewards that a service serves."""
    from rewardplane.client.sync_client import SyncRewardClient

    from .reaching import NotThere, reach

    try:
        reach(target)
        with SyncRewardClient(target) as client:
            infos = client.list_rewards(timeout_s=10)
    except (CallError, NotThere, ValueError) as error:
        _fail(error)
    rows = [
        {
            "reward": info.name,
            "version": info.version,
            "digest": info.digest,
            "kind": info.kind,
            "lane": info.lane,
            "components": list(info.component_names),
        }
        for info in infos
    ]
    if as_json:
        _print_json(rows)
        return
    table = _table("reward", "version", "digest", "kind", "lane", "components")
    for row in rows:
        table.add_row(*(", ".join(v) if isinstance(v, list) else v for v in row.values()))
    _out.print(table)


@app.command()
def reload(port: _Port = 50051) -> None:
    """Have the service on this machine read its file again."""
    from rewardplane.host.state import NotServing
    from rewardplane.host.state import reload as run

    try:
        state = run(port, _tell)
    except NotServing as error:
        _fail(error)
    if state.fault:
        _fail(f"not reloaded, the old rewards go on being served:\n{state.fault}")
    _out.print(
        f"reloaded {state.config}; changed: {', '.join(state.changed) or 'nothing'}",
        markup=False,
        soft_wrap=True,
    )


@app.command()
def demo(port: _Port = 0) -> None:
    """Serve and score a sample of real model solutions on this machine."""
    from rewardplane.host.progress import DeployFailed

    from .demo import run

    try:
        passed = run(port, _out)
    except (DeployFailed, CallError) as error:
        _fail(error)
    if not passed:
        raise typer.Exit(1)


@app.command()
def sandbox(
    attack: Annotated[bool, typer.Option("--attack", help="Run the attack suite as well.")] = False,
) -> None:
    """Say how far this host isolates untrusted code; exits with 1 when an attack gets through."""
    from rewardplane.rewards.code.cheats import CHEATS

    from . import sandbox_report

    report = sandbox_report.probe()
    _out.print(sandbox_report.controls(report))
    _out.print(f"level: [b]{report.level.name}[/b]")
    for line in sandbox_report.next_level(report):
        _out.print(line, markup=False)
    if attack:
        held = sandbox_report.attack(report.level, _out)
        if not sandbox_report.cheat(report.level, _out, CHEATS) or not held:
            raise typer.Exit(1)


@app.command()
def doctor(
    config: Annotated[
        Path | None, typer.Option(help="A file of rewards, to look at what it needs as well.")
    ] = None,
    as_json: _Json = False,
) -> None:
    """Say what this host has and lacks; exits with 1 when something that is needed is missing."""
    from .doctor import findings

    found = findings(config)
    if as_json:
        _print_json([finding.as_dict() for finding in found])
    else:
        table = _table("", "what", "found", "to do")
        for finding in found:
            table.add_row(finding.mark, finding.what, finding.seen, finding.advice)
        _out.print(table)
    if any(finding.is_missing for finding in found):
        raise typer.Exit(1)


def _rewards(config: ServiceConfig) -> Table:
    table = _table("reward", "version", "digest", "kind", "lane", "replicas", "components")
    for reward in config.rewards.values():
        row = _reward_json(reward)
        cells = (", ".join(v) if isinstance(v, list) else str(v) for v in row.values())
        table.add_row(*cells)
    return table


def _reward_json(reward: RewardConfig) -> dict[str, str | int | list[str]]:
    settings = reward.settings
    return {
        "reward": reward.name,
        "version": settings.version,
        "digest": reward.digest,
        "kind": settings.kind,
        "lane": reward.lane,
        "replicas": settings.replicas,
        "components": list(reward.facts.component_names),
    }


def _table(*columns: str) -> Table:
    table = Table()
    for column in columns:
        # A digest that is cut is worth nothing: what has no room goes on in the next line.
        table.add_column(column, overflow="fold", min_width=8 if column else None)
    return table


def _print_json(value: object) -> None:
    typer.echo(json.dumps(value, indent=2))


def _tell(text: str) -> None:
    _err.print(f"{text} …", style="dim", markup=False, soft_wrap=True)


def _fail(error: Exception | str) -> NoReturn:
    _err.print(str(error), style="red", markup=False, soft_wrap=True)
    raise typer.Exit(1)
