"""The commands: each parses its arguments, calls one function and says what came of it."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rewardplane.config.load import ConfigError, ServiceConfig, load
from rewardplane.gateway.doors.door import DoorKind, DoorUnavailable
from rewardplane.wire.errors import CallError
from rich.console import Console
from rich.table import Table

app = typer.Typer(
    help="Rewards for reinforcement-learning fine-tuning, as a service.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
_out = Console()
_err = Console(stderr=True)

_File = Annotated[Path, typer.Argument(help="The rewards, as YAML.")]
_Target = Annotated[
    str, typer.Option(envvar="REWARDPLANE_TARGET", help="HOST:PORT of the service.")
]
_Port = Annotated[int, typer.Option(help="The gRPC port.")]
DEFAULT_TARGET = "127.0.0.1:50051"


@app.command()
def serve(
    config: _File,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: _Port = 50051,
    metrics_port: Annotated[int, typer.Option(help="Prometheus text over HTTP; 0: none.")] = 9464,
    http_port: Annotated[int, typer.Option(help="The contracts of hosted services; 0: none.")] = 0,
    address: Annotated[str, typer.Option(help="A Ray cluster, or `local` to start one.")] = "local",
    gateways: Annotated[int, typer.Option(min=1, help="Nodes that run a gateway.")] = 1,
    gateways_per_node: Annotated[
        int, typer.Option(min=1, help="Gateways that share the port on each node.")
    ] = 1,
    door: Annotated[
        DoorKind,
        typer.Option(help="Who speaks gRPC: `native` in Rust outside the GIL, `grpc` by grpcio."),
    ] = DoorKind.NATIVE,
) -> None:
    """Serve rewards until SIGTERM; SIGHUP reloads the file."""
    from rewardplane.cluster.cluster import Cluster, DeployFailed
    from rewardplane.cluster.options import Options
    from rewardplane.cluster.serving import PortTaken
    from rewardplane.cluster.serving import serve as run

    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s %(message)s")

    def on_ready(cluster: Cluster, served: ServiceConfig) -> None:
        _out.print(_rewards(served))
        where = ", ".join(cluster.addresses())
        _out.print(f"serving on {where}; door: {door}; metrics on port {metrics_port}")

    options = Options(
        host, port, metrics_port, http_port, address, gateways, gateways_per_node, door
    )
    try:
        run(config, options, on_ready)
    except (ConfigError, PortTaken, DoorUnavailable, DeployFailed) as error:
        _fail(error)


@app.command()
def check(
    config: _File,
    allow_unknown: Annotated[
        bool, typer.Option(help="Fields of hosted configurations that are not known are no fault.")
    ] = False,
) -> None:
    """Check a file of rewards without serving it; imports custom functions."""
    try:
        served = load(config)
    except ConfigError as error:
        _fail(error)
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
    from .dataset import BadLine
    from .rows import Columns
    from .score_file import score_file

    names = [pair.partition("=") for pair in rename or ()]
    if any(not (old and new) for old, _, new in names):
        raise typer.BadParameter("want OLD=NEW", param_hint="--rename")
    columns = Columns(response, {old: new for old, _, new in names})
    try:
        summary = score_file(file, reward, target, output, timeout_s, _err, columns)
    except (BadLine, OSError, CallError) as error:
        _fail(error)
    _out.print(summary.table())
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
        _fail(error)
    _out.print(told, markup=False)


@app.command("list")
def list_rewards(target: _Target = DEFAULT_TARGET) -> None:
    """List the rewards that a service serves."""
    from rewardplane.client.sync_client import SyncRewardClient

    try:
        with SyncRewardClient(target) as client:
            infos = client.list_rewards(timeout_s=10)
    except CallError as error:
        _fail(error)
    table = Table("reward", "version", "digest", "kind", "lane", "components")
    for info in infos:
        names = ", ".join(info.component_names)
        table.add_row(info.name, info.version, info.digest, info.kind, info.lane, names)
    _out.print(table)


@app.command()
def reload(port: _Port = 50051) -> None:
    """Have the service on this machine read its file again."""
    from rewardplane.cluster.serving import NotServing
    from rewardplane.cluster.serving import reload as run

    try:
        state = run(port)
    except NotServing as error:
        _fail(error)
    if state.fault:
        _err.print(f"not reloaded, the old rewards go on being served:\n{state.fault}", style="red")
        raise typer.Exit(1)
    _out.print(f"reloaded {state.config}; changed: {', '.join(state.changed) or 'nothing'}")


@app.command()
def demo(port: _Port = 0) -> None:
    """Serve and score a sample of real model solutions on this machine."""
    from rewardplane.cluster.cluster import DeployFailed

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


def _rewards(config: ServiceConfig) -> Table:
    table = Table("reward", "version", "digest", "kind", "lane", "replicas", "components")
    for name, reward in config.rewards.items():
        s = reward.settings
        names = ", ".join(reward.facts.component_names)
        replicas = "" if reward.lane == "composite" else str(s.replicas)
        table.add_row(name, s.version, reward.digest, s.kind, reward.lane, replicas, names)
    return table


def _fail(error: Exception) -> NoReturn:
    _err.print(str(error), style="red", markup=False)
    raise typer.Exit(1)
