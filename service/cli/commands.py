"""The commands: each parses its arguments, calls one function and says what came of it."""

from __future__ import annotations

import logging
from itertools import islice
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rewardplane.access.settings import AccessError
from rewardplane.client.endpoint import Credentials
from rewardplane.config.load import ConfigError, RewardConfig, ServiceConfig, load
from rewardplane.gateway.doors.door import DoorKind, DoorUnavailable
from rewardplane.rewards.compose.combining import Combining
from rewardplane.rewards.types import Example
from rewardplane.wire.errors import CallError
from rich.console import Console
from rich.table import Table

from .rows import Columns

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
_Rename = Annotated[list[str] | None, typer.Option(help="A column's other name: solution=answer.")]
_Token = Annotated[
    str | None, typer.Option(envvar="REWARDPLANE_TOKEN_FILE", help="A file with the token.")
]
_Authorities = Annotated[
    str | None,
    typer.Option(envvar="REWARDPLANE_CA_FILE", help="Whose certificates the service may have."),
]
_Certificate = Annotated[
    str | None,
    typer.Option(envvar="REWARDPLANE_CERTIFICATE_FILE", help="One's own, for mutual TLS."),
]
_Key = Annotated[str | None, typer.Option(envvar="REWARDPLANE_KEY_FILE", help="Its private key.")]
_Tls = Annotated[
    bool | None,
    typer.Option("--tls/--no-tls", help="TLS; the default where any of the files is given."),
]
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
        DoorKind | None,
        typer.Option(
            help="Who speaks gRPC: `native` in Rust outside the GIL, `grpc` by grpcio, the default "
            "where the access file has TLS."
        ),
    ] = None,
    access: Annotated[
        Path | None, typer.Option(help="Who may call: TLS, tokens, quotas (docs/security.md).")
    ] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Let other machines call that prove nothing.")
    ] = False,
) -> None:
    """Serve rewards until SIGTERM; SIGHUP reloads the file."""
    from rewardplane.cluster.cluster import Cluster, DeployFailed
    from rewardplane.cluster.exposure import Exposed, guarded
    from rewardplane.cluster.options import Options
    from rewardplane.cluster.serving import PortTaken
    from rewardplane.cluster.serving import serve as run

    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s %(message)s")

    def on_ready(cluster: Cluster, served: ServiceConfig) -> None:
        _out.print(_rewards(served))
        where = ", ".join(cluster.addresses())
        _out.print(f"serving on {where}; door: {options.door}; metrics on port {metrics_port}")

    options = Options(
        host,
        port,
        metrics_port,
        http_port,
        address,
        gateways,
        gateways_per_node,
        access=str(access.resolve()) if access is not None else "",
        insecure=insecure,
    )
    try:
        options, remarks = guarded(options, door)
        for remark in remarks:
            _err.print(remark, style="yellow", markup=False)
        run(config, options, on_ready)
    except (
        AccessError,
        ConfigError,
        DeployFailed,
        DoorUnavailable,
        Exposed,
        PortTaken,
    ) as error:
        _fail(error)


@app.command()
def check(
    config: _File,
    allow_unknown: Annotated[
        bool, typer.Option(help="Fields of hosted configurations that are not known are no fault.")
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
    rename: _Rename = None,
    hosted: Annotated[
        bool, typer.Option("--hosted", help="With --data: what Gemini's tuning takes as well.")
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
            _out.print(f"{name}: {why} (`rewardplane score`)", markup=False, soft_wrap=True)
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
        _fail(error)
    for line in report.told():
        _err.print(line, style="red", markup=False, highlight=False, soft_wrap=True)
    bad = report.counts.total()
    _out.print(f"{report.lines} lines, {bad or 'no'} faults for {', '.join(rewards)}")
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
            _err.print(f"{name}: its set-up failed: {error}", style="red", markup=False)
            sound = False
            continue
        for line in trial.failed:
            _err.print(f"{name}: {line}", style="red", markup=False, soft_wrap=True)
        for line in trial.findings:
            _err.print(f"{name}: {line}", style="yellow", markup=False, soft_wrap=True)
        bad = f"{len(trial.failed)} failed, {len(trial.findings)} findings"
        _out.print(f"{name}: {trial.cases} cases, {bad}", markup=False)
        sound = sound and not trial.failed
    return sound


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
    rename: _Rename = None,
    report: Annotated[
        Path | None, typer.Option(help="A page to look at, as one HTML file.")
    ] = None,
    token_file: _Token = None,
    ca_file: _Authorities = None,
    certificate_file: _Certificate = None,
    key_file: _Key = None,
    tls: _Tls = None,
) -> None:
    """Score the responses of a file; exits with 2 when an item has no reward."""
    from .dataset import BadLine
    from .report import Gathered
    from .report import report as page_of
    from .score_file import score_file

    columns = _columns(response, rename)
    try:
        credentials = _credentials(token_file, ca_file, certificate_file, key_file, tls)
        found = Gathered() if report is not None else None
        summary = score_file(
            *(file, reward, target, output, timeout_s, _err, columns, found),
            credentials=credentials,
        )
        if report is not None and found is not None:
            report.write_text(page_of(f"{reward} on {file.name}", found), encoding="utf-8")
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
        _fail(error)
    _out.print(found.table())


@app.command("list")
def list_rewards(
    target: _Target = DEFAULT_TARGET,
    token_file: _Token = None,
    ca_file: _Authorities = None,
    certificate_file: _Certificate = None,
    key_file: _Key = None,
    tls: _Tls = None,
) -> None:
    """List the rewards that a service serves."""
    from rewardplane.client.sync_client import SyncRewardClient

    try:
        credentials = _credentials(token_file, ca_file, certificate_file, key_file, tls)
        with SyncRewardClient(target, credentials=credentials) as client:
            infos = client.list_rewards(timeout_s=10)
    except (OSError, CallError) as error:
        _fail(error)
    table = Table("reward", "version", "digest", "kind", "lane", "components")
    for info in infos:
        names = ", ".join(info.component_names)
        table.add_row(info.name, info.version, info.digest, info.kind, info.lane, names)
    _out.print(table)


@app.command()
def top(
    metrics: Annotated[
        list[str] | None,
        typer.Option(help="Where a gateway's metrics are; once for each gateway."),
    ] = None,
    every_s: Annotated[float, typer.Option(min=0.1, help="Seconds between two looks.")] = 1.0,
    once: Annotated[bool, typer.Option("--once", help="Show one screen and end.")] = False,
) -> None:
    """Watch the rewards of a service: throughput, latency, errors, and the health of jobs."""
    from .top import NotScraped, watch

    try:
        watch(metrics or ["http://127.0.0.1:9464/metrics"], every_s, _out, once=once)
    except NotScraped as error:
        _fail(error)
    except KeyboardInterrupt:
        raise typer.Exit(0) from None


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


@app.command("new-token")
def new_token(
    caller: Annotated[str, typer.Argument(help="The caller's name.")],
) -> None:
    """Make a token: its line for the tokens file to stdout, the token itself to stderr."""
    from rewardplane.access.tokens import new_token as made

    try:
        token, line = made(caller)
    except ValueError as error:
        _fail(error)
    typer.echo(line)
    typer.echo(token, err=True)


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


def _columns(response: str, rename: list[str] | None) -> Columns:
    names = [pair.partition("=") for pair in rename or ()]
    if any(not (old and new) for old, _, new in names):
        raise typer.BadParameter("want OLD=NEW", param_hint="--rename")
    return Columns(response, {old: new for old, _, new in names})


def _credentials(
    token_file: str | None,
    ca_file: str | None,
    certificate_file: str | None,
    key_file: str | None,
    tls: bool | None,
) -> Credentials | None:
    """Raises BadParameter, OSError."""
    try:
        return Credentials.from_files(
            token_file=token_file,
            ca_file=ca_file,
            certificate_file=certificate_file,
            key_file=key_file,
            tls=tls,
        )
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


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
